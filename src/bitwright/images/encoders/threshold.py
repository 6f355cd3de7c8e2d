"""`threshold`: one bit a channel, pixel >= t, with t fixed or Otsu's for each picture and channel.

    bit = pixel >= t,   weight = 128,   base = (t - 1) / 2: each side stands for the mean of its grey levels
Otsu's t maximises the variance between the two sides; the bits stand for what those of t = 128 do, which is also what
padding and a channel of one grey level get.
    t = argmax (n0 * S - N * S0)**2 / (n0 * (N - n0)),   n0 pixels below t, of sum S0; N pixels, of sum S; the first of equals
Otsu 1979, "A Threshold Selection Method from Gray-Level Histograms".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.images.encoders.encoder import Bits, Encoder, Pixels, Pointwise, whole

MIDDLE = 128


@dataclass(frozen=True)
class Threshold(Pointwise):
    at: int = MIDDLE

    name = "threshold"
    usage = "threshold[:1..255|:otsu]"

    @staticmethod
    def read(option: str | None) -> Encoder:
        if option is None or option == "otsu":
            return Threshold() if option is None else Otsu()
        try:
            return Threshold(whole(option, 1, 255))
        except ValueError as error:
            raise ValueError(f"{error}, or otsu") from None

    def __str__(self) -> str:
        return f"threshold:{self.at}"

    @property
    def base(self) -> float:
        return (self.at - 1) / 2

    @property
    def weights(self) -> tuple[float, ...]:
        return (128.0,)

    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        return (levels >= self.at)[..., None].astype(np.uint8)


@dataclass(frozen=True)
class Otsu(Encoder):
    name, usage, read = Threshold.name, Threshold.usage, staticmethod(Threshold.read)
    native = "otsu"
    base = Threshold().base
    weights = Threshold().weights

    def __str__(self) -> str:
        return "threshold:otsu"

    def of_pictures(self, pixels: Pixels) -> Bits:
        return (pixels >= otsu(pixels))[..., None].astype(np.uint8)

    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        return Threshold().of_levels(levels)


def otsu(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Return Otsu's threshold of each picture's channels, 1..255, [N, 1, 1, C], for uint8 [N, H, W, C]."""
    count, height, width, channels = pixels.shape
    which = np.arange(count * channels).reshape(count, 1, 1, channels)
    histogram = np.bincount((256 * which + pixels).reshape(-1), minlength=256 * which.size).reshape(-1, 256)
    below, total = histogram.cumsum(axis=1)[:, :-1], height * width  # at i: of a threshold of i + 1
    sums = (histogram * np.arange(256)).cumsum(axis=1)
    split = (below > 0) & (below < total)
    distance = (below * sums[:, -1:] - total * sums[:, :-1]).astype(np.float64)
    sides = np.where(split, below * (total - below), 1).astype(np.float64)
    between = np.where(split, distance * distance / sides, 0.0)
    best = np.where(between.any(axis=1), between.argmax(axis=1) + 1, MIDDLE)
    return best.reshape(count, 1, 1, channels)
