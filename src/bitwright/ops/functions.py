"""Elementwise functions in NumPy, by the names that ATen gives them: one line each.

They compute the tables of the integer graph, in float64. The float model computes the same in PyTorch, where the function of
that name is `torch.ops.aten.NAME`, so nothing is written twice; `tests/ops/test_functions.py` holds the two against each other.
Arguments and defaults are ATen's. Where a function isn't finite the result is NaN or infinite, as in NumPy.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SELU_ALPHA, SELU_SCALE = (
    1.6732632423543772,
    1.0507009873554805,
)  # Klambauer et al. 2017, "Self-Normalizing Neural Networks"


def _each(function: Callable[[float], float]) -> Callable[[Any], Array]:
    """A function of Python floats applied to every number of an array; NaN where it raises, as the ones of NumPy do."""

    def one(v: float) -> float:
        try:
            return function(v)
        except (ValueError, OverflowError):
            return math.nan

    return lambda x: np.vectorize(one, otypes=[np.float64])(x)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(x * input_scale))


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + _erf(x / math.sqrt(2)))


def _div(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    q = np.true_divide(x, y)
    return q if rounding_mode is None else np.floor(q) if rounding_mode == "floor" else np.trunc(q)


def _logit(x: Any, eps: float | None = None) -> Any:
    p = x if eps is None else np.clip(x, eps, 1 - eps)
    return np.log(p / (1 - p))


def _lookup(x: Any, table: Any, x_scale: float, x_zero_point: int, y_scale: float, y_zero_point: int) -> Any:
    """A table from codes to codes of a quantized file, in straight lines between its entries."""
    return (np.interp(x / x_scale + x_zero_point, np.arange(len(table)), table) - y_zero_point) * y_scale


_erf = _each(math.erf)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    # of one number
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "celu": lambda x, alpha=1.0: _elu(x, alpha, 1.0, 1 / alpha),
    "clamp": lambda x, min=None, max=None: np.clip(x, min, max),
    "clamp_max": np.minimum,
    "clamp_min": np.maximum,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg2rad": np.deg2rad,
    "elu": _elu,
    "erf": _erf,
    "erfc": _each(math.erfc),
    "erfinv": _each(lambda v: NormalDist().inv_cdf((v + 1) / 2) / math.sqrt(2)),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "frac": lambda x: x - np.trunc(x),
    "gelu": _gelu,
    "hardshrink": lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardtanh": lambda x, min_val=-1, max_val=1: np.clip(x, min_val, max_val),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    "lgamma": _each(math.lgamma),
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "logical_not": np.logical_not,
    "logit": _logit,
    "lookup": _lookup,  # of no name in ATen
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "nan_to_num": lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(x, True, nan or 0.0, posinf, neginf),
    "neg": np.negative,
    "rad2deg": np.rad2deg,
    "reciprocal": lambda x: 1 / x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "round": lambda x, decimals=0: np.round(x, decimals),
    "rrelu": lambda x, lower=1 / 8, upper=1 / 3: np.where(x > 0, x, x * (lower + upper) / 2),  # outside of training
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "selu": lambda x: _elu(x, SELU_ALPHA, SELU_SCALE),
    "sgn": np.sign,
    "sigmoid": _sigmoid,
    "sign": np.sign,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sin": np.sin,
    "sinc": np.sinc,
    "sinh": np.sinh,
    "softplus": _softplus,
    "softshrink": lambda x, lambd=0.5: np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0)),
    "special_expit": _sigmoid,
    "special_ndtr": lambda x: (1 + _erf(x / math.sqrt(2))) / 2,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "threshold": lambda x, threshold, value: np.where(x > threshold, x, value),
    "trunc": np.trunc,
    # of several numbers, which together may be a function of one: x / (1 + abs(x))
    "add": lambda x, y, alpha=1: x + alpha * y,
    "atan2": np.arctan2,
    "copysign": np.copysign,
    "div": _div,
    "eq": np.equal,
    "floor_divide": lambda x, y: np.floor(np.true_divide(x, y)),
    "fmod": np.fmod,
    "ge": np.greater_equal,
    "gt": np.greater,
    "hypot": np.hypot,
    "le": np.less_equal,
    "lerp": lambda x, end, weight: x + weight * (end - x),
    "logaddexp": np.logaddexp,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "lt": np.less,
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "pow": lambda x, y: np.power(x, y, dtype=np.float64),
    "remainder": np.remainder,
    "rsub": lambda x, y, alpha=1: y - alpha * x,
    "sub": lambda x, y, alpha=1: x - alpha * y,
    "where": np.where,
}
NEVER_NEGATIVE = frozenset(
    (
        "abs",
        "exp",
        "exp2",
        "hardsigmoid",
        "hypot",
        "relu",
        "relu6",
        "sigmoid",
        "softplus",
        "special_expit",
        "sqrt",
        "square",
    )
)
