"""What a correction must offer: it changes a calibrated model so that its results come closer to the float model's."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from bitwright.nn import PreparedModel


class Correction(ABC):
    """Changes parameters or scales of a prepared model; deterministic."""

    name: ClassVar[str]
    before_ranges: ClassVar[bool] = False
    """True where it changes the float parameters, before ranges are observed and chosen."""

    @abstractmethod
    def apply(self, prepared: PreparedModel, images: Tensor) -> None:
        """Change a model whose ranges are chosen (unless `before_ranges`).

        `images` are uint8 [N, H, W, C], of bounded number.
        """
