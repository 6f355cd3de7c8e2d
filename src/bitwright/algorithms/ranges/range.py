"""What a range algorithm must offer: which interval of reals the codes shall cover."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bitwright.schemes import Scheme

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]


def identity(x: Floats) -> Floats:
    """x itself: what a value is read through when convolutions, sums or several ops read it."""
    return x


class Range(ABC):
    """Chooses ranges from values; deterministic."""

    name: ClassVar[str]

    @abstractmethod
    def activation(
        self, values: Floats, counts: Floats, codes: Scheme, function: Function = identity
    ) -> tuple[float, float]:
        """(lo, hi) to cover, from a histogram: values [K] ascending with counts [K]. Zero is added by the caller.

        `function` is what the values are read through: where hardswish follows, errors below -3 cost nothing.
        """

    @abstractmethod
    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        """The greatest |weight| to cover in each output channel, [O], from a weight [O, K]."""
