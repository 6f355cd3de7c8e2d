"""Tensors whose batch axis is not the first one, or only a factor of an axis: [3, N, heads, T, D], [N * heads, T, D].

Attention is often written so, torch's own nn.MultiheadAttention among it; in the end the batch is first again. What one image
has of such a tensor is a value as good as any: it has the tensor's axes, with the batch left out of the one that holds it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitwright.capture.aten.arguments import Mapping, args
from bitwright.capture.draft import Array, Constant, Unmapped
from bitwright.capture.program import Displaced, Fx, Program

Anywhere = str | Displaced


def within(p: Program, fx: Fx, mapping: Mapping, reads: Sequence[Fx] | None = None) -> Any:
    """What a mapping makes of displaced values that it reads: they stay displaced, in the same way.

    An op that does nothing along the batch axis does the same to one image's numbers; `reads` is what it reads, if not all.
    """
    before = {read: p.env[read] for read in (fx.all_input_nodes if reads is None else reads)}
    lying = [found for found in before.values() if isinstance(found, Displaced)]
    if not lying or str(fx.target) in MOVES_BATCH:
        return mapping(p, fx)
    first = replace(lying[0], value="")
    try:
        for read, found in before.items():
            p.env[read] = _value_within(p, read, found, first)
        p.displaced = first
        made = mapping(p, fx)
    finally:
        p.env.update(before)
        p.displaced = None
    return _displaced_again(p, made, fx.meta["val"], first)


MOVES_BATCH = frozenset(
    f"aten.{name}"
    for name in (
        *("view.default", "_unsafe_view.default", "reshape.default", "flatten.using_ints", "unflatten.int"),
        *("squeeze.dim", "squeeze.dims", "unsqueeze.default", "permute.default", "transpose.int"),
    )
)
"""Ops that may put the batch elsewhere; their mappings know of displaced values."""


def _value_within(p: Program, read: Fx, found: Any, first: Displaced) -> Any:
    if isinstance(found, tuple):
        return tuple(_value_within(p, read, part, first) for part in found)
    if isinstance(found, str):
        found = displace(p, read)
    if not isinstance(found, Displaced):
        return found
    if (found.outer, found.inner) != (first.outer, first.inner):
        raise Unmapped("tensors of which one has the batch elsewhere than another")
    return found.value


def _displaced_again(p: Program, made: Any, value: Any, first: Displaced) -> Any:
    if isinstance(made, tuple):
        return tuple(_displaced_again(p, part, v, first) for part, v in zip(made, value, strict=False))
    if not isinstance(made, str):
        return made
    axis, share = _holding(p, value.shape)
    if share != first.outer * first.inner:
        raise Unmapped("an op that changes how often an axis holds the batch")
    return settle(p, Displaced(made, axis, first.outer, first.inner))


def anywhere(mapping: Mapping, displaced: Mapping) -> Mapping:
    """A mapping of tensors whose batch axis is first, and the one of those that are displaced."""
    return lambda p, fx: (displaced if isinstance(p.env.get(fx.args[0]), Displaced) else mapping)(p, fx)  # type: ignore[arg-type]


def displace(p: Program, arg: Any) -> Displaced:
    """Any value as a displaced one, so that its batch can be moved."""
    found = p.env.get(arg)
    if isinstance(found, Displaced):
        return found
    if isinstance(found, Constant):
        axis, share = _holding(p, arg.meta["val"].shape)
        array = once(arg, found)
        whole = replace(found, array=array[None])
        return Displaced(p.builder.constant_value(whole, array.shape, array.ndim - 1), axis, 1, share)
    name = p.value(arg)
    return Displaced(p.builder.reshape(name, (1, *p.builder.values[name].shape)), 0)


def once(arg: Any, constant: Constant) -> Array:
    """A constant in the shape of the tensor that it stands for, of one image."""
    sizes = arg.meta["val"].shape
    given = (1,) * (len(sizes) - constant.array.ndim) + constant.array.shape
    shape = tuple(size if isinstance(size, int) else have for size, have in zip(sizes, given, strict=True))
    return constant.array if constant.array.shape == shape else np.array(np.broadcast_to(constant.array, shape))


def settle(p: Program, x: Displaced) -> Anywhere:
    """The plain value where the batch is the first axis again."""
    if x.batch or x.outer * x.inner != 1:
        return x
    return p.builder.reshape(x.value, p.builder.values[x.value].shape[1:])


def reshape(p: Program, fx: Fx) -> Anywhere:
    """The batch stays between the same neighbours, whichever axis holds it then."""
    x, sizes = displace(p, fx.args[0]), fx.meta["val"].shape
    axis, share = _holding(p, sizes)
    in_front = math.prod(p.builder.values[x.value].shape[: x.batch]) * x.outer
    outer, rest = divmod(in_front, math.prod(int(size) for size in sizes[:axis]))
    if rest or not outer or share % outer:
        raise Unmapped("a reshape that mixes the batch with other axes")
    shape = tuple(share if i == axis else int(size) for i, size in enumerate(sizes))
    return settle(p, Displaced(p.builder.reshape(x.value, shape), axis, outer, share // outer))


def of_one_image(p: Program, fx: Fx) -> Constant:
    """A constant in the shape that it has for one image, whichever axis the batch is in."""
    axis, share = _holding(p, fx.meta["val"].shape)
    shape = [share if i == axis else int(size) for i, size in enumerate(fx.meta["val"].shape)]
    return Constant(once(fx.args[0], p.env[fx.args[0]]).reshape(shape))  # type: ignore[index]


def keeps_batch_first(p: Program, fx: Fx) -> bool:
    """Whether the first axis of what an fx node computes is the batch and nothing else."""
    axis, share = _holding(p, fx.meta["val"].shape)
    return axis == 0 and share == 1


def _holding(p: Program, sizes: Sequence[Any]) -> tuple[int, int]:
    """Which axis of a tensor holds the batch, and how many times."""
    (axis,) = [i for i, size in enumerate(sizes) if not isinstance(size, int)] or [-1]
    share = sizes[axis].node.expr / p.batch if axis >= 0 else None
    if share is None or not share.is_Integer:
        raise Unmapped(f"a tensor of {tuple(sizes)}, which is not that of one image for each image")
    return axis, int(share)


def permute(p: Program, fx: Fx) -> Anywhere:
    given, dims = args(fx)
    return permuted(p, displace(p, given), dims)


def transpose(p: Program, fx: Fx) -> Anywhere:
    given, first, second = args(fx)
    dims = list(range(fx.meta["val"].dim()))
    dims[first], dims[second] = dims[second], dims[first]
    return permuted(p, displace(p, given), dims)


def permuted(p: Program, x: Displaced, dims: Sequence[int]) -> Anywhere:
    places = [dim % len(dims) for dim in dims]
    found = p.builder.permute(x.value, places)
    return settle(p, Displaced(found, places.index(x.batch), x.outer, x.inner))
