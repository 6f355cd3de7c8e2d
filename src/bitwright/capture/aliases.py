"""ATen's second names: `torch.clip` is `torch.clamp`, `torch.special.erf` is `torch.erf`. Capture reads the first ones."""

from collections.abc import Callable
from typing import Any

import torch

from bitwright.ops.functions import FUNCTIONS

ALIASES = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "divide": "div",
    "fix": "trunc",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "special_expit": "sigmoid",
    "special_gammaln": "lgamma",
    "subtract": "sub",
    "true_divide": "div",
    **{f"special_{name}": name for name in FUNCTIONS},
}


def decompositions() -> dict[Any, Callable[..., Any]]:
    """A table for `run_decompositions`: each overload that has a second name, and the overload with the first name."""
    found: dict[Any, Callable[..., Any]] = {
        getattr(getattr(torch.ops.aten, alias), overload): getattr(getattr(torch.ops.aten, name), overload)
        for alias, name in ALIASES.items()
        for overload in _overloads(alias)
        if overload in _overloads(name) and "out" not in overload
    }
    return found | {getattr(torch.ops.aten, name).default: _added_product for name in ("addmm", "baddbmm")}


def _added_product(x: Any, first: Any, second: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    product = torch.ops.aten.matmul.default(first, second)
    return x * beta + product * alpha if (alpha, beta) != (1, 1) else x + product


def _overloads(name: str) -> list[str]:
    op = getattr(torch.ops.aten, name, None)
    return [] if op is None else list(op.overloads())
