"""Any PIL picture as 8-bit RGB or 8-bit grey.

PIL has some twenty pixel modes and its own `convert` clips 16-bit grey and drops transparency. A model needs one rule
for each, the same when it is trained and when it runs.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.errors import ImageError

Mode = Literal["RGB", "L"]
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)


def to_mode(image: Image.Image, mode: Mode, background: Colour = WHITE) -> Image.Image:
    """Return `image` in `mode`, with nothing left but its 8-bit pixels.

    - 8-bit modes without transparency: PIL's `convert` to RGB (LAB goes to sRGB; ICC profiles are ignored), and for
      grey ITU-R 601 luma of that. A picture that is already in `mode` keeps its pixels bit for bit.
    - Transparency of any kind (alpha, palette, one transparent colour): composited on `background`, an RGB colour.
    - 16-bit grey (I;16 and its variants): round(v / 257), so 0 stays black and 65535 becomes 255.
      (16-bit colour never comes here: PIL has no such mode. It keeps the high byte while it reads the file, and does
      not find one transparent colour among 16-bit ones.)
    - 32-bit integer grey (I): PIL's mode for 16-bit PGM, so it is read as 16-bit grey; values outside 0..65535 are refused.
    - 32-bit float grey (F): 0.0 is black, 1.0 is white, round(255 v); values outside 0..1, and NaN, are refused.

    Raises:
        ImageError: the pixels can't be loaded or have no meaning under these rules. It does not know the file's name.
    """
    try:
        image.load()
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            image = _eight_bit_grey(image)
        if image.has_transparency_data:
            image = _on_background(image, background)
        return image if image.mode == mode else image.convert("RGB").convert(mode)
    except ImageError:
        raise
    except Exception as error:  # a damaged palette, profile or lazily read file raises nearly any type in PIL
        raise ImageError(f"cannot make {mode} out of a picture of mode {image.mode}: {error}") from error


_STRIP = (
    2**20
)  # pixels that are converted at once: NumPy's intermediate arrays are several times as large as the picture


def _eight_bit_grey(image: Image.Image) -> Image.Image:
    """Return L, or LA where one grey value is marked as transparent."""
    levels = _float_to_8_bits if image.mode == "F" else _16_to_8_bits
    clear = image.info.get("transparency")
    grey = Image.new("L" if clear is None else "LA", image.size)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        values = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        strip = Image.fromarray(levels(values))
        if clear is not None:
            strip.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        grey.paste(strip, (0, top))
    return grey


def _16_to_8_bits(values: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65535:
        raise ImageError(
            f"a grey picture of 32-bit integers must hold 16-bit values, 0..65535; found {lowest}..{highest}; "
            "rescale it and save it as 16-bit or 8-bit grey"
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _float_to_8_bits(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    if not (values.min() >= 0 and values.max() <= 1):  # also true for NaN
        raise ImageError(
            f"a grey picture of floats must hold values in 0..1; found {values.min()}..{values.max()}; "
            "rescale it (divide by its white) and save it again"
        )
    levels: npt.NDArray[np.uint8] = np.rint(values * np.float32(255)).astype(np.uint8)
    return levels


def _on_background(image: Image.Image, background: Colour) -> Image.Image:
    if image.mode == "La":  # PIL would drop the premultiplied alpha on the way to RGBA
        image = image.convert("LA")
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
