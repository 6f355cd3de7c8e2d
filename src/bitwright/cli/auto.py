"""`bitwright quantize --auto`: its options, and what it prints beside what `quantize` does."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bitwright.budget.cache import default_folder
from bitwright.cli.finite import Finite
from bitwright.cli.label_options import force_option
from bitwright.cli.output import report_bad, shown, usage_error
from bitwright.images.sources import open_source

if TYPE_CHECKING:
    from bitwright.artifact import Artifact
    from bitwright.images.sources import BadImage, ImageSource
    from bitwright.models import LoadedModel

Function = Callable[..., Any]
NAMES = ("max_drop", "held_out", "verify", "force")
OPTIONS = (
    click.option("--auto", is_flag=True, help="Try the recipe's widths with cheap algorithms, then with costly ones."),
    click.option("--max-drop", metavar="POINTS", type=Finite(0, 100), help="Where --auto stops; 0.5 if not given."),
    click.option("--held-out", metavar="SRC", help="Images for --auto to measure the drop on; else others of --data."),
    click.option(
        "--verify", metavar="N", type=click.IntRange(min=1), help="So many of them, at most; 5000 if not given."
    ),
    force_option,
)


def auto_options(command: Function) -> Function:
    """Add the options to a command, which gets them as `auto`: what was given, or None without --auto."""

    def run(*args: Any, auto: bool, **options: Any) -> Any:
        given = {name: value for name in NAMES if (value := options.pop(name)) not in (None, False)}
        if given and not auto:
            raise usage_error(f"--{next(iter(given)).replace('_', '-')} needs --auto")
        return command(*args, auto=given if auto else None, **options)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        option(run)
    return run


def within_budget(
    loaded: "LoadedModel", source: "ImageSource", given: Mapping[str, Any], **options: Any
) -> "tuple[Artifact, list[BadImage]]":
    """The artifact that keeps the budget, and the images that could not be read; each step is reported on stderr."""
    from bitwright.budget.ladder import quantize_within

    given = {**given, "held_out": open_source(given["held_out"])} if "held_out" in given else given
    with shown() as progress:
        tuned = quantize_within(
            loaded.float_model, source, cache=default_folder(), progress=progress, **given, **options
        )
    report_bad(tuned.bad)
    return tuned.artifact, list(tuned.bad)


def auto_rows(provenance: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What --auto did, for a table."""
    record = provenance.get("auto")
    if record is None:
        return []
    last = record["steps"][-1]
    drop = last["drop"]
    lo, hi = drop["interval"]
    return [
        ("steps", f"{len(record['steps'])}, the last with {', '.join(last['algorithms']) or 'ranges alone'}"),
        (
            "drop",
            f"{drop['points']:.2f} ({lo:.2f} to {hi:.2f}), against {drop['against']}, on {drop['images']:,} images",
        ),
    ]
