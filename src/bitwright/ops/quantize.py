"""A change of type: from pixels to codes, or from one type to another (in front of a concat). Lowers to `table`."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Quantize(Unary):
    name = "quantize"
    keeps_sign = True
    keeps_mean = True
    requantizes = True

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return x
