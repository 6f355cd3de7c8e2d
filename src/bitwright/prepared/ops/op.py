"""What an op is in PyTorch, and the calls that its functions take.

The float function is what a prepared model runs while it calibrates and trains: the result in front of the output's quantizer.
The integer function is what it computes in eval mode, equal to the NumPy reference to the bit. Codes are float32 tensors
[N, ...] that hold integers; sums of products use float32 where every partial sum is below 2**24, else float64, so they are
exact. The definitions are in `bitwright/ops/`; the integer functions are written on their own, so that comparing the two
tests both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bitwright.graph import Node, Value
from bitwright.ops import OPS
from bitwright.ops.op import codes_of

if TYPE_CHECKING:
    from bitwright.prepared.quantizers import ActivationQuantizer

FLOAT32_EXACT = 2**24


@dataclass(frozen=True)
class FloatCall:
    """One float node about to run: its op, attributes and tensors, its operands [N, ...], the channel axis of its result."""

    op: str
    attrs: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    xs: list[Tensor]
    axis: int = 1
    training: bool = False
    """Whether batch norms use the statistics of the batch."""
    quantizer: "ActivationQuantizer | None" = None
    """What rounds the result of an op that `rounds`, if anything does."""

    def fused(self, y: Tensor) -> Tensor | None:
        """What the tensors and attributes make of y, the products, rounded: all in one pass, where the quantizer can."""
        estimator = None if self.quantizer is None else self.quantizer.estimator
        return (
            None if self.quantizer is None or estimator is None else estimator.fused_activation(self.quantizer, y, self)
        )

    def rounded(self, y: Tensor) -> Tensor:
        """The result y by its quantizer."""
        return y if self.quantizer is None else self.quantizer.forward(y)

    def column(self, name: str) -> Tensor:
        """A tensor with one number for each channel, to be broadcast against the result."""
        return along(self.tensors[name], self.axis, self.xs[0].dim())

    @property
    def residual(self) -> Tensor | None:
        return OPS[self.op].find("residual", self.xs)


@dataclass(frozen=True)
class IntegerCall:
    """One integer node about to run: its tensors on the right device, its input types, its output, its operands' codes.

    `bound`: what no sum of products can exceed; None for an op without a weight.
    """

    node: Node
    tensors: Mapping[str, Tensor]
    inputs: list[Value]
    output: Value
    xs: list[Tensor]
    bound: int | None = None

    def centred(self, index: int = 0) -> Tensor:
        """step * code - zero_point of an operand."""
        type_ = codes_of(self.inputs[index])
        zero_point = torch.as_tensor(type_.zero_point, dtype=torch.float32)
        x = self.xs[index] * type_.step
        return x - zero_point.to(x.device).reshape(self.inputs[index].column)

    def store(self, t: Tensor) -> Tensor:
        """Rounded and clipped to codes; t itself where the output is float32."""
        if self.output.type is None:
            return t
        lo, hi = self.node.attrs.get("lo", 0), self.node.attrs.get("hi", self.output.type.codes.hi)
        return t.round().clamp(lo, hi) + 0.0  # never -0.0, which is no code

    def store_with_zero_point(self, t: Tensor) -> Tensor:
        """`store` for ops whose tensors do not hold the zero point of the output."""
        return self.store(t if self.output.type is None else t + self.output.type.one_shift)

    def epilogue(self, acc: Tensor) -> Tensor:
        """Turns an accumulator into codes or float32: m, b and `finish`."""
        t = acc.to(torch.float32) * self.tensors["m"].reshape(self.output.column)
        return self.finish(t + self.tensors["b"].reshape(self.output.column))

    def finish(self, t: Tensor) -> Tensor:
        """Finish an epilogue after m and b: add the residual if there is one, then store codes or float32."""
        residual = OPS[self.node.op].find("residual", range(len(self.xs)))
        if residual is not None:
            t = t + self.centred(residual) * self.tensors["m_r"]
        return self.store(t)

    @property
    def exact_dtype(self) -> torch.dtype:
        """The cheaper float type in which the sums of products are exact; never float32 where torch may round its inputs.

        What is traced may run anywhere and with other settings.
        """
        unrounded = not torch.compiler.is_compiling() and torch.get_float32_matmul_precision() == "highest"
        small = self.bound is not None and self.bound < FLOAT32_EXACT
        return torch.float32 if small and unrounded else torch.float64


FloatFunction = Callable[[FloatCall], Tensor]
IntegerFunction = Callable[[IntegerCall], Tensor]
Move = Callable[[Mapping[str, Any], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class TorchOp:
    """An op in PyTorch: its float function where it is a float op, its integer function where it is an integer op."""

    name: str
    float_function: FloatFunction | None = None
    integer_function: IntegerFunction | None = None
    rounds: bool = False
    """Whether the float function also rounds, by the quantizer of its call."""
    windows: Callable[[Node, Tensor], Tensor] | None = None
    """What an op multiplies its weight by: for each number of the result its inputs, [groups, K, pixels of all images]."""


def moving(name: str, move: Move) -> TorchOp:
    """An op that moves codes as it moves reals: `move(attrs, xs)`."""
    return TorchOp(name, lambda call: move(call.attrs, call.xs), lambda call: move(call.node.attrs, call.xs))


def along(numbers: Tensor, axis: int, dim: int) -> Tensor:
    """Numbers [C] in the shape in which they broadcast along one axis of `dim`."""
    return numbers.reshape([-1 if i == axis else 1 for i in range(dim)])
