"""What a correction must offer: it changes a calibrated model so that its results come closer to the float model's."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from bitwright.nn import PreparedModel


class Correction(ABC):
    """Changes parameters or scales of a prepared model; deterministic."""

    name: ClassVar[str]

    @abstractmethod
    def apply(self, prepared: PreparedModel, images: Tensor) -> None:
        """Correct a model whose ranges are chosen, with uint8 images [N, H, W, C] of bounded number."""
