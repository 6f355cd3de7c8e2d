"""Ops on numbers that belong to shapes, in NumPy. Sizes that are symbols are objects, which NumPy leaves as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from torch import Tensor

from bitwright.capture.onnx.call import Call, Sizes, Unread

MOST = 2**16
"""How many numbers such an array has at most: it is about shapes, or a mask of as many tokens as these have."""


def shape(call: Call) -> Sizes:
    """The sizes of a value, the batch among them."""
    x = call.operand(0)
    sizes = list(x.shape) if isinstance(x, Tensor) else list(np.shape(x))  # type: ignore[arg-type]
    return _objects(sizes[call.attr("start", 0) : call.attr("end", len(sizes))])


def _objects(sizes: list[Any]) -> Sizes:
    if all(isinstance(size, int) for size in sizes):
        return np.array(sizes, np.int64)
    found = np.empty(len(sizes), object)
    found[:] = sizes
    return found


def plain(found: Sizes) -> Sizes:
    """The same numbers, as NumPy's own where none of them is a symbol any more."""
    known = found.dtype == object and all(isinstance(size, int) for size in found.reshape(-1))
    return found.astype(np.int64) if known else found


def _cast(call: Call, x: Sizes) -> Sizes:
    kind = onnx.helper.tensor_dtype_to_np_dtype(call.attr("to"))
    return x if x.dtype == object else x.astype(np.float32 if np.issubdtype(kind, np.floating) else kind)


def _slice(call: Call, x: Sizes) -> Sizes:
    starts, ends = call.sizes(1), call.sizes(2)
    axes, steps = call.sizes(3, default=range(len(starts))), call.sizes(4, default=[1] * len(starts))
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(index)]


def _unsqueeze(call: Call, x: Sizes) -> Sizes:
    return np.expand_dims(x, tuple(call.sizes(1, "axes")))


def _squeeze(call: Call, x: Sizes) -> Sizes:
    axes = call.sizes(1, "axes")
    return np.squeeze(x, None if axes is None else tuple(axes))


def _divided(call: Call, x: Sizes, other: Sizes) -> Sizes:
    whole = all(part.dtype == object or np.issubdtype(part.dtype, np.integer) for part in (x, other))
    return np.asarray(x // other if whole else x / other)


def _constant_of_shape(call: Call, x: Sizes) -> Sizes:
    sizes, given = call.sizes(0), call.attr("value")
    value = np.float32(0) if given is None else given.numpy().reshape(-1)[0]
    if any(not isinstance(size, int) for size in sizes) or np.prod(sizes, dtype=np.float64) > MOST:
        raise Unread(f"a constant of {sizes}; only those of shapes are known, up to {MOST} numbers")
    return np.full(sizes, value)


def _range(call: Call, start: Sizes, stop: Sizes, step: Sizes) -> Sizes:
    if len(range(int(start), int(stop), int(step))) > MOST:
        raise Unread(f"a range of more than {MOST} numbers")
    return np.arange(int(start), int(stop), int(step))


def _expand(call: Call, x: Sizes, sizes: Sizes) -> Sizes:
    """What is there once for each image, such as a mask, stays there once."""
    sizes = np.array([size if isinstance(size, int) else 1 for size in sizes.tolist()], np.int64)
    if np.prod(sizes.astype(np.float64)) > MOST:
        raise Unread(f"a constant of {sizes.tolist()}; only those of shapes are known, up to {MOST} numbers")
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(sizes.astype(int))))


def _plain(function: Callable[..., Any]) -> Callable[..., Sizes]:
    return lambda call, *operands: np.asarray(function(*operands))


SIZES: dict[str, Callable[..., Sizes]] = {
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Div": _divided,
    "Mod": _plain(np.mod),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Sqrt": _plain(np.sqrt),
    "Pow": _plain(np.power),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Reciprocal": _plain(np.reciprocal),
    "Equal": _plain(np.equal),
    "Less": _plain(np.less),
    "Greater": _plain(np.greater),
    "Not": _plain(np.logical_not),
    "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or),
    "Where": _plain(lambda chosen, x, y: np.where(chosen.astype(bool), x, y)),
    "Min": _plain(lambda *xs: np.min(np.broadcast_arrays(*xs), axis=0)),
    "Max": _plain(lambda *xs: np.max(np.broadcast_arrays(*xs), axis=0)),
    "Identity": _plain(lambda x: x),
    "Concat": lambda call, *xs: np.concatenate(xs, call.attr("axis", 0)),
    "Gather": lambda call, x, index: np.asarray(np.take(x, index.astype(np.int64), call.attr("axis", 0))),
    "Reshape": lambda call, x, sizes: x.reshape(sizes.astype(np.int64)),
    "Transpose": lambda call, x: np.transpose(x, call.attr("perm")),
    "Tile": _plain(np.tile),
    "ReduceProd": lambda call, x, *axes: np.asarray(np.prod(x, keepdims=bool(call.attr("keepdims", 1)))),
    "Cast": _cast,
    "Slice": lambda call, x, *rest: _slice(call, x),
    "Squeeze": lambda call, x, *axes: _squeeze(call, x),
    "Unsqueeze": lambda call, x, *axes: _unsqueeze(call, x),
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Expand": _expand,
}
"""By the name of an op whose operands are all such numbers: from the call and those to such numbers."""
