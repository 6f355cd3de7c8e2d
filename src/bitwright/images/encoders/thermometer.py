"""`thermometer`: K bits that light up one after the other as a pixel gets brighter.

    level = pixel * (K + 1) // 256,   bit[k] = level > k,   weights[k] = 256 / (K + 1),   base = 128 / (K + 1) - 1/2
so that a level stands for the middle of its pixels; with K = 255 nothing is lost. All bits weigh the same, which is
what coarse weight codes want. Buckman et al. 2018, "Thermometer Encoding: One Hot Way To Resist Adversarial Examples";
Zhang et al. 2021, "FracBNN", section 3.1, for binary networks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.images.encoders.encoder import Bits, Pointwise, whole


@dataclass(frozen=True)
class Thermometer(Pointwise):
    count: int = 8

    name = "thermometer"
    usage = "thermometer[:1..255]"

    @staticmethod
    def read(option: str | None) -> "Thermometer":
        return Thermometer() if option is None else Thermometer(whole(option, 1, 255))

    def __str__(self) -> str:
        return f"thermometer:{self.count}"

    @property
    def base(self) -> float:
        return 128 / (self.count + 1) - 0.5

    @property
    def weights(self) -> tuple[float, ...]:
        return (256 / (self.count + 1),) * self.count

    def of_levels(self, levels: npt.NDArray[np.integer[Any]]) -> Bits:
        lit = levels.astype(np.int64) * (self.count + 1) // 256
        return (lit[..., None] > np.arange(self.count)).astype(np.uint8)
