"""Weight codes, shared by conv2d and linear: rounding at convert time, checking at load time."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.graph import Node
from bitwright.schemes import SCHEMES


def WEIGHTS(value: Any) -> bool:  # noqa: N802 - an attribute rule, like its neighbours
    """An attribute that names a scheme for weights."""
    return isinstance(value, str) and value in SCHEMES and SCHEMES[value].signed


def quantize_weight(
    weight: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], scheme: str
) -> npt.NDArray[np.int8]:
    """The nearest codes of a weight [O, ...] with one scale per output channel [O]; half to even."""
    codes = SCHEMES[scheme]
    column = np.asarray(scale, np.float64).reshape((-1,) + (1,) * (weight.ndim - 1))
    return np.clip(np.rint(weight / column), codes.lo, codes.hi).astype(np.int8)


def check_weight_codes(node: Node, where: str) -> None:
    """Raise GraphError if a weight code is outside its scheme."""
    weight, codes = node.tensors["weight"], SCHEMES[node.attrs["weights"]]
    if weight.size and not codes.lo <= int(weight.min()) <= int(weight.max()) <= codes.hi:
        raise GraphError(f"{where}: weight codes {weight.min()}..{weight.max()} are not all {node.attrs['weights']}")
