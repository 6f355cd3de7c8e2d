"""Numbers that change their places, as ATen spells them: with axes that count the batch, and from behind."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bitwright.capture.aten import displaced
from bitwright.capture.aten.arguments import Mapping, args, pair
from bitwright.capture.aten.assignments import is_whole
from bitwright.capture.draft import Array, Constant, Unmapped, as_constant
from bitwright.capture.program import Displaced, Fx, Program, in_full


def reshape(p: Program, fx: Fx) -> Any:
    x, sizes = p.operand(fx.args[0]), fx.meta["val"].shape
    alone = all(isinstance(size, int) for size in sizes)  # a constant that knows of no batch
    if not alone and not displaced.keeps_batch_first(p, fx):
        fixed = isinstance(x, Constant) and not x.learned
        return displaced.of_one_image(p, fx) if fixed else displaced.reshape(p, fx)
    if isinstance(x, str):
        return p.builder.reshape(x, p.shape(fx))
    given = as_constant(x)
    array = displaced.once(fx.args[0], given).reshape([size if isinstance(size, int) else 1 for size in sizes])
    return replace(given, array=array) if given.learned else Constant(array)


def expand(p: Program, fx: Fx) -> Any:
    """A repeated constant is left as it is, because its readers broadcast it."""
    x = p.operand(fx.args[0])
    return p.builder.broadcast(x, p.shape(fx)) if isinstance(x, str) else x


def max_of(p: Program, fx: Fx) -> tuple[str, None]:
    """The maxima along an axis; where they are is not known."""
    x, dim, keep = args(fx, False)
    return p.builder.max(p.operand(x), [p.axis(x, dim)], keep=keep), None


def min_of(p: Program, fx: Fx) -> tuple[str, None]:
    """The minima along an axis, as `max_of`."""
    x, dim, keep = args(fx, False)
    return p.builder.min(p.operand(x), [p.axis(x, dim)], keep=keep), None


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
    given, dim = args(fx, 0)
    tensors = [t for t in given if t.meta["val"].shape[dim] != 0]
    parts = [p.operand(t) for t in tensors]
    whole = [
        in_full(part, p.shape(t)) if isinstance(part, Constant) else part
        for part, t in zip(parts, tensors, strict=True)
    ]
    if len(whole) == 1 < len(given) and isinstance(whole[0], str):
        return whole[0]
    return p.builder.concat(whole, p.axis(fx, dim))


def slice_(p: Program, fx: Fx) -> Any:
    x, dim, start, stop, step = args(fx, 0, None, None, 1)
    if is_whole(p, start, stop, step):
        return p.operand(x)
    if dim == 0 and p.displaced is None:
        raise Unmapped("a slice of the batch")
    axis = p.axis(fx, dim)
    shape = p.shape(fx)
    if shape[axis] == 0:
        return Constant(np.zeros((1, *shape), np.float32))  # `concat` leaves it out
    return p.builder.slice(p.operand(x), axis, start, stop, step)


def select(p: Program, fx: Fx) -> str:
    x, dim, index = args(fx)
    return p.builder.select(p.operand(x), p.axis(x, dim), index)


def unbind(p: Program, fx: Fx) -> tuple[str, ...]:
    x, dim = args(fx, 0)
    axis = p.axis(x, dim)
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


def flip(p: Program, fx: Fx) -> str:
    name = p.value(fx.args[0])
    for dim in fx.args[1]:  # type: ignore[union-attr]
        axis = p.axis(fx, dim)  # type: ignore[arg-type]
        name = p.builder.index_select(name, axis, range(p.builder.size_of(name, axis) - 1, -1, -1))
    return name


def index(p: Program, fx: Fx) -> str:
    """`x[:, [2, 1, 0]]` or `x[..., places]`: constant positions along one axis, which may be a table of several axes."""
    given, indices = args(fx)
    chosen = [dim for dim, found in enumerate(indices) if found is not None]
    if len(chosen) != 1:
        raise Unmapped(f"an index of {len(chosen)} axes at once")
    axis = p.axis(given, chosen[0])
    array = _whole_numbers(p, indices[chosen[0]])
    found = p.builder.index_select(p.operand(given), axis, _positions(array, p.value_shape(given)[axis]))
    shape = p.builder.values[found].shape
    return p.builder.reshape(found, (*shape[:axis], *array.shape, *shape[axis + 1 :]))


def index_select(p: Program, fx: Fx) -> str:
    """`x.index_select(1, channels)`."""
    given, dim, indices = fx.args[:3]
    axis = p.axis(given, dim)  # type: ignore[arg-type]
    array = _whole_numbers(p, indices)
    return p.builder.index_select(p.operand(given), axis, _positions(array, p.value_shape(given)[axis]))


def _whole_numbers(p: Program, arg: Any) -> Array:
    found = as_constant(p.operand(arg)).array
    if not np.issubdtype(found.dtype, np.integer):
        raise Unmapped(f"an index of {found.dtype} {list(found.shape)}; expected whole numbers")
    return found


def _positions(array: Array, size: int) -> list[int]:
    return [int(i) % size for i in array.reshape(-1)]


def roll(p: Program, fx: Fx) -> str:
    x, shifts, dims = args(fx, [])
    if not dims:
        raise Unmapped("a roll of all axes as one")
    name = p.value(x)
    for shift, dim in zip(shifts, dims, strict=True):
        name = p.builder.roll(name, p.axis(x, dim), shift)
    return name


def stack(p: Program, fx: Fx) -> Any:
    tensors, dim = args(fx, 0)
    if p.displaced is None and dim % fx.meta["val"].dim() == 0:  # the batch is behind what is stacked
        parts = [displaced.displace(p, tensor) for tensor in tensors]
        return Displaced(p.builder.stack([part.value for part in parts], 0), 1)
    return p.builder.stack([p.operand(tensor) for tensor in tensors], p.axis(fx, dim))


def repeat(p: Program, fx: Fx) -> str | Constant:
    """`x.repeat(1, 2, 1)`: each axis so many times, whole after whole, that of the batch once."""
    x, counts = args(fx)
    found = p.operand(x)
    if isinstance(found, Constant):  # as often as there are images: once
        return Constant(np.tile(found.array, [count if isinstance(count, int) else 1 for count in counts]))
    name = p.value(x)
    if p.displaced is not None or len(counts) > x.meta["val"].dim() or counts[0] != 1:
        raise Unmapped(f"a repeat {list(counts)} times, which repeats the batch or adds axes")
    for axis, count in enumerate(counts[1:]):
        name = p.builder.repeat(name, axis, count)
    return name


def repeat_interleave(p: Program, fx: Fx) -> Any:
    """Each entry along an axis so many times in a row."""
    x, count, dim = args(fx, None, None)[:3]
    if dim is None or not isinstance(count, int):
        raise Unmapped("a repeat_interleave of all axes as one, or of numbers of times")
    if p.displaced is None and dim % fx.meta["val"].dim() == 0:  # the same image so many times, one after another
        alone = displaced.displace(p, x)
        return Displaced(p.builder.repeat(alone.value, 0, count), 0, 1, count)
    axis = p.axis(x, dim)
    return p.builder.index_select(p.operand(x), axis, [i for i in range(p.value_shape(x)[axis]) for _ in range(count)])


def movedim(p: Program, fx: Fx) -> Any:
    x, sources, targets = args(fx)
    rank = x.meta["val"].dim()
    pairs = [(sources, targets)] if isinstance(sources, int) else list(zip(sources, targets, strict=True))
    moved = {target % rank: source % rank for source, target in pairs}
    rest = iter(axis for axis in range(rank) if axis not in moved.values())
    dims = [moved[axis] if axis in moved else next(rest) for axis in range(rank)]
    if dims[0] != 0:
        raise Unmapped("a movedim of the batch")
    return p.builder.permute(p.operand(x), [dim - 1 for dim in dims[1:]])


def pixel_shuffle(p: Program, fx: Fx) -> str:
    return p.builder.pixel_shuffle(p.operand(fx.args[0]), fx.args[1])  # type: ignore[arg-type]


def pixel_unshuffle(p: Program, fx: Fx) -> str:
    return p.builder.pixel_unshuffle(p.operand(fx.args[0]), fx.args[1])  # type: ignore[arg-type]


def channel_shuffle(p: Program, fx: Fx) -> str:
    if len(p.value_shape(fx.args[0])) != 3:
        raise Unmapped("a channel_shuffle of what are not the planes of an image")
    return p.builder.channel_shuffle(p.operand(fx.args[0]), fx.args[1])  # type: ignore[arg-type]


def unfold(p: Program, fx: Fx) -> str:
    x, dim, size, step = args(fx)
    return p.builder.windows(p.operand(x), p.axis(x, dim), size, step)


def im2col(p: Program, fx: Fx) -> str:
    x, kernel, dilation, padding, stride = args(fx)
    return p.builder.patches(p.operand(x), pair(kernel), pair(dilation), pair(padding), pair(stride))


def col2im(p: Program, fx: Fx) -> str:
    x, size, kernel, dilation, padding, stride = args(fx)
    windows = pair(kernel), pair(dilation), pair(padding), pair(stride)
    return p.builder.folded(p.operand(x), pair(size), *windows)


def filled(number: float | None) -> Mapping:
    """Numbers that are all the same, for each image anew: those of one image."""

    def mapping(p: Program, fx: Fx) -> Constant:
        value = fx.meta["val"]
        shape = [size if isinstance(size, int) else 1 for size in value.shape]
        found = torch.full(shape, fx.args[-1] if number is None else number, dtype=value.dtype)  # type: ignore[arg-type]
        return Constant((found.float() if found.is_floating_point() else found).numpy())

    return mapping
