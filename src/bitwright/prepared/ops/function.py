"""`function` in PyTorch; `bitwright/ops/function.py` defines it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright.lookup import lookup
from bitwright.ops.function import compute
from bitwright.prepared.ops.op import FloatCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    x, scaled = call.xs[0], "reads" in call.tensors
    if scaled:
        x = x * call.column("reads")
    found: Tensor = compute(call.attrs["steps"], x, _aten).to(x.dtype)
    return found * call.column("writes") if scaled else found


def _aten(name: str, *args: Any, **kwargs: Any) -> Any:
    """One elementwise function by its ATen name. Constants that were tensors have to be tensors again."""
    if name == "lookup":
        return lookup(*args)
    numbers = (torch.tensor(arg) if isinstance(arg, np.generic) else arg for arg in args)
    return getattr(torch.ops.aten, name)(*numbers, **kwargs)


OP = TorchOp("function", float_function)
