"""`dither`: one bit a channel, black or white, with each pixel's error given to its neighbours, so that areas keep their mean.

Error diffusion of each channel on its own, by Pillow's `convert("1")`:
    v = clip(pixel + trunc(e / 16)),   bit = v > 128,   v - 255 * bit goes right with 7/16, below with 3/16, 5/16 and 1/16
Floyd and Steinberg 1976, "An Adaptive Algorithm for Spatial Greyscale".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.images.encoders.encoder import Bits, Encoder, Pixels


@dataclass(frozen=True)
class Dither(Encoder):
    name = usage = native = "dither"

    @staticmethod
    def read(option: str | None) -> "Dither":
        if option is not None:
            raise ValueError("nothing behind the name")
        return Dither()

    base = 0.0
    weights = (255.0,)

    def __str__(self) -> str:
        return "dither"

    def of_pictures(self, pixels: Pixels) -> Bits:
        count, height, width, channels = pixels.shape
        bits = np.empty((count, height, width, channels, 1), np.uint8)
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        for i, c in np.ndindex(count, channels):
            bits[i, ..., c, 0] = np.asarray(Image.fromarray(planes[i, c]).convert("1"))
        return bits

    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        return (levels > 128)[..., None].astype(np.uint8)
