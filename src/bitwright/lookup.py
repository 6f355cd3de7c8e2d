"""`lookup`: the float form of a table of codes, in PyTorch; what captures a quantized file and what trains it share it."""

from collections.abc import Sequence

import torch
from torch import Tensor


def lookup(
    x: Tensor, table: Sequence[int], x_scale: float, x_zero_point: int, y_scale: float, y_zero_point: int
) -> Tensor:
    """Straight lines between the entries of a table of codes, for real x of any shape; `ops/functions.py` defines it.

    So it has gradients, and the least change of a number never moves it by a code.
    """
    entries = torch.tensor(table, dtype=x.dtype, device=x.device)
    place = (x / x_scale + x_zero_point).clamp(0, len(table) - 1)
    below = place.detach().floor().clamp(max=len(table) - 2)
    first, second = entries[below.long()], entries[below.long() + 1]
    return (first + (second - first) * (place - below) - y_zero_point) * y_scale
