"""What an encoder must offer: pixels become bits, and each bit stands for a fixed number of grey levels.

    pixel ~ base + sum over k of weights[k] * bit[k]
so that a convolution of bits, its weights repeated over the planes, is one of pixels. A picture has K planes a channel;
plane k of channel c is c * K + k.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint8]


class Encoder(ABC):
    """Turns pixels into bits; deterministic. `str` gives its spelling, NAME or NAME:OPTION, which `encoder` reads back."""

    name: ClassVar[str]
    usage: ClassVar[str]
    """Its spellings, for people."""
    native: ClassVar[str]
    """What the engine calls it (`csrc/ops/encode.cc`); "levels" for one that sees one pixel at a time."""

    @staticmethod
    @abstractmethod
    def read(option: str | None) -> "Encoder":
        """Return the encoder of an option, None where none is given; ValueError says what is expected."""

    @property
    @abstractmethod
    def base(self) -> float:
        """What a pixel with all bits 0 stands for."""

    @property
    @abstractmethod
    def weights(self) -> tuple[float, ...]:
        """What each of a channel's K bits adds to a pixel; above 0."""

    @abstractmethod
    def of_pictures(self, pixels: Pixels) -> Bits:
        """Return the bits [N, H, W, C, K] of uint8 pictures [N, H, W, C]."""

    @abstractmethod
    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        """Return the bits [..., K] of pixels 0..255 without a picture around them: what padding is filled with."""

    @property
    def planes(self) -> int:
        """K, the number of planes of a channel."""
        return len(self.weights)

    def encode(self, pixels: Pixels) -> Bits:
        """Return the planes, 0 or 1, uint8 [N, H, W, C * K], of uint8 pictures [N, H, W, C]."""
        count, height, width, channels = pixels.shape
        bits = self.of_pictures(pixels)
        return np.ascontiguousarray(bits).reshape(count, height, width, channels * self.planes)

    def decode(self, bits: Bits) -> npt.NDArray[np.float64]:
        """Return the pixels [...] that bits [..., K] stand for."""
        pixels: npt.NDArray[np.float64] = self.base + bits.astype(np.float64) @ np.array(self.weights)
        return pixels


class Pointwise(Encoder):
    """An encoder that sees one pixel at a time: a table."""

    native = "levels"

    @cached_property
    def table(self) -> Bits:
        """The bits of every pixel, [256, K]."""
        return self.of_levels(np.arange(256))

    def of_pictures(self, pixels: Pixels) -> Bits:
        return np.take(self.table, pixels, axis=0)


def whole(option: str, lo: int, hi: int) -> int:
    """Read an option that is a whole number in lo..hi; ValueError where it is not."""
    if option not in map(str, range(lo, hi + 1)):
        raise ValueError(f"a whole number in {lo}..{hi}")
    return int(option)
