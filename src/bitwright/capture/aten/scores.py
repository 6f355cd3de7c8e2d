"""The scores of an attention that is spelled in several ops, from its softmax back to the product of queries and keys."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitwright.capture.aten.arguments import args
from bitwright.capture.builder import HIDDEN
from bitwright.capture.draft import Array, Constant, as_constant
from bitwright.capture.program import Fx, Program
from bitwright.capture.tail import op_name
from bitwright.graph import Shape

PASSED = ("clone", "contiguous", "_to_copy", "to", "alias", "detach", "dropout", "type_as", "expand")
RESHAPES = ("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze")


@dataclass(frozen=True)
class Product:
    """A product of two fx nodes over their last axes; one that is turned has these two the other way round."""

    first: Fx
    first_turned: bool
    second: Fx
    second_turned: bool


@dataclass(frozen=True)
class Scores:
    """scale * gain * query key^T + bias; the gain is [B, 1, 1] and the bias [B, T, S], for heads in turn."""

    query: Fx
    query_turned: bool
    key: Fx
    key_turned: bool
    scale: float
    gain: Array | None
    bias: Array | None

    def gain_for(self, heads: Shape) -> Array:
        """The gain in a shape that is broadcast against queries of these heads, [..., T, D]."""
        assert self.gain is not None
        repeated = np.tile(self.gain, (math.prod(heads) // len(self.gain), 1, 1))
        return repeated.reshape((1, *heads, 1, 1)).astype(np.float32)


def product(fx: Fx, *, apart: bool = True) -> Product | None:
    """The product that an fx node is, of matrices or as an einsum; None where it is none.

    `apart`: what it reads is told from its being transposed.
    """
    if op_name(fx) in ("matmul", "bmm", "mm"):
        first, second = args(fx)
        return Product(*_untransposed(first), *_untransposed(second)) if apart else Product(first, False, second, False)
    if op_name(fx) != "einsum" or len(fx.args[1]) != 2:  # type: ignore[arg-type]
        return None
    reads, _, result = str(fx.args[0]).replace(" ", "").partition("->")
    first, _, second = reads.partition(",")
    heads = result[:-2]
    if len(result) < 2 or first[:-2] != heads or second[:-2] != heads:
        return None
    row, column = result[-2], result[-1]
    shared = "".join((set(first[-2:]) & set(second[-2:])) - {row, column})
    if len(shared) != 1 or {*first[-2:]} != {row, shared} or {*second[-2:]} != {shared, column}:
        return None
    operands: Any = fx.args[1]
    return Product(operands[0], first[-1] == row, operands[1], second[-1] == shared)


def _untransposed(fx: Any) -> tuple[Fx, bool]:
    """What an fx node is the transpose of, and True; or itself, and False."""
    rank = fx.meta["val"].dim()
    if op_name(fx) == "transpose" and {int(dim) % rank for dim in fx.args[1:3]} == {rank - 2, rank - 1}:
        return fx.args[0], True
    if op_name(fx) == "permute" and [dim % rank for dim in fx.args[1]] == [*range(rank - 2), rank - 1, rank - 2]:
        return fx.args[0], True
    return fx, False


def softmax_below(fx: Fx, turned: bool) -> Fx | None:
    """What a softmax is taken of over the last axis; None where there is none, or where it is turned."""
    while op_name(fx) in PASSED or (op_name(fx) in RESHAPES and _keeps_last(fx)):
        fx = fx.args[0]  # type: ignore[assignment]
    if turned or op_name(fx) not in ("softmax", "_softmax"):
        return None
    rank, axis = fx.meta["val"].dim(), fx.args[1]
    return fx.args[0] if isinstance(axis, int) and axis % rank == rank - 1 else None  # type: ignore[return-value]


def _keeps_last(fx: Fx) -> bool:
    """Whether a reshape leaves the last two axes as they are."""
    before, after = (node.meta["val"].shape for node in (fx.args[0], fx))  # type: ignore[union-attr]
    return (
        len(before) >= 2
        and len(after) >= 2
        and list(before[-2:]) == list(after[-2:])
        and all(isinstance(s, int) for s in after[-2:])
    )


def scores_below(p: Program, fx: Fx) -> Scores | None:
    """The scores that an fx node computes; None where it computes something else."""
    scale, gain, bias = 1.0, None, None
    while True:
        name = op_name(fx)
        given = None if name not in CHANGES else _constant_operand(p, fx)
        if name in PASSED or (name in RESHAPES and _keeps_last(fx)):
            fx = fx.args[0]  # type: ignore[assignment]
        elif name in ("mul", "div") and given is not None:
            fx, number = given
            factor = number if name == "mul" else 1 / number
            if factor.size == 1:
                scale *= float(factor.reshape(-1)[0])
            elif factor.ndim > 1 and factor.shape[-2:] == (1, 1):
                gain = _times(gain, _for_heads(p, fx, factor))
            else:
                return None
        elif name in ("add", "sub", "masked_fill", "where") and given is not None:
            first, added = given
            added = _for_heads(p, fx, -added if name == "sub" else added)
            bias = _plus(bias, _times(gain, scale * added))
            fx = first
        else:
            break
    found = product(fx)
    if found is None or any(isinstance(p.env.get(read), Constant) for read in (found.first, found.second)):
        return None
    query, by_query = _without_scale(p, found.first)
    key, by_key = _without_scale(p, found.second)
    bias = None if bias is None else np.broadcast_to(bias, (len(bias), *map(int, fx.meta["val"].shape[-2:])))
    return Scores(query, found.first_turned, key, not found.second_turned, scale * by_query * by_key, gain, bias)


CHANGES = ("mul", "div", "add", "sub", "masked_fill", "where")
LEAST_SEEN = -1e4
"""A key of such a score has no weight, whatever is added to it."""


def _constant_operand(p: Program, fx: Fx) -> tuple[Fx, Array] | None:
    """What an op of a value and constants does to the value: the value, and the factor or summand; None for other ops."""
    if op_name(fx) == "masked_fill":
        x, mask, number = fx.args[:3]
        return _hidden_where(x, _array(p, mask), _array(p, number))
    if op_name(fx) == "where":
        mask, x, y = fx.args[:3]
        hides, by_x = _array(p, mask), _array(p, x)
        if hides is not None and by_x is None:
            return _hidden_where(x, ~hides.astype(bool), _array(p, y))
        return _hidden_where(y, hides, by_x)
    if fx.kwargs.get("alpha", 1) != 1 or fx.kwargs.get("rounding_mode") is not None or len(fx.args) > 2:
        return None
    x, y = fx.args[:2]
    second = _array(p, y)
    if second is not None and isinstance(x, Fx):
        return x, second.astype(np.float64)
    first = _array(p, x) if op_name(fx) in ("mul", "add") else None
    return None if first is None or not isinstance(y, Fx) else (y, first.astype(np.float64))


def _hidden_where(x: Any, hides: Array | None, filling: Array | None) -> tuple[Fx, Array] | None:
    """None where what takes a score's place is no bias of it: it is one only where both hide the key."""
    if hides is None or filling is None or not isinstance(x, Fx) or not (filling <= LEAST_SEEN).all():
        return None
    return x, np.where(hides, np.maximum(filling.astype(np.float64), HIDDEN), 0.0)


