"""Roundings and tables of quantized files as operators of PyTorch, `torch.ops.bitwright`: in their real form, without rounding.

`given` only clips to what the codes hold; `lookup` goes in straight lines between the entries of a table. So the float form of
a quantized file has gradients, and the least change of a number never moves it by a code.
"""

import torch
from torch import Tensor

from bitwright.capture.onnx.call import Call
from bitwright.lookup import lookup as in_real_numbers

_LIBRARY = torch.library.Library("bitwright", "FRAGMENT")
_LIBRARY.define("given(Tensor x, str scheme, float scale, int zero_point, float lo, float hi) -> Tensor")
_LIBRARY.define(
    "lookup(Tensor x, int[] table, float x_scale, int x_zero_point, float y_scale, int y_zero_point) -> Tensor"
)


def _given(x: Tensor, scheme: str, scale: float, zero_point: int, lo: float, hi: float) -> Tensor:
    return x.clamp(lo, hi)


for _name, _function in (("given", _given), ("lookup", in_real_numbers)):
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"bitwright::{_name}", lambda x, *rest: torch.empty_like(x), lib=_LIBRARY)


def given(call: Call) -> Tensor:
    """`code_graph.GIVEN`."""
    found: Tensor = torch.ops.bitwright.given(
        call.tensor(0), *(call.attr(name) for name in ("scheme", "scale", "zero_point", "lo", "hi"))
    )
    return found


def lookup(call: Call) -> Tensor:
    """`code_graph.LOOKUP`."""
    names = ("table", "x_scale", "x_zero_point", "y_scale", "y_zero_point")
    found: Tensor = torch.ops.bitwright.lookup(call.tensor(0), *(call.attr(name) for name in names))
    return found
