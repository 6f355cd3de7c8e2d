"""Moves that torch.onnx's newer exporter writes as indices, put together again: adaptive pools, as_strided, slice_scatter.

Which indices they are is not guessed from how they were computed: they are computed, for so many images.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir

from bitwright.capture.onnx.call import Call, Sizes
from bitwright.capture.onnx.matching import constant, made_by, number
from bitwright.capture.onnx.sizes import SIZES

ADAPTIVE_POOL, PLACES = "_AdaptivePool", "_Places"
MANY = 2**31
"""What is as good as the end of an axis."""
SPREADS = ("Add", "Sub", "Mul", "Div", "Where")
MOVES = ("Gather", "Transpose", "Unsqueeze", "Squeeze", "Reshape", "Slice", "Concat", "Range", "Cast")
COMPUTED: dict[str, Callable[..., Sizes]] = {
    **{op: SIZES[op] for op in (*SPREADS, *MOVES)},
    "ReduceMean": lambda call, x, *axes: x.mean(tuple(call.sizes(1, "axes")), keepdims=bool(call.attr("keepdims", 1))),
}
MOST, MOST_NODES = 2**20, 500
"""How many numbers are computed in one step, and how far steps are followed: what exporters write so is small."""


def adaptive_pool(node: ir.Node) -> Any:
    """The windows of an adaptive pool, taken by a GatherND: masked, added up and divided."""
    places = constant(node.inputs[1]) if node.op_type == "GatherND" else None
    turned = made_by(node.inputs[0], "Transpose") if places is not None else None
    if turned is None or places is None or places.ndim != 5 or places.shape[-1] != 2 or places.min(initial=0) < 0:
        return None
    if list(turned.attributes["perm"].value) != [2, 3, 0, 1] or (end := _divided(node)) is None:
        return None
    size, out = [int(places[..., i].max(initial=0)) + 1 for i in (0, 1)], list(places.shape[:3:2])
    if math.prod(size) > MOST:
        return None
    plane = np.random.default_rng(0).random((*size, 1, 1))
    found = computed(end, {node.outputs[0]: plane[tuple(np.moveaxis(places, -1, 0))]})
    if found is None or found.shape != (1, 1, *out) or not np.allclose(found[0, 0], _means(plane[..., 0, 0], out)):
        return None
    attributes = {"size": ir.AttrInt64s("size", size), "out": ir.AttrInt64s("out", out)}
    return end, ADAPTIVE_POOL, [turned.inputs[0]], attributes


def _divided(gather: ir.Node) -> ir.Value | None:
    """The first quotient or mean behind what is gathered, if nothing but selections, masks and sums lie between."""
    behind = {gather.outputs[0]}
    for node in gather.graph or ():
        if behind.isdisjoint(node.inputs):
            continue
        if node.op_type in ("Div", "ReduceMean"):
            return node.outputs[0]
        if node.op_type not in ("Transpose", "Where", "Gather", "Add"):
            return None
        behind.update(node.outputs)
    return None


def _means(plane: Sizes, out: list[int]) -> Sizes:
    edges = [
        [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        for size, count in zip(plane.shape, out, strict=True)
    ]
    return np.array([[plane[slice(*rows), slice(*columns)].mean() for columns in edges[1]] for rows in edges[0]])


def as_strided(images: ir.Value, node: ir.Node) -> Any:
    """A Gather from all numbers of all images, at places that are the same in every image."""
    flat = made_by(node.inputs[0], "Reshape") if node.op_type == "Gather" else None
    if flat is None or constant(node.inputs[1]) is not None or number(flat.inputs[1]) != -1:
        return None
    given = {value: np.array([1]) for value in _batches(images)}
    found = [computed(node.inputs[1], {value: count * one for value, one in given.items()}) for count in (1, 2, 3)]
    if not given or any(x is None or x.ndim < 2 or x.dtype.kind != "i" for x in found):
        return None
    one, *more = (x for x in found if x is not None)
    if len(one) != 1 or not all(len(x) == count and (x[:-1] >= 0).all() for count, x in enumerate(more, 2)):
        return None
    step = int(more[0][1].reshape(-1)[0] - one.reshape(-1)[0]) if one.size else 0
    every = all((b - a == step).all() for x in more for a, b in pairwise(x))
    if not every or step <= one.max(initial=0) or not all((x[0] == one[0]).all() for x in more):
        return None
    attributes = {
        "shape": ir.AttrInt64s("shape", one.shape[1:]),
        "places": ir.AttrInt64s("places", one.reshape(-1).tolist()),
        "numbers": ir.AttrInt64("numbers", step),
    }
    return node.outputs[0], PLACES, [flat.inputs[0]], attributes


def _batches(images: ir.Value) -> list[ir.Value]:
    """The values that hold how many images there are, and nothing else."""
    shapes = [use.node for use in images.uses() if use.node.op_type == "Shape"]
    ends = [[n.attributes[name].value if name in n.attributes else None for name in ("start", "end")] for n in shapes]
    return [n.outputs[0] for n, end in zip(shapes, ends, strict=True) if end in ([0, 1], [None, 1])]


def overwritten(node: ir.Node) -> Any:
    """A ScatterND to every place along the first axis: what is written."""
    if node.op_type != "ScatterND" or _kind(node, "reduction", "none") != "none":
        return None
    if (unsqueezed := made_by(node.inputs[1], "Unsqueeze")) is None or number(unsqueezed.inputs[1]) not in (1, -1):
        return None
    places = unsqueezed.inputs[0]
    while (part := made_by(places, "Slice")) is not None:
        start, end, step = (number(value) for value in (*part.inputs[1:3], (*part.inputs, None, None)[4]))
        if start != 0 or end is None or end < MANY or step not in (None, 1):
            return None
        places = part.inputs[0]
    count = made_by(places, "Range")
    if count is None or number(count.inputs[0]) != 0 or number(count.inputs[2]) != 1:
        return None
    size = made_by(count.inputs[1], "Gather")
    shape = made_by(size.inputs[0], "Shape") if size is not None and number(size.inputs[1]) == 0 else None
    if shape is None or shape.inputs[0] is not node.inputs[0] or _kind(shape, "start", 0) != 0:
        return None
    return node.outputs[0], "Identity", [node.inputs[2]], {}


def _kind(node: ir.Node, name: str, default: Any) -> Any:
    found = node.attributes.get(name)
    return default if found is None else found.value


def computed(value: ir.Value | None, given: Mapping[ir.Value, Sizes]) -> Sizes | None:
    """What a value is where some others are `given`; None where it depends on more, on other ops, or on much."""
    known = dict(given)
    waiting = [value]
    while waiting:
        one = waiting[-1]
        node = None if one is None else one.producer()
        if one is None or one in known:
            waiting.pop()
        elif (found := constant(one)) is not None:
            known[one] = found
        elif node is None or node.op_type not in COMPUTED or len(waiting) > MOST_NODES:
            return None
        elif missing := [part for part in node.inputs if part is not None and part not in known]:
            waiting.extend(missing)
        elif (made := _made(node, [None if part is None else known[part] for part in node.inputs])) is None:
            return None
        else:
            known[one] = made
    return None if value is None else known.get(value)


def _made(node: ir.Node, operands: list[Sizes | None]) -> Sizes | None:
    arrays = [operand for operand in operands if operand is not None]
    try:
        shapes = [x.shape for x in arrays]
        spread = node.op_type in SPREADS
        size = math.prod(np.broadcast_shapes(*shapes) if spread else [math.prod(shape) for shape in shapes])
        if size > MOST and (spread or node.op_type == "Gather"):
            return None
        return np.asarray(COMPUTED[node.op_type](Call(node, tuple(operands), 13), *arrays))
    except Exception:  # noqa: BLE001 - sizes that do not fit: it is not what it was taken for
        return None
