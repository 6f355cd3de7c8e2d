"""What is written into a tensor, as functional code says it: the tensor with the new numbers in place of some."""

from typing import Any

import numpy as np

from bitwright.capture.aten.arguments import args
from bitwright.capture.draft import Constant, Operand, as_constant
from bitwright.capture.program import Fx, Program, in_full
from bitwright.graph import Shape


def is_whole(p: Program, start: Any, stop: Any, step: int) -> bool:
    """Whether a slice leaves nothing out; a stop that is a number of the program is the size of the batch."""
    ends = stop is None or (isinstance(stop, Fx) and p.env[stop] is None) or stop >= 2**62
    return bool((start or 0) == 0 and ends and step == 1)


def slice_scatter(p: Program, fx: Fx) -> Any:
    """`x[:, 2:5] = y`, as functional code says it: what is in front of y, y, and what is behind it."""
    x, _, dim, start, stop, step = args(fx, 0, None, None, 1)
    if is_whole(p, start, stop, step):
        return copied(p, fx)
    axis, sizes = p.axis(x, dim), p.shape(fx)
    first, last, _ = slice(start, stop).indices(sizes[axis])
    if step != 1:
        return _every(p, fx, axis, range(first, last, step))
    return _assigned(p, fx, axis, first, max(first, last), sizes)


def select_scatter(p: Program, fx: Fx) -> str:
    """`x[:, 2] = y`."""
    x, _, dim, index = args(fx)
    axis, sizes = p.axis(x, dim), p.shape(fx)
    first = index % sizes[axis]
    return _assigned(p, fx, axis, first, first + 1, sizes)


def _assigned(p: Program, fx: Fx, axis: int, first: int, last: int, sizes: Shape) -> str:
    x, part = p.operand(fx.args[0]), p.operand(fx.args[1])
    whole = in_full(x, sizes) if isinstance(x, Constant) else x
    within = (*sizes[:axis], last - first, *sizes[axis + 1 :])
    new = in_full(part, within) if isinstance(part, Constant) else p.builder.reshape(part, within)
    ends = [_part(p, whole, axis, *end) for end in ((0, first), (last, sizes[axis])) if end[0] < end[1]]
    front, behind = ends[:1] if first else [], ends[bool(first) :]
    return p.builder.concat([*front, new, *behind], axis)


def _part(p: Program, whole: Operand, axis: int, first: int, last: int) -> Operand:
    if isinstance(whole, Constant):
        return Constant(whole.array[(slice(None),) * (axis + 1) + (slice(first, last),)])
    return p.builder.slice(whole, axis, first, last, 1)


def _every(p: Program, fx: Fx, axis: int, places: range) -> str:
    """What is assigned lies behind the tensor, and is taken from there."""
    x, part = (p.operand(arg) for arg in fx.args[:2])
    sizes = p.shape(fx)
    within = (*sizes[:axis], len(places), *sizes[axis + 1 :])
    both = [
        in_full(operand, shape) if isinstance(operand, Constant) else operand
        for operand, shape in ((x, sizes), (part, within))
    ]
    order = [sizes[axis] + places.index(i) if i in places else i for i in range(sizes[axis])]
    return p.builder.index_select(p.builder.concat(both, axis), axis, order)


def copied(p: Program, fx: Fx) -> Any:
    """`x.copy_(y)`: y, in the shape of x."""
    found = p.operand(fx.args[1])
    return p.builder.broadcast(found, p.shape(fx)) if isinstance(found, str) else found


def fill(p: Program, fx: Fx) -> Constant:
    """`x.fill_(y)` of a number y."""
    return Constant(np.full((1,) * fx.meta["val"].dim(), as_constant(p.operand(fx.args[1])).array, np.float32))
