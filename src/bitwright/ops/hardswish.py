"""hardswish(x) = x * relu6(x + 3) / 6 (Howard et al. 2019, MobileNetV3)."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Hardswish(Unary):
    name = "hardswish"

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return x * np.clip(x + 3, 0, 6) / 6
