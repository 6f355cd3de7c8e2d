"""Numbers that change their places, as ATen spells them: with axes that count the batch, and from behind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bitwright.capture.aten import displaced
from bitwright.capture.aten.arguments import args
from bitwright.capture.draft import Constant, Unmapped, as_constant
from bitwright.capture.program import Fx, Program, in_full


def reshape(p: Program, fx: Fx) -> Any:
    x, sizes = p.operand(fx.args[0]), fx.meta["val"].shape
    alone = all(isinstance(size, int) for size in sizes)  # a constant that knows of no batch
    if not alone and not displaced.keeps_batch_first(p, fx):
        return displaced.reshape(p, fx)
    if isinstance(x, str):
        return p.builder.reshape(x, p.shape(fx))
    given = as_constant(x)
    array = displaced.once(fx.args[0], given).reshape([size if isinstance(size, int) else 1 for size in sizes])
    return replace(given, array=array) if given.learned else Constant(array)


def expand(p: Program, fx: Fx) -> Any:
    """A repeated constant is left as it is, because its readers broadcast it."""
    x = p.operand(fx.args[0])
    if isinstance(x, str):
        raise Unmapped("repeating a value that is computed from the image")
    return x


def permute(p: Program, fx: Fx) -> displaced.Anywhere:
    x, dims = args(fx)
    places = [dim % len(dims) for dim in dims]
    if places[0] != 0:
        return displaced.permute(p, fx)
    return p.builder.permute(p.operand(x), [dim - 1 for dim in places[1:]])


def transpose(p: Program, fx: Fx) -> displaced.Anywhere:
    x, first, second = args(fx)
    if 0 in (first % fx.meta["val"].dim(), second % fx.meta["val"].dim()):
        return displaced.transpose(p, fx)
    return p.builder.transpose(p.operand(x), p.axis(fx, first), p.axis(fx, second))


def concat(p: Program, fx: Fx) -> str:
    tensors, dim = args(fx, 0)
    parts = [p.operand(t) for t in tensors]
    shapes = [t.meta["val"].shape[1:] for t in tensors]
    whole = [
        in_full(part, tuple(map(int, shape))) if isinstance(part, Constant) else part
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return p.builder.concat(whole, p.axis(fx, dim))


def slice_(p: Program, fx: Fx) -> str:
    x, dim, start, stop, step = args(fx, 0, None, None, 1)
    if dim == 0:
        whole = stop is None or (isinstance(stop, Fx) and p.env[stop] is None) or stop >= 2**62
        if (start or 0) == 0 and whole and step == 1:
            return p.value(x)
        raise Unmapped("a slice of the batch")
    return p.builder.slice(p.operand(x), p.axis(fx, dim), start, stop, step)


def select(p: Program, fx: Fx) -> str:
    x, dim, index = args(fx)
    axis = dim - 1 if dim >= 0 else len(p.value_shape(x)) + dim
    if axis < 0:
        raise Unmapped("one image picked out of the batch")
    return p.builder.select(p.operand(x), axis, index)


def unbind(p: Program, fx: Fx) -> tuple[str, ...]:
    x, dim = args(fx, 0)
    axis = dim - 1 if dim >= 0 else len(p.value_shape(x)) + dim
    if axis < 0:
        raise Unmapped("the batch taken apart into images")
    return tuple(p.builder.select(p.operand(x), axis, index) for index in range(p.value_shape(x)[axis]))


def split(p: Program, fx: Fx) -> tuple[str, ...]:
    x, sizes, dim = args(fx, 0)
    axis = p.axis(fx, dim)
    if isinstance(sizes, int):
        size = p.value_shape(x)[axis]
        sizes = [min(sizes, size - start) for start in range(0, size, sizes)]
    return p.builder.split(p.operand(x), axis, sizes)


def chunk(p: Program, fx: Fx) -> tuple[str, ...]:
    x, chunks, dim = args(fx, 0)
    axis = p.axis(fx, dim)
    size = p.value_shape(x)[axis]
    step = -(-size // chunks)
    return p.builder.split(p.operand(x), axis, [min(step, size - start) for start in range(0, size, step)])


def pad(p: Program, fx: Fx) -> str:
    x, padding, mode, filling = args(fx, "constant", None)
    if mode != "constant" or filling:
        raise Unmapped(f"padding of mode {mode!r} with {filling}; only padding with zero is mapped")
    sides = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)]
    return p.builder.pad(p.operand(x), sides[::-1])


def flip(p: Program, fx: Fx) -> str:
    """`x.flip(dims)`, of channels alone."""
    return _in_order(p, fx, fx.args[1], lambda size: range(size - 1, -1, -1))


def index(p: Program, fx: Fx) -> str:
    """`x[:, [2, 1, 0]]`: all of the other axes, and constant positions of channels."""
    indices: Any = fx.args[1]
    if len(indices) < 2 or indices[0] is not None or any(i is not None for i in indices[2:]):
        raise Unmapped("an index that is not x[:, channels]; only channels may be chosen by a list")
    return _in_order(p, fx, [1], lambda size: _positions(p, indices[1], size))


def index_select(p: Program, fx: Fx) -> str:
    """`x.index_select(1, channels)`."""
    return _in_order(p, fx, [fx.args[1]], lambda size: _positions(p, fx.args[2], size))


def _positions(p: Program, arg: Any, size: int) -> list[int]:
    found = as_constant(p.operand(arg)).array
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise Unmapped(f"an index of {found.dtype} {list(found.shape)}; expected a list of whole numbers")
    return [int(i) % size for i in found]


def _in_order(p: Program, fx: Fx, dims: Any, order_of: Callable[[int], Any]) -> str:
    shape = p.value_shape(fx.args[0])
    if [dim % (len(shape) + 1) for dim in dims] != [1]:
        raise Unmapped(f"another order along the axes {list(dims)}; only along the channels, axis 1")
    return p.builder.index_select(p.operand(fx.args[0]), 0, order_of(shape[0]))
