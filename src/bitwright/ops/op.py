"""What an op must offer, and the checks that every op shares.

A float op infers its result and lowers itself to an integer node. An integer op infers its result, checks itself before it is
used (an artifact may come from anywhere), and runs: its `run` is the NumPy reference, which defines the arithmetic.
Arrays in `run` are codes, uint8 [N, ...] with the axes of their value; NumPy's float matmul is used where sums of integers
stay exact.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from bitwright.errors import GraphError, OverflowBoundError
from bitwright.graph import Node, Shape, Value
from bitwright.qtensor import QType

Array = npt.NDArray[Any]
Rule = Callable[[Any], bool]
T = TypeVar("T")
INT32_MAX = 2**31 - 1
LARGEST = 1e24
"""Multipliers may not be larger: so no epilogue can leave float32, whatever its int32 accumulator holds."""


def integers(count: int, lo: int = 0, hi: int = 2**15) -> Rule:
    """An attribute that is a tuple of `count` integers in lo..hi."""
    return lambda v: isinstance(v, tuple) and len(v) == count and all(type(i) is int and lo <= i <= hi for i in v)


def integer(lo: int = 0, hi: int = 2**31) -> Rule:
    """An attribute that is one integer in lo..hi."""
    return lambda v: type(v) is int and lo <= v <= hi


class Op(ABC):
    """An op of the intermediate representation."""

    name: ClassVar[str]
    arity: ClassVar[tuple[int, int]] = (1, 1)
    roles: ClassVar[tuple[str, ...]] = ("codes",)
    """What its operands are for, in their order; further ones do what the last does. An operand that may be missing is last."""
    moves: ClassVar[bool] = False
    """True where numbers only change their places."""
    any_channel: ClassVar[bool] = False
    """True where any axis of the result may be its channel; `infer` proposes one."""
    takes_float: ClassVar[bool] = False
    """True where the input may be float32: the last reshape, behind the op that computes the logits."""
    weighted: ClassVar[bool] = False
    """True where it multiplies codes by a weight, which has codes and a scheme of its own."""

    @abstractmethod
    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        """Shape and channel axis of the result; GraphError where the inputs do not fit."""

    def channel_of(self, shape: Shape) -> int | None:
        """Which axis of an input of this shape has to be its channel; None where any may be."""
        return None

    def role(self, position: int) -> str:
        """What the operand at a position is for."""
        return self.roles[min(position, len(self.roles) - 1)]

    def find(self, role: str, operands: Sequence[T]) -> T | None:
        """The first of a node's operands (names, arrays or types, in order) that has this role; None where none has."""
        return next((operand for i, operand in enumerate(operands) if self.role(i) == role), None)

    def main(self, operands: Sequence[T]) -> T:
        """The first operand with the role `codes`, which an op that reads anything has."""
        return operands[self.roles.index("codes")]


def expect_one_channel(op: str, inputs: Sequence[Value]) -> None:
    """Raise GraphError unless all inputs have the same axis as their channel."""
    if any(value.channel != inputs[0].channel for value in inputs):
        raise GraphError(f"{op} needs inputs with one axis as channel, found {[value.channel for value in inputs]}")