def _array(p: Program, arg: Any) -> Array | None:
    if isinstance(arg, int | float):
        return np.asarray(arg)
    found = p.env.get(arg) if isinstance(arg, Fx) else None
    return found.array if isinstance(found, Constant) else None


def _without_scale(p: Program, fx: Fx) -> tuple[Fx, float]:
    """What an fx node is a multiple of, and how many times."""
    scale = 1.0
    while op_name(fx) in ("mul", "div"):
        given = _constant_operand(p, fx)
        if given is None or given[1].size != 1:
            break
        number = float(given[1].reshape(-1)[0])
        scale, fx = scale * (number if op_name(fx) == "mul" else 1 / number), given[0]
    return fx, scale


def _for_heads(p: Program, fx: Fx, constant: Array) -> Array:
    """A constant that is broadcast against scores [..., T, S], as [B, T or 1, S or 1] for heads in turn."""
    sizes = fx.meta["val"].shape
    share = _share(p, fx)
    heads = [int(size) if isinstance(size, int) else share for size in sizes[:-2]]
    full = np.maximum(constant, HIDDEN).reshape((1,) * (len(sizes) - constant.ndim) + constant.shape)
    first = next((i for i, size in enumerate(full.shape[:-2]) if size != 1), len(heads))
    given = full.reshape(full.shape[first:])
    whole = np.broadcast_to(given, (*heads[first:], *given.shape[-2:]))
    return np.array(whole.reshape(-1, *given.shape[-2:]))


def _share(p: Program, fx: Fx) -> int:
    """How often the axis that holds the batch holds it."""
    (size,) = [size for size in fx.meta["val"].shape if not isinstance(size, int)] or [p.batch]
    return int(getattr(getattr(size, "node", None), "expr", p.batch) / p.batch)


def _plus(first: Array | None, second: Array) -> Array:
    if first is None:
        return second
    alike = _alike(first, second)
    return alike[0] + alike[1]


def _times(first: Array | None, second: Array) -> Array:
    if first is None:
        return second
    alike = _alike(first, second)
    return alike[0] * alike[1]


def _alike(first: Array, second: Array) -> tuple[Array, Array]:
    """Both repeated to as many heads as both have in turn."""
    count = math.lcm(len(first), len(second))
    return np.tile(first, (count // len(first), 1, 1)), np.tile(second, (count // len(second), 1, 1))


def as_bias(p: Program, fx: Fx, mask: Fx) -> Array:
    """A mask of an attention, which scores are added to or which is true for keys that are seen, as `Scores` has biases."""
    given = as_constant(p.operand(mask)).array
    added = np.where(given, 0.0, HIDDEN) if given.dtype == np.bool_ else given.astype(np.float64)
    query, key = fx.args[:2]
    count = [int(x.meta["val"].shape[-2]) for x in (query, key)]  # type: ignore[union-attr]
    found = _for_heads(p, query, added)  # type: ignore[arg-type]
    return np.broadcast_to(found, (len(found), *count))
