"""`slice` in PyTorch; `bitwright/ops/slice.py` defines it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from bitwright.prepared.ops.op import moving


def move(attrs: Mapping[str, Any], xs: Sequence[Tensor]) -> Tensor:
    return xs[0][(slice(None),) * (attrs["axis"] + 1) + (slice(attrs["start"], attrs["stop"], attrs["step"]),)]


OP = moving("slice", move)
