"""`bitwright classify`: the classes of some images, by an artifact. Imports no torch."""

from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from bitwright.cli.output import json_option, print_json, print_table, report
from bitwright.engine import Engine
from bitwright.errors import EngineError, ImageError


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="How many classes of each.")
@json_option
def classify(artifact: Path, images: tuple[Path, ...], top: int, as_json: bool) -> int:
    """Say what is in each IMAGE, with the softmax probability in percent.

    An image that cannot be read is reported and the others are classified; the exit code is 1 then.
    """
    engine = Engine(artifact)
    records = [_classified(engine, image, top) for image in images]
    if as_json:
        print_json({"artifact": str(artifact), "images": records})
    elif any(record["top"] for record in records):
        print_table(
            ("image", "percent>", "class"),
            [
                (record["path"] if rank == 0 else "", f"{guess['percent']:.2f}", guess["name"])
                for record in records
                for rank, guess in enumerate(record["top"])
            ],
        )
    for record in records:
        if record["error"] is not None:
            report(f"error: {record['error']}")
    return int(any(record["error"] is not None for record in records))


def _classified(engine: Engine, path: Path, top: int) -> dict[str, Any]:
    try:
        logits = engine(path)[0]
    except ImageError as error:
        return {"path": str(path), "error": str(error), "top": []}
    percents = _softmax_percent(logits)
    names = engine.artifact.classes or [str(i) for i in range(len(logits))]
    best = np.argsort(-logits, kind="stable")[:top]
    guesses = [{"index": int(i), "name": names[i], "percent": round(float(percents[i]), 4)} for i in best]
    return {"path": str(path), "error": None, "top": guesses}


def _softmax_percent(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    if not np.isfinite(logits).all():
        raise EngineError("the model's logits are not finite; its multipliers are damaged")
    powers = np.exp(logits.astype(np.float64) - logits.max())
    percents: npt.NDArray[np.float64] = 100 * powers / powers.sum()
    return percents
