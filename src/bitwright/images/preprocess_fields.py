"""What the fields of a `Preprocess` may be: each function checks one, and returns it as it is kept.

Raises:
    PreprocessError: names the field, what it must be and what it is.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

from bitwright.errors import PreprocessError
from bitwright.images.colour import Colour
from bitwright.images.image_limits import MAX_PIXELS


def check_choice(name: str, value: object, choices: Mapping[str, object]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise PreprocessError(f"preprocess: {name} must be one of {', '.join(choices)}; found {value!r}")


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise PreprocessError(f"preprocess: {name} must be text; found {value!r:.100}")
    return value


def check_covers(resize: int | tuple[int, int], size: tuple[int, int]) -> None:
    """Check that nothing is missing from a crop of `size`, whatever the shape of the picture was."""
    covered = resize if isinstance(resize, tuple) else (resize, resize)
    smallest = size if isinstance(resize, tuple) else (max(size), max(size))
    if covered[0] < smallest[0] or covered[1] < smallest[1]:
        raise PreprocessError(
            f"preprocess: resize {resize} is smaller than size {size}, so the crop would have no pixels at its border; "
            "raise resize, or leave it out to let the picture just cover size"
        )


def positive(name: str, value: object) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) <= 0:
        raise PreprocessError(
            f"preprocess: {name} must be a whole number above 0, or two of them; found {value!r:.100}"
        )
    if int(value) > MAX_PIXELS:
        raise PreprocessError(f"preprocess: {name} must have at most {MAX_PIXELS} pixels; found more")
    return int(value)


def pair(name: str, value: object) -> tuple[int, int]:
    if isinstance(value, (tuple, list)) and len(value) == 2:
        pair = positive(name, value[0]), positive(name, value[1])
    else:
        pair = (positive(name, value),) * 2
    if pair[0] * pair[1] > MAX_PIXELS:
        raise PreprocessError(f"preprocess: {name} must have at most {MAX_PIXELS} pixels; found {pair[0]} x {pair[1]}")
    return pair


def finite(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PreprocessError(f"preprocess: {name} must be finite, a number; found {value!r}")
    return number


def per_channel(name: str, value: object, channels: int) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (finite(name, value),) * channels
    if len(value) != channels:
        raise PreprocessError(
            f"preprocess: {name} must be one number or {channels}, one per channel; found {len(value)}: {value!r}"
        )
    return tuple(finite(name, number) for number in value)


def _is_level(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 <= int(value) <= 255


def colour(value: object) -> Colour:
    levels = value if isinstance(value, (tuple, list)) else ()
    if len(levels) != 3 or not all(_is_level(level) for level in levels):
        raise PreprocessError(f"preprocess: background must be three whole numbers in 0..255; found {value!r}")
    red, green, blue = levels
    return int(red), int(green), int(blue)
