"""Pads as ATen spells them. One of minus infinity in front of a max pool is the padding that such a pool has anyway."""

import math
from typing import Any

from bitwright.capture.aten.arguments import args, pair
from bitwright.capture.builder import HIDDEN
from bitwright.capture.draft import Operand, Unmapped
from bitwright.capture.program import Fx, Program
from bitwright.capture.tail import op_name
from bitwright.capture.windows import Sides


def pad(p: Program, fx: Fx) -> Operand:
    x, padding, mode, filling = args(fx, "constant", None)
    return _padded(p, fx, x, padding, mode, float(filling or 0))


def constant_pad(p: Program, fx: Fx) -> Operand:
    x, padding, filling = args(fx, 0)
    return _padded(p, fx, x, padding, "constant", float(filling))


def _padded(p: Program, fx: Fx, x: Fx, padding: list[int], mode: str, filling: float) -> Operand:
    if _is_below_all(fx):
        return p.operand(x)
    if filling == -math.inf:
        raise Unmapped("a pad of minus infinity that a max pool does not read")
    sides = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)][::-1]
    return p.builder.padded(p.operand(x), sides, mode, filling)


def _is_below_all(fx: Fx) -> bool:
    """Whether a node pads for max pools alone, by what is as good as minus infinity: files have the least float32."""
    filling = fx.args[-1] if op_name(fx) in ("pad", "constant_pad_nd") else None
    by_pools = {op_name(user).removesuffix("_with_indices") for user in fx.users} == {"max_pool2d"}
    return isinstance(filling, int | float) and filling <= HIDDEN and by_pools


def of_max_pool2d(fx: Fx, padding: Any, ceil: bool) -> Sides:
    """The sides of a max pool, and those of a pad of minus infinity in front of it: (top, left, bottom, right)."""
    top, left, bottom, right = pair(padding) * 2
    before = fx.args[0]
    if not isinstance(before, Fx) or not _is_below_all(before):
        return top, left, bottom, right
    more = list(before.args[1])  # type: ignore[arg-type]
    if ceil or len(more) != 4 or min(more) < 0:
        raise Unmapped(f"a pad {more} of minus infinity in front of a max pool")
    return top + more[2], left + more[0], bottom + more[3], right + more[1]