class FloatOp(Op):
    """An op that capture produces."""

    passes_type: ClassVar[bool] = False
    """True where codes pass through unchanged, so that the result has the type of the input."""
    writes_float: ClassVar[bool] = False
    """True where the result may be float32: an epilogue without its rounding."""
    parameters: ClassVar[tuple[str, ...]] = ()
    """The tensors that training changes; those of a fused batch norm among them."""
    has_epilogue: ClassVar[bool] = False
    """True where it rounds sums or products, so that a clamp behind it becomes the bounds of its codes."""
    folds_image: ClassVar[bool] = False
    """True where it reads the image as it is: the scales and offsets of the image's channels go into its weight and bias."""
    groups_inputs: ClassVar[bool] = False
    """True where a weight may have a scale for each group of neighbouring inputs, and not only for each output channel."""
    smoothable: ClassVar[bool] = False
    """True where its parameters can take in a factor for each channel of the result."""
    affine: ClassVar[bool] = False
    """True where the result is gain * x + shift for each channel, by tensors `bn_*`, and nothing else."""
    clamps: ClassVar[bool] = False
    """True where it clips by its attribute `clamp` and does nothing else."""
    sums: ClassVar[bool] = False
    """True where it adds up two values and does nothing else."""
    takes_shifts: ClassVar[bool] = False
    """True where it adds tensors `before` and `after`, one number for each channel, to what it reads and computes."""
    requantizes: ClassVar[bool] = False
    """True where it writes the numbers that it reads in codes of another type, and does nothing else."""
    joins: ClassVar[bool] = False
    """True where the result holds several values side by side, so that they must share a type."""
    needs_zero: ClassVar[bool] = False
    """True where it writes zeros of its own, for which the type of the result must have a code."""
    keeps_sign: ClassVar[bool] = False
    """True where the result is never negative if no input is."""
    elementwise: ClassVar[bool] = False
    """True where each number of the result is a function of the number in its place."""
    carries: ClassVar[str | None] = None
    """The role of the operand whose channels it mixes over places alone, so that their scales are those of the result."""
    multiplies: ClassVar[bool] = True
    """False where it looks its inputs' codes up or norms their sum, so that 8 bits cost it no more than fewer."""
    keeps_mean: ClassVar[bool] = False
    """True where the mean of each channel of the result is that of the input."""

    @abstractmethod
    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        """The integer node for this float node, with types of its inputs and its output known. All in float64."""

    def factors(self, node: Node, output: Value) -> Mapping[str, Shape]:
        """Tensors of ones, by name and shape, that a correction may change: one number for each channel, by which what is read
        or written is multiplied. Most ops have none: theirs go into weights, gains and shifts."""
        return {}

    def never_negative(self, node: Node) -> bool:
        """True where the result is known to be zero or more, whatever the inputs are."""
        return False

    def compose(self, first: Node, second: Node) -> Node | None:
        """One node for two of this op in a row; None where there is none."""
        return None


