"""`GivenTypes`: scales and zero points that a quantized file has settled, so that they are not chosen from images."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitwright.qtensor import QType


@dataclass(frozen=True, eq=False)
class GivenWeight:
    """A weight's scheme and its scales, float32 [O] or [1]; or why they cannot be kept, `fault`.

    `name` is what the file calls the weight.
    """

    name: str
    scheme: str = ""
    scale: npt.NDArray[np.float32] = field(default_factory=lambda: np.ones(1, np.float32))
    fault: str = ""


@dataclass(frozen=True)
class GivenTypes:
    """The types of values, and the schemes and scales of weights, by the names of their nodes in a fused graph."""

    types: Mapping[str, QType] = field(default_factory=dict)
    weights: Mapping[str, GivenWeight] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.types or self.weights)
