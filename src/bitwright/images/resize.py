"""Resizing: Pillow's filters, and the crop that follows, as an array of pixels.

Pillow's resize is plain C. The native engine has the same sums in vector instructions, several times as fast, and gives the
same bytes; where it has not, or the installed Pillow turns out to have other ones, Pillow does the work.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
NATIVE = frozenset(INTERPOLATIONS) - {"nearest"}

_MOST_PIXELS = 2**22
"""The largest picture that is resized as an array: for larger ones the copy costs more memory than it saves time."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of what is cut out of the resized picture."""


def resized(picture: Image.Image, size: tuple[int, int], interpolation: str, box: Box) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB or L picture, resized to `size` (height, width) and cut to `box`: uint8 [h, w, 3] or [h, w]."""
    if size != (picture.height, picture.width):
        if _suits(picture, size) and _is_pillows(interpolation):
            return _natively(np.asarray(picture), size, interpolation, box)
        picture = picture.resize((size[1], size[0]), INTERPOLATIONS[interpolation])
    top, left, height, width = box
    if box != (0, 0, picture.height, picture.width):
        picture = picture.crop((left, top, left + width, top + height))
    return np.array(picture, np.uint8)


def _suits(picture: Image.Image, size: tuple[int, int]) -> bool:
    """Whether the native resize is for this picture. Some versions of Pillow begin with the columns of those that lose much
    more height than width, and round in between."""
    lost_height, lost_width = picture.height - size[0], picture.width - size[1]
    rows_first = lost_height <= max(0, 2 * lost_width)
    return (
        rows_first and picture.mode == "RGB" and max(picture.width * picture.height, size[0] * size[1]) <= _MOST_PIXELS
    )


@cache
def _is_pillows(interpolation: str) -> bool:
    """Whether the native resize is to be had, and gives what the installed Pillow gives: tried on one picture."""
    if interpolation not in NATIVE or not _can_resize():
        return False
    pixels = np.random.default_rng(0).integers(0, 256, (29, 37, 3), np.uint8)
    both = ((17, 23), (41, 53))
    return all(
        np.array_equal(
            _natively(pixels, size, interpolation, (0, 0, *size)),
            np.asarray(Image.fromarray(pixels).resize(size[::-1], INTERPOLATIONS[interpolation])),
        )
        for size in both
    )


def _can_resize() -> bool:
    try:
        return _native() is not None and bool(_native().can_resize())
    except RuntimeError:  # BITWRIGHT_ISA names what this processor has not; the engine, where there is one, says so
        return False


def _natively(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int], interpolation: str, box: Box
) -> npt.NDArray[np.uint8]:
    result: npt.NDArray[np.uint8] = _native().resize(pixels, *size, interpolation, *box)
    return result


@cache
def _native() -> Any:
    """The extension module; None where it was not built."""
    try:
        from bitwright import _native
    except ImportError:
        return None
    return _native
