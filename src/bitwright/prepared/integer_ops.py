"""Integer ops in PyTorch: what a prepared model computes in eval mode, equal to the NumPy reference to the bit.

Codes are float32 tensors [N, ...] that hold integers; sums of products use float32 where every partial sum
is below 2**24, else float64, so they are exact. The definitions are in `ops/`; these are written on their own, so that
comparing the two tests both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.graph import Node, Value
from bitwright.ops.op import codes_of
from bitwright.prepared.float_ops import FloatCall, FloatFunction, concat, pad_list, permute, reshape, slice_

FLOAT32_EXACT = 2**24


@dataclass(frozen=True)
class Call:
    """One node about to run: its tensors on the right device, its input types, its output, its inputs' codes.

    `bound`: what no sum of products can exceed; None for an op without a weight.
    """

    node: Node
    tensors: Mapping[str, Tensor]
    inputs: list[Value]
    output: Value
    xs: list[Tensor]
    bound: int | None = None

    def centred(self, index: int) -> Tensor:
        """step * code - zero_point of an input."""
        type_ = codes_of(self.inputs[index])
        zero_point = torch.as_tensor(type_.zero_point, dtype=torch.float32)
        x = self.xs[index] * type_.step
        return x - zero_point.to(x.device).reshape(self.inputs[index].column)

    def store(self, t: Tensor) -> Tensor:
        if self.output.type is None:
            return t
        lo, hi = self.node.attrs.get("lo", 0), self.node.attrs.get("hi", self.output.type.codes.hi)
        return t.round().clamp(lo, hi) + 0.0  # never -0.0, which is no code

    def store_with_zero_point(self, t: Tensor) -> Tensor:
        return self.store(t if self.output.type is None else t + self.output.type.one_shift)

    def epilogue(self, acc: Tensor) -> Tensor:
        t = acc.to(torch.float32) * self.tensors["m"].reshape(self.output.column)
        return self.finish(t + self.tensors["b"].reshape(self.output.column))

    def finish(self, t: Tensor) -> Tensor:
        if len(self.xs) == 2:
            t = t + self.centred(1) * self.tensors["m_r"]
        return self.store(t)

    @property
    def exact_dtype(self) -> torch.dtype:
        """The cheaper float type in which the sums of products are exact; never float32 where torch may round its inputs.

        What is traced may run anywhere and with other settings.
        """
        unrounded = not torch.compiler.is_compiling() and torch.get_float32_matmul_precision() == "highest"
        small = self.bound is not None and self.bound < FLOAT32_EXACT
        return torch.float32 if small and unrounded else torch.float64


def conv2d(call: Call) -> Tensor:
    attrs, dtype = call.node.attrs, call.exact_dtype
    top, left, bottom, right = attrs["padding"]
    x = F.pad(call.centred(0), (left, right, top, bottom)).to(dtype)
    weight = call.tensors["weight"].to(dtype)
    acc = F.conv2d(x, weight, None, attrs["stride"], 0, attrs["dilation"], attrs["groups"])
    return call.epilogue(acc)


def linear(call: Call) -> Tensor:
    x, weight, m = call.centred(0).double(), call.tensors["weight"].double(), call.tensors["m"]
    if m.dim() == 1:
        return call.epilogue(x @ weight.T)
    t = call.tensors["b"].expand(*x.shape[:-1], len(weight))
    for part, w, scale in zip(x.chunk(m.shape[1], -1), weight.chunk(m.shape[1], 1), m.unbind(1), strict=True):
        t = t + (part @ w.T).to(torch.float32) * scale
    return call.finish(t)


def batch_norm(call: Call) -> Tensor:
    return call.epilogue(call.centred(0))


def add(call: Call) -> Tensor:
    return call.store_with_zero_point(call.centred(0) * call.tensors["m_a"] + call.centred(1) * call.tensors["m_b"])


def mul(call: Call) -> Tensor:
    return call.store_with_zero_point(call.centred(0) * call.centred(1) * call.tensors["m"])


def max_pool2d(call: Call) -> Tensor:
    attrs = call.node.attrs
    top, left, bottom, right = attrs["padding"]
    x = F.pad(call.xs[0], (left, right, top, bottom), value=-1.0)
    return F.max_pool2d(x, attrs["kernel"], attrs["stride"], 0, attrs["dilation"])


def avg_pool2d(call: Call) -> Tensor:
    attrs = call.node.attrs
    top, left, bottom, right = attrs["padding"]
    x = F.pad(call.centred(0), (left, right, top, bottom)).to(torch.float64)
    total = F.avg_pool2d(x, attrs["kernel"], attrs["stride"], divisor_override=1)
    return call.store_with_zero_point(total.to(torch.float32) * call.tensors["m"])


def global_avg_pool2d(call: Call) -> Tensor:
    total = call.centred(0).to(torch.float64).sum((2, 3), keepdim=True)
    return call.store_with_zero_point(total.to(torch.float32) * call.tensors["m"])


def table(call: Call) -> Tensor:
    return _look_up(call.tensors["table"], call)


def prelu(call: Call) -> Tensor:
    x, y, device = codes_of(call.inputs[0]), codes_of(call.output), call.xs[0].device
    column = {key: tensor.to(torch.float64)[:, None] for key, tensor in call.tensors.items()}
    scale, zero_point, offset = (
        torch.as_tensor(v, dtype=torch.float64, device=device).reshape(-1, 1)
        for v in (x.scale, x.zero_point, x.offset if x.per_channel else 0.0)
    )
    codes = torch.arange(256, dtype=torch.float64, device=device)
    real = (x.step * codes - zero_point) * scale + offset + column["before"]
    real = torch.where(real > 0, real, real * column["slope"]) + column["after"]
    entries = (real / y.one_unit + y.one_shift).round().clamp(0, y.codes.hi) + 0.0
    return _look_up(entries.float(), call)


def _look_up(entries: Tensor, call: Call) -> Tensor:
    index = call.xs[0].long()
    if entries.dim() == 2:
        index = index + 256 * torch.arange(len(entries), device=index.device).reshape(call.output.column)
    return entries.reshape(-1)[index]


def pad(call: Call) -> Tensor:
    return F.pad(call.xs[0], pad_list(call.node.attrs), value=float(codes_of(call.inputs[0]).zero_point))  # type: ignore[arg-type]


def moved(function: FloatFunction) -> Callable[[Call], Tensor]:
    """What only moves numbers moves codes as it moves reals."""
    return lambda call: function(FloatCall(call.node.attrs, {}, call.xs))


INTEGER_FUNCTIONS: dict[str, Callable[[Call], Tensor]] = {
    "constant": lambda call: call.tensors["codes"][None],
    "conv2d": conv2d,
    "linear": linear,
    "batch_norm": batch_norm,
    "add": add,
    "mul": mul,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "global_avg_pool2d": global_avg_pool2d,
    "concat": moved(concat),
    "slice": moved(slice_),
    "pad": pad,
    "reshape": moved(reshape),
    "permute": moved(permute),
    "table": table,
    "prelu": prelu,
    "dequantize": lambda call: call.centred(0) * call.tensors["m"],
}
