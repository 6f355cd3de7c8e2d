"""`bitwright bench`: how fast an artifact runs on this machine. Imports no torch.

The native engine is first shown to give the reference's logits, to the bit, in calls like the ones that are timed.
"""

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact, load
from bitwright.cli.inspect import THREADS
from bitwright.cli.output import json_option, print_json, print_pairs
from bitwright.engine import Engine
from bitwright.errors import EngineError

SEED = 0
VERIFIED = 4  # random images that the reference computes as well; it takes its time
WARM_UP = 10  # calls


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--threads", type=THREADS, help="How many; else all that this process may use.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images of a call.")
@click.option("--rounds", default=100, show_default=True, type=click.IntRange(min=1), help="Calls that are timed.")
@json_option
def bench(artifact: Path, threads: int | None, batch: int, rounds: int, as_json: bool) -> None:
    """Time the native engine on random images, after checking that its logits are the reference's, to the bit."""
    record = {"artifact": str(artifact), **measure(load(artifact), threads, batch, rounds)}
    if as_json:
        print_json(record)
    else:
        print_pairs(_rows(record))


def measure(artifact: Artifact, threads: int | None, batch: int, rounds: int) -> dict[str, Any]:
    """All that the command shows, as plain data.

    Raises:
        EngineError: the native backend was not built, or its logits are not the reference's.
    """
    engine = Engine(artifact, backend="native", threads=threads)
    from bitwright import _native  # there, now that the engine is

    images = random_images(artifact, batch)
    verify(engine, images, batch)
    seconds = _time(engine, images[:batch], rounds)
    return {
        "isa": _native.chosen_isa(),
        "threads": threads or _native.available_threads(),
        "batch": batch,
        "rounds": rounds,
        "verified_images": VERIFIED,
        "median_ms": 1e3 * median(seconds),
        "least_ms": 1e3 * min(seconds),
        "images_per_second": batch / median(seconds),
    }


def random_images(artifact: Artifact, batch: int) -> npt.NDArray[np.uint8]:
    """At least a batch, uint8 [N, H, W, C]: VERIFIED different images, over and over."""
    few = np.random.default_rng(SEED).integers(0, 256, (VERIFIED, *artifact.preprocess.shape), np.uint8)
    return few[np.arange(max(batch, VERIFIED)) % VERIFIED]


def verify(engine: Engine, images: npt.NDArray[np.uint8], batch: int) -> None:
    """Run the images in calls of a batch; EngineError where a bit of a logit is not as in the reference."""
    few = Engine(engine.artifact, backend="reference")(images[:VERIFIED])
    expected = few[np.arange(len(images)) % VERIFIED]
    found = np.concatenate([engine(images[i : i + batch]) for i in range(0, len(images), batch)])
    wrong = np.argwhere(found.view(np.uint32) != expected.view(np.uint32))
    if len(wrong):
        at = tuple(wrong[0])
        raise EngineError(
            f"the native engine is wrong: expected {expected[at]!r} for logit {at[1]} of random image {at[0]}, as the "
            f"reference has it, found {found[at]!r}; {len(wrong)} of {found.size} differ. Nothing was timed; please report this"
        )


def _time(engine: Engine, images: npt.NDArray[np.uint8], rounds: int) -> list[float]:
    for _ in range(WARM_UP):
        engine(images)
    seconds = []
    for _ in range(rounds):
        begin = perf_counter()
        engine(images)
        seconds.append(perf_counter() - begin)
    return seconds


def _rows(record: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        ("artifact", record["artifact"]),
        ("logits", f"equal to the reference's, to the bit, on {record['verified_images']} random images"),
        ("instruction set", record["isa"]),
        ("threads", record["threads"]),
        ("batch", record["batch"]),
        ("rounds", record["rounds"]),
        ("median latency", f"{record['median_ms']:.3f} ms"),
        ("least latency", f"{record['least_ms']:.3f} ms"),
        ("throughput", f"{record['images_per_second']:,.1f} images/s"),
    ]
