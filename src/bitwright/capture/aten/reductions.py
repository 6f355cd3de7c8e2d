"""What mixes numbers along axes without having learned how, as ATen spells it: sums, means, maxima, products, softmax."""

from typing import Any

import numpy as np

from bitwright.capture.aten import moves
from bitwright.capture.aten.arguments import Mapping, args
from bitwright.capture.draft import Unmapped
from bitwright.capture.program import Fx, Program
from bitwright.capture.tail import op_name
from bitwright.ops.function import Step


def reduced(name: str) -> Mapping:
    """The builder's method of this name, which takes axes."""

    def mapping(p: Program, fx: Fx) -> str:
        x, dims, keep, *_ = args(fx, [], False, None) if len(fx.target._schema.arguments) > 3 else args(fx, [], False)  # type: ignore[union-attr]
        return getattr(p.builder, name)(p.operand(x), [p.axis(x, dim) for dim in _over(dims, name)], keep=keep)  # type: ignore[no-any-return]

    return mapping


SPREADS = ("var", "std", "var_mean", "std_mean")


def spread(p: Program, fx: Fx) -> Any:
    """A variance over axes, or its square root; or one of them and the mean."""
    by_correction = str(fx.target).endswith(".correction")
    x, dims, correction, keep = args(fx, None, None, False) if by_correction else args(fx, True, False)
    axes = [p.axis(x, dim) for dim in _over(dims, "variance")]
    name, (root, _, and_mean) = p.operand(x), op_name(fx).partition("_")
    found = p.builder.variance(name, axes, 1 if correction is None else float(correction), keep=keep)
    if root == "std":
        found = p.builder.function(found, [Step("sqrt")])
    return (found, p.builder.mean(name, axes, keep=keep)) if and_mean else found


def _over(dims: Any, what: str) -> list[int]:
    over = [dims] if isinstance(dims, int) else list(dims or ())
    if not over:
        raise Unmapped(f"a {what} over all axes, the batch among them")
    return over


def cumsum(p: Program, fx: Fx) -> str:
    """Sums of all numbers so far along an axis: by a matrix."""
    x, dim, _ = args(fx, None)
    axis = p.axis(x, dim)
    return p.builder.along(p.operand(x), axis, np.tri(p.builder.size_of(p.operand(x), axis)))


def softmax(p: Program, fx: Fx) -> str:
    x, dim, *_ = args(fx)
    return p.builder.softmax(p.operand(x), p.axis(x, dim))


def log_softmax(p: Program, fx: Fx) -> str:
    x, dim, *_ = args(fx)
    return p.builder.log_softmax(p.operand(x), p.axis(x, dim))


def vector_norm(p: Program, fx: Fx) -> str:
    x, order, dims, keep, *_ = args(fx, 2, None, False, None)
    if order != 2 or not dims:
        raise Unmapped(f"a norm of order {order} over {dims}")
    return p.builder.length(p.operand(x), [p.axis(x, dim) for dim in dims], keep=keep)


REDUCTIONS: dict[str, Mapping] = {
    "aten.mean.dim": reduced("mean"),
    "aten.sum.dim_IntList": reduced("sum"),
    "aten.prod.dim_int": reduced("prod"),
    "aten.logsumexp.default": reduced("log_sum_exp"),
    "aten.amax.default": reduced("max"),
    "aten.amin.default": reduced("min"),
    "aten.max.dim": moves.max_of,
    "aten.min.dim": moves.min_of,
    **{f"aten.{name}.{form}": spread for name in SPREADS for form in ("dim", "correction")},
    "aten.cumsum.default": cumsum,
    "aten.softmax.int": softmax,
    "aten._softmax.default": softmax,
    "aten.log_softmax.int": log_softmax,
    "aten._log_softmax.default": log_softmax,
    "aten.linalg_vector_norm.default": vector_norm,
    "aten.norm.ScalarOpt_dim": vector_norm,
}
"""What of the table is one of them."""
