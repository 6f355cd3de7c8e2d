"""`bitwright bench`: how fast an artifact runs on this machine. Imports no torch.

The native engine is first shown to give the reference's logits, to the bit, in calls like the ones that are timed.
"""

from pathlib import Path

import click

from bitwright.artifact import load
from bitwright.cli.inspect import THREADS
from bitwright.cli.output import json_option, print_json, print_pairs, report
from bitwright.engine.timing import time_engine
from bitwright.records import Timing, noise_remark

ENOUGH = 10
"""Rounds from which on their median says something."""


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--threads", type=THREADS, help="How many; else all that this process may use.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Images of a call.")
@click.option("--rounds", default=100, show_default=True, type=click.IntRange(min=1), help="Calls that are timed.")
@json_option
def bench(artifact: Path, threads: int | None, batch: int, rounds: int, as_json: bool) -> None:
    """Time the native engine on random images, after checking that its logits are the reference's, to the bit."""
    timing = time_engine(load(artifact), threads, batch, rounds)
    remark = noise_remark("this model", timing.median_ms, timing.least_ms)
    if remark is not None and rounds >= ENOUGH:
        report(f"warning: {remark}")
    if as_json:
        print_json({"artifact": str(artifact), **timing.to_json()})
    else:
        print_pairs(_rows(artifact, timing))


def _rows(artifact: Path, timing: Timing) -> list[tuple[str, object]]:
    return [
        ("artifact", artifact),
        ("logits", f"equal to the reference's, to the bit, on {timing.verified_images} random images"),
        ("instruction set", timing.isa),
        ("threads", timing.threads),
        ("batch", timing.batch),
        ("rounds", timing.rounds),
        ("median latency", f"{timing.median_ms:.3f} ms"),
        ("least latency", f"{timing.least_ms:.3f} ms"),
        ("throughput", f"{timing.images_per_second:,.1f} images/s"),
    ]
