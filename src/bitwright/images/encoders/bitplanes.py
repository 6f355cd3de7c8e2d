"""`bitplanes`: the highest K of a pixel's 8 bits as they are; with K = 8 nothing is lost.

    bit[k] = (pixel >> (7 - k)) & 1,   weights[k] = 2**(7 - k),   base = (2**(8 - K) - 1) / 2, the mean of the bits left out
Durichen et al. 2018, "Binary Input Layer: Training of CNN models with binary input data".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.images.encoders.encoder import Bits, Pointwise, whole


@dataclass(frozen=True)
class Bitplanes(Pointwise):
    count: int = 8

    name = "bitplanes"
    usage = "bitplanes[:1..8]"

    @staticmethod
    def read(option: str | None) -> "Bitplanes":
        return Bitplanes() if option is None else Bitplanes(whole(option, 1, 8))

    def __str__(self) -> str:
        return f"bitplanes:{self.count}"

    @property
    def base(self) -> float:
        return ((256 >> self.count) - 1) / 2

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(2.0 ** (7 - k) for k in range(self.count))

    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        return (levels[..., None] >> (7 - np.arange(self.count)) & 1).astype(np.uint8)
