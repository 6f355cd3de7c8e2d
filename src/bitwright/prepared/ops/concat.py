"""`concat` in PyTorch; `bitwright/ops/concat.py` defines it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bitwright.prepared.ops.op import moving


def move(attrs: Mapping[str, Any], xs: Sequence[Tensor]) -> Tensor:
    count = max(map(len, xs))  # constants are there once for all images
    return torch.cat([x.expand(count, *x.shape[1:]) for x in xs], attrs["axis"] + 1)


OP = moving("concat", move)
