"""`bitwright classify`: the classes of some images, by an artifact. Imports no torch."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from bitwright.artifact import load
from bitwright.cli.output import json_option, print_json, print_table, report
from bitwright.engine import Engine
from bitwright.errors import ImageError
from bitwright.prediction import class_logits, probabilities


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="How many classes of each.")
@click.option("--classes", metavar="FILE", help="What the classes are called: a text, JSON or CSV file.")
@json_option
def classify(artifact: Path, images: tuple[Path, ...], top: int, classes: str | None, as_json: bool) -> int:
    """Say what is in each IMAGE, with its probability in percent: the softmax, or the sigmoid of a single output.

    An image that cannot be read is reported and the others are classified; the exit code is 1 then.
    """
    model = load(artifact)
    engine = Engine(model if classes is None else model.with_classes(classes))
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
        logits = engine(path)
    except ImageError as error:
        return {"path": str(path), "error": str(error), "top": []}
    percents, names = 100 * probabilities(logits)[0], engine.artifact.class_names
    best = np.argsort(-class_logits(logits)[0], kind="stable")[:top]
    guesses = [{"index": int(i), "name": names[i], "percent": round(float(percents[i]), 4)} for i in best]
    return {"path": str(path), "error": None, "top": guesses}
