"""Numbers taken from places, or put there, that are known: GatherND, ScatterND, and what `indexed.py` has found."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.onnx.call import Call, Sizes, Unread


def _places(call: Call) -> Sizes:
    found = call.operand(1)
    if not isinstance(found, np.ndarray) or found.dtype == object or found.ndim < 1:
        raise Unread("positions that are computed from the image, or from how many images there are")
    return found.astype(np.int64)


def gather_nd(call: Call) -> Tensor:
    """Places along the first axes; the images are along a later one."""
    x, places = call.tensor(0), _places(call)
    if call.attr("batch_dims", 0):
        raise Unread("positions of each image by itself")
    axes = places.shape[-1]
    sizes = [size if isinstance(size, int) else 0 for size in x.shape[:axes]]
    if 0 in sizes or len(sizes) < axes:
        raise Unread(f"positions along {axes} axes, the images among them; it has {list(x.shape)}")
    steps = np.cumprod([1, *sizes[:0:-1]])[::-1]
    order = (np.where(places < 0, places + np.array(sizes), places) * steps).sum(-1)
    if (places >= np.array(sizes)).any() or order.min(initial=0) < 0:
        raise Unread(f"positions beyond {sizes}")
    found = x.flatten(0, axes - 1).index_select(0, torch.from_numpy(order.reshape(-1)))
    return found.unflatten(0, order.shape) if order.ndim != 1 else found


def scatter_nd(call: Call) -> Tensor:
    """Places one after the other along the first axis, where the images are along another."""
    x, places, new = call.tensor(0), _places(call), call.tensor(2)
    if (how := call.attr("reduction", "none")) != "none":
        raise Unread(f"reduction {how}")
    first = places.reshape(-1)
    if places.shape[-1] != 1 or places.ndim != 2 or not isinstance(x.shape[0], int) or not len(first):
        raise Unread(f"positions of {list(places.shape)} in {list(x.shape)}; expected some along one axis")
    first = np.where(first < 0, first + x.shape[0], first)
    start, step = int(first[0]), int(first[1] - first[0]) if len(first) > 1 else 1
    if step < 1 or start < 0 or list(first) != list(range(start, start + step * len(first), step)):
        raise Unread("positions that are not one after the other")
    x = _for_each_image(x, new, 0)
    place = next((i for i, size in enumerate(x.shape) if not isinstance(size, int)), 0)
    x, new = x.transpose(0, place), new.transpose(0, place)  # where the images are in front, capture knows more
    return torch.slice_scatter(x, new, place, start, int(first[-1]) + 1, step).transpose(0, place)


def scatter_elements(call: Call) -> Tensor:
    """One place along an axis, the same everywhere."""
    x, places, new = call.tensor(0), _places(call), call.tensor(2)
    axis = call.attr("axis", 0)
    first = int(places.reshape(-1)[0]) if places.size else 0
    if call.attr("reduction", "none") != "none" or (places != first).any() or new.shape[axis] != 1:
        raise Unread("positions that differ, or are added to")
    return torch.select_scatter(_for_each_image(x, new, axis), new.squeeze(axis), axis, first)


def _for_each_image(x: Tensor, new: Tensor, axis: int) -> Tensor:
    """x, in which all but one axis is overwritten, as often as there are images where it belongs to the model."""
    sizes = [-1 if i in (axis, axis + x.dim()) else size for i, size in enumerate(new.shape)]
    if any(have not in (1, size) for have, size in zip(x.shape, sizes, strict=True) if size != -1):
        raise Unread(f"{list(new.shape)} in {list(x.shape)}; expected all of it but along one axis")
    return x.expand(sizes)


def found_pool(call: Call) -> Tensor:
    """`indexed.ADAPTIVE_POOL`: of planes whose size its places tell."""
    x, size, out = call.tensor(0), call.attr("size"), call.attr("out")
    if list(x.shape[2:]) != size:
        raise Unread(f"places in planes of {size}; these have {list(x.shape[2:])}")
    return F.adaptive_avg_pool2d(x, out)


def found_places(call: Call) -> Tensor:
    """`indexed.PLACES`: of all numbers of one image."""
    x, numbers, places = call.tensor(0).flatten(1), call.attr("numbers"), call.attr("places")
    if x.shape[1] != numbers:
        raise Unread(f"steps of {numbers} from image to image; these have {x.shape[1]} numbers")
    if places != list(range(numbers)):
        x = x.index_select(1, torch.tensor(places))
    return x.reshape(-1, *call.attr("shape"))


def col2im(call: Call) -> Tensor:
    x, image, kernel = call.tensor(0), call.sizes(1), call.sizes(2)
    top, left, bottom, right = call.attr("pads", [0, 0, 0, 0]) if len(image) == 2 else (0, 1, 0, 0)
    if (top, left) != (bottom, right):
        raise Unread("columns of other than planes, or with uneven padding")
    return F.fold(x, image, kernel, call.attr("dilations", [1, 1]), (top, left), call.attr("strides", [1, 1]))
