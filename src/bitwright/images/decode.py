"""An image file as an upright picture: the one place where bytes that nobody vouches for become pixels.

Only formats that PIL decodes itself are tried (its EPS reader, for one, would start Ghostscript), what a file may cost is
checked before anything is decoded (`image_limits`), and whatever is wrong with a file ends in an ImageError that names the
file and the reason. JPEGs are decoded in full: PIL's `draft` scales in the frequency domain, which gives other pixels.
"""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from bitwright.errors import ImageError
from bitwright.files import expect_no_pipe, reason
from bitwright.images.colour import WHITE, Colour, Mode, to_mode
from bitwright.images.image_limits import Metered, check_header, check_pixels, pixel_limit, remedy

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "JPEG2000")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".pbm", ".pgm", ".ppm", ".pnm", ".webp", ".tif", ".tiff", ".jp2")
)

_ORIENTATION = 0x0112
_TILE_WIDTH, _TILE_HEIGHT = 0x0142, 0x0143  # of a TIFF
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


def decode(file: File, mode: Mode = "RGB", background: Colour = WHITE, max_pixels: int | None = None) -> Image.Image:
    """Read one image file as 8-bit `mode`, upright, with transparency composited on `background`.

    `colour.to_mode` states the rule for every kind of pixel. Of several pages or frames, the first is taken. `max_pixels` is
    the most that a picture may have; None: `image_limits.pixel_limit()`.

    Raises:
        ImageError: missing, broken, truncated, of an unknown format, or more expensive than the limits allow.
    """
    image = open_image(file, max_pixels)
    try:
        return to_mode(image, mode, background)
    except ImageError as error:
        raise ImageError(f"{_name(file)}: {error}") from error


def open_image(file: File, max_pixels: int | None = None) -> Image.Image:
    """Read one image file in the mode that it has, upright; `to_mode` does the rest.

    Raises:
        ImageError: as for `decode`; the message is "FILE: REASON".
    """
    limit = pixel_limit() if max_pixels is None else max_pixels
    try:
        with _opened(file) as stream:
            check_header(stream, limit)
            metered = Metered(stream)
            with Image.open(cast(IO[bytes], metered), formats=FORMATS) as image:
                _check_size(image, limit)
                metered.unmetered()
                image.load()
                return _upright(image)
    except ImageError as error:
        raise ImageError(f"{_name(file)}: {error}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{_name(file)}: {_beyond_pillow(error, limit)}") from error
    except Exception as error:  # for a damaged file, PIL's readers raise nearly any type
        raise ImageError(f"{_name(file)}: {_reason(error)}") from error


@contextmanager
def _opened(file: File) -> Iterator[IO[bytes]]:
    """The file, where one can seek."""
    if isinstance(file, (bytes, bytearray, memoryview)):
        yield io.BytesIO(file)
    elif isinstance(file, (str, Path)):
        expect_no_pipe(file)
        with open(file, "rb") as stream:
            yield stream
    else:
        yield file if file.seekable() else io.BytesIO(file.read())


def _beyond_pillow(error: Image.DecompressionBombError, limit: int) -> str:
    """Pillow has a limit of its own, which its readers may find before ours is looked at. The command line has lifted it."""
    what = str(error).partition(",")[0]
    if Image.MAX_IMAGE_PIXELS is not None and limit > 2 * Image.MAX_IMAGE_PIXELS:
        return f"{what}, which is Pillow's; if you trust the picture, set PIL.Image.MAX_IMAGE_PIXELS = None"
    return f"{what}, and {remedy(limit)}"


def _check_size(image: ImageFile, limit: int) -> None:
    for tile in image.tile or (("",),):
        check_pixels(*image.size, limit, tile[0])
    if image.format == "TIFF":  # libtiff decodes whole tiles, however small the picture is
        tags = getattr(image, "tag_v2")  # noqa: B009  # of TiffImageFile, which is imported only when one is met
        check_pixels(int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_HEIGHT, 0)), limit)


def _upright(image: Image.Image) -> Image.Image:
    """Return a picture that is independent of the file and has EXIF's orientation applied."""
    # PIL turns a TIFF itself while loading it and then forgets the tag, so that nothing is turned twice.
    turn = _UPRIGHT.get(_orientation(image))
    upright: Image.Image = (
        image  # of a JPEG, nothing is left in the file once it is loaded; others may be copied for naught
    )
    if turn is not None:
        upright = image.transpose(turn)
    elif image.format != "JPEG":
        upright = image.copy()
    upright.info = {key: upright.info[key] for key in ("transparency",) if key in upright.info}
    return upright


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, struct.error):
        return 1  # unreadable EXIF says nothing about the pixels: viewers show such a picture as it is stored
    return found if isinstance(found, int) else 1


def _name(file: File) -> str:
    if isinstance(file, (str, Path)):
        return os.fspath(file)
    return str(getattr(file, "name", "image in memory"))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known format; expected one of {', '.join(FORMATS)}"
    if isinstance(error, IsADirectoryError):
        return "Is a directory, no image; bitwright.open_source(PATH) opens the images in it"
    text = reason(error) if isinstance(error, OSError | ValueError) else str(error)
    return text or type(error).__name__
