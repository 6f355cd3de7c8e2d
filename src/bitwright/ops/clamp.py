"""clamp(x, lo, hi); relu is (0, None), relu6 is (0, 6). attrs: clamp, a pair in which None is no bound."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node
from bitwright.ops.unary import Unary


class Clamp(Unary):
    name = "clamp"
    keeps_sign = True
    clamps = True

    def function(self, x: npt.NDArray[np.float64], node: Node) -> npt.NDArray[np.float64]:
        return np.asarray(np.clip(x, *node.attrs["clamp"]))
