"""The options of commands that measure many models on images: what to measure with, and where it is remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bitwright.budget.cache import VARIABLE, default_folder
from bitwright.cli.inspect import THREADS
from bitwright.cli.output import usage_error
from bitwright.cli.preprocess_options import Parsed
from bitwright.cli.ray_options import ray_option


def _integers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


OPTIONS = (
    click.option(
        "--calibrate",
        default=512,
        show_default=True,
        metavar="N",
        type=click.IntRange(min=1),
        help="So many images, at most, to fit on.",
    ),
    click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Draws the images."),
    click.option("--threads", type=THREADS, help="Of the engine, for latency; else all that this process may use."),
    click.option("--jobs", type=click.IntRange(1, 1024), help="Processes; else one for each processor."),
    ray_option("Measure in the Ray cluster at ADDRESS, or in one that is started here, in place of --jobs."),
    click.option(
        "--cache",
        type=click.Path(path_type=Path),
        help=f"The folder that remembers what was measured; else ${VARIABLE} or the user's cache.",
    ),
    click.option("--no-cache", is_flag=True, help="Measure everything anew, and remember nothing."),
)
bits_option = click.option(
    "--bits",
    default="8,6,4,3,2",
    show_default=True,
    type=Parsed("B,B,...", _integers),
    help="The widths that a layer may get; 8 is always among them.",
)


def measuring_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; `cache` becomes the folder, or None, and `jobs` a number or a cluster."""

    def run(*args: Any, no_cache: bool, cache: Path | None, jobs: int | None, ray: str | None, **options: Any) -> Any:
        from bitwright.budget.workers import available_jobs
        from bitwright.scale.probes import OnRay

        folder = None if no_cache else cache or default_folder()
        if ray is not None and jobs is not None:
            raise usage_error("--ray and --jobs say where to measure; leave out one of them")
        return command(*args, cache=folder, jobs=OnRay(ray) if ray else jobs or available_jobs(), **options)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        option(run)
    return run
