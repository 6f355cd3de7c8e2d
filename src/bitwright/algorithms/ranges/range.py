"""What a range algorithm must offer: which interval of reals the codes shall cover."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bitwright.schemes import Scheme

Floats = npt.NDArray[np.float64]


class Range(ABC):
    """Chooses ranges from values; deterministic."""

    name: ClassVar[str]

    @abstractmethod
    def activation(self, values: Floats, counts: Floats, codes: Scheme) -> tuple[float, float]:
        """(lo, hi) to cover, from a histogram: values [K] ascending with counts [K]. Zero is added by the caller."""

    @abstractmethod
    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        """The greatest |weight| to cover in each output channel, [O], from a weight [O, K]."""
