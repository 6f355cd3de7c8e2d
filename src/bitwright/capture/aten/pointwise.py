"""Sums, products and bounds, as ATen spells them: with `alpha`, and either operand a constant."""

from typing import Any

import numpy as np

from bitwright.capture.arithmetic import scaled
from bitwright.capture.aten.arguments import Mapping, args
from bitwright.capture.draft import Constant, Operand, as_constant
from bitwright.capture.program import Fx, Program


def clamp(lo: Any, hi: Any) -> Mapping:
    """A clamp between these bounds, whatever the arguments are."""
    return lambda p, fx: p.builder.clamp(p.operand(fx.args[0]), lo, hi)


def clamp_to(p: Program, fx: Fx) -> str:
    x, lo, hi = args(fx, None, None)
    return p.builder.clamp(p.operand(x), lo, hi)


def hardtanh(p: Program, fx: Fx) -> str:
    x, lo, hi = args(fx, -1, 1)
    return p.builder.clamp(p.operand(x), lo, hi)


def clamp_min(p: Program, fx: Fx) -> str:
    x, lo = args(fx)
    return p.builder.clamp(p.operand(x), lo, None)


def clamp_max(p: Program, fx: Fx) -> str:
    x, hi = args(fx)
    return p.builder.clamp(p.operand(x), None, hi)


def of_two(name: str) -> Mapping:
    """The builder's method of this name, which takes two operands."""
    return lambda p, fx: getattr(p.builder, name)(p.operand(fx.args[0]), p.operand(fx.args[1]))


def add(p: Program, fx: Fx) -> str:
    x, other, alpha = args(fx, 1)
    first, second = p.operand(x), p.operand(other)
    if not isinstance(second, str):
        return p.builder.add(first, scaled(second, alpha))
    if not isinstance(first, str):
        return p.builder.affine(second, alpha, first)
    return p.builder.add(first, second if alpha == 1 else p.builder.affine(second, alpha, 0))


def sub(p: Program, fx: Fx) -> str:
    x, other, alpha = args(fx, 1)
    return _difference(p, x, other, alpha)


def rsub(p: Program, fx: Fx) -> str:
    x, other, alpha = args(fx, 1)
    return _difference(p, other, x, alpha)


def _difference(p: Program, x: Any, other: Any, alpha: float) -> str:
    first, second = p.operand(x), p.operand(other)
    if not isinstance(second, str):
        return p.builder.add(first, scaled(second, -alpha))
    if not isinstance(first, str):
        return p.builder.affine(second, -alpha, first)
    return p.builder.add(first, p.builder.affine(second, -alpha, 0))


def addcmul(p: Program, fx: Fx) -> str:
    """x + value * first * second."""
    x, first, second, value = args(fx, 1)
    product = p.builder.mul(p.operand(first), p.operand(second))
    return p.builder.add(p.operand(x), product if value == 1 else p.builder.mul(product, value))


def lerp(p: Program, fx: Fx) -> str:
    """x + weight * (end - x)."""
    x, end, weight = (operand if isinstance(operand, int | float) else p.operand(operand) for operand in args(fx))
    if not isinstance(weight, int | float):
        return p.builder.add(x, p.builder.mul(p.builder.sub(end, x), weight))
    parts = (
        p.builder.mul(operand, share) if isinstance(operand, str) else scaled(operand, share)
        for operand, share in ((x, 1 - weight), (end, weight))
    )
    return p.builder.add(*parts)


def neg(p: Program, fx: Fx) -> str:
    return p.builder.neg(p.operand(fx.args[0]))


def glu(p: Program, fx: Fx) -> str:
    x, dim = args(fx, -1)
    return p.builder.glu(p.operand(x), p.axis(fx, dim))


def power(p: Program, fx: Fx) -> str:
    """x to the power of numbers that the model has learned, as generalised means have it: fixed from here on."""
    x, exponent = fx.args
    return p.builder.power(p.operand(x), p.operand(exponent))


def where(p: Program, fx: Fx) -> str:
    return _chosen(p, *fx.args)


def masked_fill(p: Program, fx: Fx) -> str:
    x, mask, number = args(fx)
    return _chosen(p, mask, number, x)


def _chosen(p: Program, condition: Any, x: Any, y: Any) -> str:
    """x where a condition holds, else y: each times 1 or 0, and their sum."""
    given = p.operand(condition)
    mask: Operand = given if isinstance(given, str) else Constant(as_constant(given).array.astype(np.float32))
    rest = p.builder.affine(mask, -1, 1) if isinstance(mask, str) else Constant(1 - as_constant(mask).array)
    return p.builder.add(_kept(p, x, mask), _kept(p, y, rest))


def _kept(p: Program, x: Any, mask: Operand) -> Operand:
    found = x if isinstance(x, int | float) else p.operand(x)
    if isinstance(found, str) or isinstance(mask, str):
        return p.builder.mul(found, mask)
    array = as_constant(found).array
    return Constant(np.where(as_constant(mask).array > 0, array, 0).astype(np.float32))
