"""What a model sees of a picture, as PNGs for people: the pixels after preprocessing, and what their bits stand for."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.errors import ImageError
from bitwright.images.decode import open_image
from bitwright.images.preprocess import Preprocess
from bitwright.serve.refusal import Refusal


@dataclass(frozen=True)
class Preview:
    """PNG files. `bits` is None where the model reads the pixels themselves."""

    pixels: bytes
    bits: bytes | None
    encoder: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "pixels": base64.b64encode(self.pixels).decode(),
            "bits": None if self.bits is None else base64.b64encode(self.bits).decode(),
            "encoder": self.encoder,
        }


def preview(data: bytes, preprocess: Preprocess) -> Preview | Refusal:
    """What the model sees of an image file; a Refusal, 400, where it cannot be read."""
    try:
        pixels = preprocess.apply(open_image(data))
    except ImageError as error:
        return Refusal(400, str(error))
    bits = preprocess.bits
    if bits is None:
        return Preview(_png(pixels, preprocess), None, None)
    planes = bits.of_pictures(pixels[None])[0]
    stood_for = np.rint(bits.decode(planes)).clip(0, 255).astype(np.uint8)
    return Preview(_png(pixels, preprocess), _png(stood_for, preprocess), preprocess.encoder)


def _png(pixels: npt.NDArray[np.uint8], preprocess: Preprocess) -> bytes:
    """A PNG of pixels [H, W, C], whose channels are in the order of the preprocessing."""
    if preprocess.mode == "BGR":
        pixels = pixels[..., ::-1]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)).save(file, "PNG")
    return file.getvalue()
