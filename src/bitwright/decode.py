"""An image file as an upright picture: the one place where bytes that nobody vouches for become pixels.

Only formats that PIL decodes itself are tried (its EPS reader, for one, would start Ghostscript), the size is checked
before anything is decoded, and whatever is wrong with a file ends in an ImageError that names the file and the reason.
"""

import io
import os
import struct
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from bitwright.colour import WHITE, Colour, Mode, to_mode
from bitwright.errors import ImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "JPEG2000")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".pbm", ".pgm", ".ppm", ".pnm", ".webp", ".tif", ".tiff", ".jp2")
)
MAX_PIXELS = 89_478_485  # PIL's own bound, where it warns (256 MiB of RGB); here it is an error

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

File = str | Path | bytes | bytearray | memoryview | IO[bytes]


def decode(file: File, mode: Mode = "RGB", background: Colour = WHITE) -> Image.Image:
    """Read one image file as 8-bit `mode`, upright, with transparency composited on `background`.

    `colour.to_mode` states the rule for every kind of pixel. Of several pages or frames, the first is taken.

    Raises:
        ImageError: missing, broken, truncated, of an unknown format, or of more than MAX_PIXELS pixels.
    """
    image = open_image(file)
    try:
        return to_mode(image, mode, background)
    except ImageError as error:
        raise ImageError(f"{_name(file)}: {error}") from error


def open_image(file: File) -> Image.Image:
    """Read one image file in the mode that it has, upright; `to_mode` does the rest.

    Raises:
        ImageError: as for `decode`; the message is "FILE: REASON".
    """
    try:
        with Image.open(_readable(file), formats=FORMATS) as image:
            check_pixels(*image.size)
            image.load()
            return _upright(image)
    except ImageError as error:
        raise ImageError(f"{_name(file)}: {error}") from error
    except Exception as error:  # for a damaged file, PIL's readers raise nearly any type
        raise ImageError(f"{_name(file)}: {_reason(error)}") from error


def check_pixels(width: int, height: int) -> None:
    """Raise ImageError where a picture of this size would need more than MAX_PIXELS pixels."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{width} x {height} is {width * height} pixels, more than the limit of {MAX_PIXELS}; "
            "scale the picture down first if you trust it"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Return a copy that is independent of the file and has EXIF's orientation applied."""
    # PIL turns a TIFF itself while loading it and then forgets the tag, so that nothing is turned twice.
    turn = _UPRIGHT.get(_orientation(image))
    upright = image.copy() if turn is None else image.transpose(turn)
    upright.info = {key: upright.info[key] for key in ("transparency",) if key in upright.info}
    return upright


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, struct.error):
        return 1  # unreadable EXIF says nothing about the pixels: viewers show such a picture as it is stored
    return found if isinstance(found, int) else 1


def _readable(file: File) -> str | Path | IO[bytes]:
    return io.BytesIO(file) if isinstance(file, (bytes, bytearray, memoryview)) else file


def _name(file: File) -> str:
    if isinstance(file, (str, Path)):
        return os.fspath(file)
    return str(getattr(file, "name", "image in memory"))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known format; expected one of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
