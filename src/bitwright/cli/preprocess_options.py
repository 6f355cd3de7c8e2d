"""The options that say what a model's images go through, shared by `quantize` and `evaluate`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import click
import numpy as np

from bitwright.cli.output import report, usage_error
from bitwright.cli.preprocess_line import in_words
from bitwright.cli.shareable import shareable
from bitwright.errors import PreprocessError
from bitwright.images.preprocess import Order, Preprocess
from bitwright.images.resize import INTERPOLATIONS

if TYPE_CHECKING:
    from bitwright.models import LoadedModel

Function = Callable[..., Any]


@dataclass(frozen=True)
class Parsed(click.ParamType):  # type: ignore[type-arg]  # only newer clicks take an argument
    """An option's text, read by a function that raises ValueError where the text makes no sense."""

    name: str
    read: Callable[[str], Any]

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except (ValueError, ZeroDivisionError, OverflowError):
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)


def _size(text: str) -> int | tuple[int, ...]:
    numbers = tuple(map(int, text.lower().split("x")))
    if len(numbers) > 2:
        raise ValueError(text)
    return numbers if len(numbers) == 2 else numbers[0]


def _resize(text: str) -> int | tuple[int, ...] | str:
    return text if text == "none" else _size(text)


def _number(text: str) -> float:
    above, slash, below = text.partition("/")
    return float(above) / float(below) if slash else float(above)


def _numbers(text: str) -> tuple[float, ...] | float:
    numbers = tuple(map(_number, text.split(",")))
    return numbers if len(numbers) > 1 else numbers[0]


def _colour(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


_LARGEST = 300.0
"""Networks that read pixels as they are, without a scale, see 255 at most."""
NUMBERS = Parsed("A,B,C", _numbers)
OPTIONS = (
    click.option("--size", type=Parsed("N|HxW", _size), help="The model's input, in pixels."),
    click.option(
        "--resize",
        type=Parsed("N|HxW|none", _resize),
        help="Before the centre crop to --size: the shorter side, or exactly HxW; none: just cover it.",
    ),
    click.option("--mean", type=NUMBERS, help="Subtracted from pixel * scale, per channel."),
    click.option("--std", type=NUMBERS, help="Divided by, after that, per channel."),
    click.option("--scale", type=Parsed("X", _number), help="A pixel is multiplied by this first, such as 1/255 or 1."),
    click.option("--mode", type=click.Choice(get_args(Order)), help="The colours that the model sees."),
    click.option("--interpolation", type=click.Choice(tuple(INTERPOLATIONS)), help="The filter for resizing."),
    click.option("--background", type=Parsed("R,G,B", _colour), help="The colour under transparent pixels."),
    click.option(
        "--encoder",
        metavar="NAME[:N]",
        help="Let the integer model read bits, not pixels: threshold[:N|:otsu], dither, bitplanes[:N], thermometer[:N].",
    ),
)
NAMES = ("size", "resize", "mean", "std", "scale", "mode", "interpolation", "background", "encoder")


def preprocess_options(command: Function) -> Function:
    """Add the options to a command, which gets them as the one argument `given`: those that were given."""

    def run(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in NAMES}
        return command(*args, given={name: value for name, value in given.items() if value is not None}, **options)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        option(run)
    return run


def resolve(loaded: "LoadedModel", given: dict[str, Any]) -> Preprocess:
    """What is known of a model's preprocessing, with what was given in its place; all of it is reported, in one line.

    Raises:
        click.UsageError: nothing is known and no size was given, or it makes no sense as a whole.
    """
    preprocess = _resolved(loaded, given)
    report(f"preprocess: {in_words(preprocess)}; {origin(loaded, given)}")
    if (strange := _strange(preprocess)) is not None:
        report(f"warning: {strange}")
    other = [name for name in ("mean", "std", "scale", "mode") if _is_other(loaded.preprocess, preprocess, name)]
    if other:
        report(
            "warning: the model is known to have been trained with "
            + ", ".join(f"--{name} {_spelled(getattr(loaded.preprocess, name))}" for name in other)
            + "; other ones make other numbers of the same pixels"
        )
    told = loaded.preprocess is not None or (loaded.stem is not None and loaded.stem.changes_numbers)
    missing = [name for name in ("mean", "std") if not told and name not in given]
    if missing:
        report(
            f"warning: nobody gave the {' and '.join(missing)} that the model was trained with, so mean 0 and std 1 are taken, "
            "which are wrong for most; many models of photographs have --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
        )
    return preprocess


def _is_other(known: Preprocess | None, taken: Preprocess, name: str) -> bool:
    return known is not None and getattr(known, name) != getattr(taken, name)


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(f"{number:g}" for number in np.atleast_1d(value))


def _strange(preprocess: Preprocess) -> str | None:
    """What to say of an input that no model was trained on: 0 lies outside it, or it is far larger than pixels are."""
    ends = np.array([(0, 255)]).T * preprocess.scale - np.array(preprocess.mean)
    ends = ends / np.array(preprocess.std)
    lo, hi = ends.min(), ends.max()
    if (ends[0] <= 0).all() and (ends[1] >= 0).all() and max(-lo, hi) <= _LARGEST:
        return None
    return (
        f"black and white pixels become {lo:g} and {hi:g}, which is unlike what models are trained on; --mean and --std are of "
        "pixel * scale: with the default --scale 1/255 of numbers from 0 to 1, with --scale 1 of numbers from 0 to 255"
    )


def origin(loaded: "LoadedModel", given: Iterable[str]) -> str:
    """Where a preprocessing comes from, in words."""
    options = ", ".join(f"--{name}" for name in given)
    if loaded.preprocess is None:
        words = [f"as given by {options}"] if options else []
        if loaded.stem is not None and (loaded.stem.fixed or loaded.stem.changes_numbers):
            words.append(
                "behind it what the graph begins with" if loaded.stem.changes_numbers else "the size from the graph"
            )
        return ", ".join(words)
    file, comma, key = (loaded.preprocess_from or "where the model comes from").partition(", ")
    known = f"from {shareable(file)}{comma}{key}"
    return f"{known}, but for {options}" if options else known


def _resolved(loaded: "LoadedModel", given: dict[str, Any]) -> Preprocess:
    known, stem = loaded.preprocess, loaded.stem
    if known is None and stem is not None:
        given = {**stem.fixed, **given}
    if known is None and "size" not in given:
        raise usage_error("nothing is known of this model's preprocessing; give --size, and --mean and --std if needed")
    changes: dict[str, Any] = {name: None if value == "none" else value for name, value in given.items()}
    try:
        if known is not None:
            _expect_numbers_of_channels(known, changes)
            return replace(known, **changes)
        made = Preprocess(**changes)
        return made if stem is None else stem.behind(made)
    except PreprocessError as error:
        raise usage_error(str(error)) from error


def _expect_numbers_of_channels(known: Preprocess, changes: dict[str, Any]) -> None:
    """UsageError where another --mode has other channels than the mean and the std that are known."""
    mode = changes.get("mode", known.mode)
    missing = [name for name in ("mean", "std") if name not in changes]
    if (mode == "L") == (known.mode == "L") or not missing:
        return
    raise usage_error(
        f"--mode {mode} has {'1 channel' if mode == 'L' else '3 channels'}, and the model's own "
        f"{' and '.join(missing)} have {known.channels}; give {' and '.join(f'--{name}' for name in missing)} as well"
    )