class IntegerOp(Op):
    """An op that an artifact may hold."""

    attrs: ClassVar[Mapping[str, Rule]] = {}
    takes_image: ClassVar[bool] = False
    """True where the input may have a zero point per channel."""

    @property
    def bounds_codes(self) -> bool:
        """True where its node says how large the codes that it writes may be, or they are those of its input."""
        return "hi" in self.attrs

    def validate(self, node: Node, inputs: Sequence[Value], output: Value) -> None:
        """Raise GraphError unless the node is complete and consistent with its inputs and its output."""
        where = f"node {node.name!r} ({self.name})"
        least, most = self.arity
        if not least <= len(inputs) <= most:
            raise GraphError(f"{where}: expected {least} to {most} inputs, found {len(inputs)}")
        if node.attrs.keys() != self.attrs.keys():
            raise GraphError(f"{where}: expected attributes {sorted(self.attrs)}, found {sorted(node.attrs)}")
        for key, rule in self.attrs.items():
            if not rule(node.attrs[key]):
                raise GraphError(f"{where}: attribute {key} has the bad value {node.attrs[key]!r:.100}")
        for name, value in zip(node.inputs, inputs, strict=True):
            if value.type is None and not self.takes_float:
                raise GraphError(f"{where}: input {name!r} is float32; only codes can be computed with")
            if value.type is not None and value.type.per_channel and not self.takes_image:
                raise GraphError(f"{where}: input {name!r} has a zero point per channel, which this op does not take")
        if output.type is not None and output.type.per_channel:
            raise GraphError(f"{where}: only the image has a zero point per channel")
        found = self.infer(node, inputs)
        if found.shape != output.shape:
            raise GraphError(f"{where}: expected the shape {found.shape}, found {output.shape}")
        if not self.any_channel and found.channel != output.channel:
            raise GraphError(f"{where}: expected axis {found.channel} as its channel, found axis {output.channel}")
        self.check(node, inputs, output, where)

    @abstractmethod
    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        """Raise GraphError unless tensors, types and bounds are right. Attributes and shapes already are."""

    @abstractmethod
    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        """Compute the result: codes as uint8, or float32."""

    def simplest(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        """The node, of this op or a simpler one, that engines run in place of a checked node: the result is the same."""
        return node


class SameTypeOp(FloatOp, IntegerOp):
    """An op that moves codes and does not change them: the same float and integer op, the same type on both sides."""

    passes_type = True
    keeps_sign = True
    bounds_codes = True

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        return node

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        expect_tensors(node, where, {})
        for name, value in zip(node.inputs, inputs, strict=True):
            if value.type != output.type:
                raise GraphError(f"{where}: input {name!r} and the result must have one type")


class MoveOp(SameTypeOp):
    """An op that only changes where numbers are."""

    moves = True
    any_channel = True


def codes_of(value: Value) -> QType:
    """The type of a value that is known to be codes."""
    if value.type is None:
        raise GraphError("expected codes, found float32")
    return value.type


def expect_tensors(node: Node, where: str, expected: Mapping[str, tuple[str, Shape]]) -> None:
    """Raise GraphError unless the node has exactly these tensors (dtype, shape); floats must be zero or normal."""
    if node.tensors.keys() != expected.keys():
        raise GraphError(f"{where}: expected tensors {sorted(expected)}, found {sorted(node.tensors)}")
    for key, (dtype, shape) in expected.items():
        found = node.tensors[key]
        if found.dtype != dtype or found.shape != shape:
            raise GraphError(f"{where}: {key} must be {dtype} {shape}, found {found.dtype} {found.shape}")
        if dtype == "float32":
            size = np.abs(found)
            if not (size <= LARGEST).all() or ((size > 0) & (size < np.finfo(np.float32).tiny)).any():
                raise GraphError(
                    f"{where}: {key} holds a number that is not finite, not normal, or larger than {LARGEST}"
                )


def tensor(node: Node, key: str) -> Array:
    """A tensor of a node; GraphError if it is missing."""
    if key not in node.tensors:
        raise GraphError(f"node {node.name!r} ({node.op}): the tensor {key!r} is missing")
    return node.tensors[key]


def check_overflow(weight: Array, x: QType, where: str, advice: str = "") -> None:
    """Raise OverflowBoundError if an accumulator of weight [O, ...] over codes of type x may leave int32.

    `advice` is what helps besides fewer bits.
    """
    if weight.dtype == np.int8 and weight[0].size * 128 * x.reach <= INT32_MAX:
        return  # whatever the codes are; adding up all weights of a network takes a while
    bound = worst_case(weight, x)
    if bound > INT32_MAX:
        raise OverflowBoundError(
            f"{where}: the accumulator may reach {bound}, past int32's {INT32_MAX}; use fewer bits for weights or inputs"
            f"{advice}"
        )


NUMBERS_AT_ONCE = 2**15
"""Of weights that are added up: those of a file of bits take eight times its size already."""


def worst_case(weight: Array, x: QType) -> int:
    """max over output channels of sum |weight| * max |code - zero_point|."""
    rows = weight.reshape(weight.shape[0], -1)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, rows.shape[1]))
    most = 0
    for first in range(0, rows.shape[0], at_once):
        some = rows[first : first + at_once]
        parts = range(0, rows.shape[1], NUMBERS_AT_ONCE)
        sums = sum(np.abs(some[:, i : i + NUMBERS_AT_ONCE].astype(np.int64)).sum(axis=1) for i in parts)
        most = max(most, int(np.max(sums, initial=0)))
    return most * x.reach


def exact_dtype(bound: int) -> type[np.floating[Any]]:
    """The cheapest float type in which sums of integers up to `bound` are exact in any order."""
    return np.float32 if bound < 2**24 else np.float64


def float32(x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Round float64 multipliers to float32 once; subnormal results become zero, so that no CPU mode can change them."""
    rounded = np.atleast_1d(np.asarray(x, np.float64)).astype(np.float32)
    return np.where(np.abs(rounded) < np.finfo(np.float32).tiny, np.float32(0), rounded)
