"""Numbers that change their places, as ONNX spells them."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.free_batch import freed_sizes
from bitwright.capture.onnx.call import Call, Unread, rank_of


def reshape(call: Call) -> Tensor:
    x, sizes = call.tensor(0), call.sizes(1)
    if not call.attr("allowzero", 0):
        sizes = [x.shape[i] if isinstance(size, int) and size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(_freed(call, x, sizes))


def _freed(call: Call, x: Tensor, sizes: list[Any]) -> list[Any]:
    """Sizes that were written for a batch of `call.batch`, for any: the batch stays behind the same numbers.

    Which axis that is shows when the batch is a symbol, and is remembered for when it is a number.
    """
    name = str(call.node.name)
    place = next((i for i, size in enumerate(x.shape) if not isinstance(size, int)), None)
    if call.batch is None or (place is None and name not in call.axes) or not all(isinstance(s, int) for s in sizes):
        return sizes
    if (freed := freed_sizes(x.shape, sizes, call.batch)) is not None:
        call.axes[name] = freed
    return call.axes.get(name, sizes)


def flatten(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.attr("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 0:
        raise Unread("axis 0, which takes the images apart")
    return x.flatten(1) if axis == 1 else x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def transpose(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.permute(call.attr("perm", list(range(x.dim()))[::-1]))


def squeeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.sizes(1, "axes")
    if axes is None:
        axes = [i for i, size in enumerate(x.shape) if i and isinstance(size, int) and size == 1]
    return x.squeeze(rank_of(x, axes))


def unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(0), call.sizes(1, "axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def concat(call: Call) -> Tensor:
    """A part that belongs to the model, such as a class token, is there once for each image."""
    parts = [call.tensor(i) for i in range(len(call.operands))]
    (axis,) = rank_of(parts[0], [call.attr("axis", 0)])
    if axis:
        counts = [part.shape[0] for part in parts]
        images = next((count for count in counts if not isinstance(count, int)), max(counts, key=_count))
        parts = [part.expand(images, *part.shape[1:]) if _is_once(part, images) else part for part in parts]
    return torch.cat(parts, axis)


def _count(size: Any) -> int:
    return size if isinstance(size, int) else 0


def _is_once(part: Tensor, images: Any) -> bool:
    return isinstance(part.shape[0], int) and part.shape[0] == 1 and not (isinstance(images, int) and images == 1)


def slice_(call: Call) -> Tensor:
    x, starts, ends = call.tensor(0), call.sizes(1), call.sizes(2)
    axes = rank_of(x, call.sizes(3, default=list(range(len(starts)))))
    steps = call.sizes(4, default=[1] * len(starts))
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if axis == 0 and isinstance(x.shape[0], int) and (step, end - start) == (1, 1):
            x = x.select(0, start).unsqueeze(
                0
            )  # one of queries, keys and values, which capture knows in front of a batch
        elif step < 0 and (start, step) == (-1, -1) and end < -int(x.shape[axis]):
            x = x.flip(axis)
        elif step < 1:
            raise Unread(f"a slice with the step {step}")
        elif axis or start or (isinstance(end, int) and end < 2**31 - 1):
            index = [slice(None)] * x.dim()
            index[axis] = slice(start, None if isinstance(end, int) and end >= 2**31 - 1 else end, step)
            x = x[tuple(index)]
    return x


def split(call: Call) -> tuple[Tensor, ...]:
    x, sizes = call.tensor(0), call.sizes(1, "split")
    (axis,) = rank_of(x, [call.attr("axis", 0)])
    if sizes is None:
        count = call.attr("num_outputs") or len(call.node.outputs)
        sizes = -(-int(x.shape[axis]) // count)
    if axis == 0 and isinstance(x.shape[0], int) and (sizes == 1 or sizes == [1] * x.shape[0]):
        return tuple(part.unsqueeze(0) for part in x.unbind(0))
    found: tuple[Tensor, ...] = x.split(sizes, axis)
    return found


def split_to_sequence(call: Call) -> list[Tensor]:
    """torch.onnx's `chunk`: a list, of which `SequenceAt` takes one."""
    x, sizes = call.tensor(0), call.sizes(1)
    if sizes is None or not call.attr("keepdims", 1):
        raise Unread("a sequence of slices without their axis")
    (axis,) = rank_of(x, [call.attr("axis", 0)])
    return list(x.split(sizes[0] if call.operand(1).ndim == 0 else sizes, axis))  # type: ignore[union-attr]


def sequence_at(call: Call) -> Tensor:
    parts, index = call.operand(0), call.number(1)
    if not isinstance(parts, list) or not isinstance(index, int):
        raise Unread("expected a sequence, and a position in it")
    return parts[index]


def gather(call: Call) -> Tensor:
    x, index = call.tensor(0), call.operand(1)
    (axis,) = rank_of(x, [call.attr("axis", 0)])
    if not isinstance(index, np.ndarray) or index.dtype == object:
        raise Unread("positions that are computed from the image")
    if index.ndim == 0:
        return x.select(axis, int(index))
    places = torch.from_numpy(np.where(index < 0, index + int(x.shape[axis]), index).reshape(-1))
    found = x.index_select(axis, places)
    return found if index.ndim == 1 else found.unflatten(axis, index.shape)


PADS = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(call: Call) -> Tensor:
    x, pads = call.tensor(0), call.sizes(1, "pads")
    mode = call.attr("mode", "constant")
    axes = rank_of(x, call.sizes(3, default=list(range(x.dim()))))
    around = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
    flat = [side for axis in range(x.dim() - 1, -1, -1) for side in around.get(axis, (0, 0))]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    if mode != "constant":
        if len(flat) > 2 * (x.dim() - 2):
            raise Unread(f"padding of mode {mode!r} of other axes than rows and columns")
        return F.pad(x, [*flat, *[0] * (2 * (x.dim() - 2) - len(flat))], PADS[mode])
    value = call.scalar(2, 0.0)
    return F.pad(x, flat, value=value or 0.0)


def expand(call: Call) -> Tensor:
    x, sizes = call.tensor(0), call.sizes(1)
    sizes = [1] * (x.dim() - len(sizes)) + list(sizes)
    first = len(sizes) - x.dim()
    kept = [-1 if i >= first and isinstance(size, int) and size == 1 else size for i, size in enumerate(sizes)]
    if call.batch is not None and first == 0 and not isinstance(x.shape[0], int):
        kept[0] = -1
    return x.expand(kept)


def depth_to_space(call: Call) -> Tensor:
    x, block = call.tensor(0), call.attr("blocksize")
    images, channels, height, width = x.shape
    if call.attr("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    parted = x.reshape(images, block, block, channels // block**2, height, width)
    return parted.permute(0, 3, 4, 1, 5, 2).reshape(images, channels // block**2, height * block, width * block)


def space_to_depth(call: Call) -> Tensor:
    x, block = call.tensor(0), call.attr("blocksize")
    images, channels, height, width = x.shape
    if call.attr("mode", "DCR") == "CRD":
        return F.pixel_unshuffle(x, block)
    parted = x.reshape(images, channels, height // block, block, width // block, block)
    return parted.permute(0, 3, 5, 1, 2, 4).reshape(images, channels * block**2, height // block, width // block)


def tile(call: Call) -> Tensor:
    x, counts = call.tensor(0), call.sizes(1)
    if len(counts) != x.dim() or counts[0] != 1:
        raise Unread(f"repeated {counts} times, the images among it")
    return x.repeat(counts)
