"""`bitwright train --sweep NAME=VALUE,VALUE`: trainings with other numbers, of which the best is kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitwright.cli.exit_codes import misuse
from bitwright.cli.output import percent, usage_error
from bitwright.cli.ray_options import ray_option
from bitwright.ranks import Ranks

if TYPE_CHECKING:
    from bitwright.scale.trials import Sweep

FOLDER = ".trials"


def sweep_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; they become `sweep`, `held_out` and `ray`."""
    options = (
        click.option(
            "--sweep",
            multiple=True,
            metavar="NAME=VALUE,VALUE",
            help="Train with each of these values of an option, such as lr=0.01,0.02; several are combined.",
        ),
        click.option("--held-out", metavar="SRC", help="With --sweep: labelled images that choose the best."),
        ray_option("With --sweep: train on workers of the Ray cluster at ADDRESS, or of one started here."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def numbers_to_try(
    sweep: tuple[str, ...], held_out: str | None, ray: str | None, resume: Path | None, ranks: Ranks
) -> Mapping[str, Sequence[Any]] | None:
    """What to try; None where there is no --sweep. UsageError where options do not fit each other."""
    if not sweep:
        if held_out is not None or ray is not None:
            raise usage_error("--held-out and --ray belong to --sweep NAME=VALUE,VALUE")
        return None
    if held_out is None:
        raise usage_error("--sweep needs --held-out SRC: labelled images that choose the best")
    if resume is not None:
        raise usage_error(
            f"--sweep keeps its trials in a folder beside -o, OUT{FOLDER}, and goes on from there; leave out --resume"
        )
    if ranks.size > 1:
        raise usage_error("--sweep shares trials among Ray's workers (--ray), not among the ranks of torchrun")
    from bitwright.scale.trials import parse_numbers

    with misuse():
        return parse_numbers(sweep)


def sweep_rows(found: "Sweep | None") -> list[tuple[str, object]]:
    """A row for each trial."""
    if found is None:
        return []
    best = found.best
    return [
        (
            trial.name,
            trial.error
            if trial.top1 is None
            else f"top-1 {percent(trial.top1)} of {trial.images:,} held-out images{', the best' if trial is best else ''}",
        )
        for trial in found.trials
    ]
