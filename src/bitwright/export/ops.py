"""The table from the integer ops to ONNX: each as its real function between DequantizeLinear and QuantizeLinear.

What is exact on codes (tables, moves) works on codes. Multipliers become scales: with `m = gain / s_y` an accumulator of weight
codes stands for `m * s_y` a unit, which is `s_x` times the scale of the weight.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bitwright.errors import GraphError
from bitwright.export.draft import FLOAT, INT32, Array, Draft
from bitwright.graph import Node, Value
from bitwright.ops import integer_op
from bitwright.ops.op import codes_of

LARGEST = 2**30
"""A bias of more units than this stays float32."""


NOTHING = 1e-6
"""The multiplier of a channel whose multiplier is 0: its weights move no code, and its bias keeps a unit."""


def unit_of(value: Value) -> float:
    """What one code of a result stands for; 1 where it is float32."""
    return 1.0 if value.type is None else value.type.one_unit


def affine_of(d: Draft, node: Node) -> tuple[Array, Array]:
    """(gain, shift) of the epilogue in real numbers: result = gain * acc + shift, float64 [O]; gain [O, G] with groups."""
    value = d.graph.values[node.name]
    unit = unit_of(value)
    zero = 0.0 if value.type is None else value.type.one_shift
    gain, shift = node.tensors["m"].astype(np.float64) * unit, (node.tensors["b"].astype(np.float64) - zero) * unit
    return np.where(gain == 0, unit * NOTHING, gain), shift


def finish(d: Draft, node: Node, real: str) -> None:
    """Add the residual where there is one, then store."""
    if "m_r" in node.tensors:
        other = node.inputs[1]
        factor = float(node.tensors["m_r"][0]) * unit_of(d.graph.values[node.name]) / d.scale_of(other)
        real = d.emit("Add", [real, d.times(d.real(other), factor, node.name)], f"{node.name}.sum")
    d.store(real, node)


def weight_of(d: Draft, node: Node, weight: Array, scale: Array, axis: int) -> str:
    """A weight of codes as real numbers, with one scale for each entry of an axis; of few bits as `narrow` says."""
    negative = scale < 0
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    codes = np.where(negative.reshape(shape), -weight.astype(np.int16), weight).astype(np.int8)
    scale = np.abs(scale).astype(np.float32)
    codes, scale = np.where(scale.reshape(shape) > 0, codes, 0).astype(np.int8), np.where(scale > 0, scale, 1)
    kind = d.narrow.get(node.attrs["weights"])
    stored = d.constant(codes, f"{node.name}.weight", kind)
    inputs = [stored, d.constant(scale.astype(np.float32), f"{node.name}.weight_scale")]
    return d.emit("DequantizeLinear", inputs, f"{node.name}.weight_real", axis=axis)


def bias_of(d: Draft, node: Node, shift: Array, unit: Array) -> str:
    """The shift as int32 of units of the accumulator; as float32 where these are too small to hold it."""
    unit = np.where(unit == 0, 1, np.abs(unit)).astype(np.float32)
    codes = np.rint(shift / unit)
    if np.abs(codes).max() > LARGEST:
        return d.constant(shift.astype(np.float32), f"{node.name}.bias")
    stored = d.constant(codes.astype(np.int32), f"{node.name}.bias")
    return d.emit(
        "DequantizeLinear", [stored, d.constant(unit, f"{node.name}.bias_scale")], f"{node.name}.bias_real", axis=0
    )


def window(node: Node) -> dict[str, Any]:
    """The attributes of a convolution."""
    return {
        "strides": list(node.attrs["stride"]),
        "pads": list(node.attrs["padding"]),
        "dilations": list(node.attrs["dilation"]),
        "group": node.attrs["groups"],
        "kernel_shape": list(node.tensors["weight"].shape[2:]),
    }


def conv2d(d: Draft, node: Node) -> None:
    gain, shift = affine_of(d, node)
    x = node.inputs[0]
    scale = d.scale_of(x)
    weight = weight_of(d, node, node.tensors["weight"], gain / scale, 0)
    inputs = [d.real(x), weight, bias_of(d, node, shift, gain)]
    finish(d, node, d.emit("Conv", inputs, f"{node.name}.acc", **window(node)))


def linear(d: Draft, node: Node) -> None:
    gain, shift = affine_of(d, node)
    x, weight = node.inputs[0], node.tensors["weight"]
    scale = d.scale_of(x)
    if gain.ndim == 2:
        finish(d, node, _grouped(d, node, gain / scale, shift))
        return
    if len(d.graph.values[x].shape) == 1:
        inputs = [d.real(x), weight_of(d, node, weight, gain / scale, 0), bias_of(d, node, shift, gain)]
        finish(d, node, d.emit("Gemm", inputs, f"{node.name}.acc", transB=1))
        return
    product = d.emit("MatMul", [d.real(x), weight_of(d, node, weight.T, gain / scale, 1)], f"{node.name}.acc")
    bias = d.constant(shift.astype(np.float32), f"{node.name}.bias")
    finish(d, node, d.emit("Add", [product, bias], f"{node.name}.biased"))


def _grouped(d: Draft, node: Node, scale: Array, shift: Array) -> str:
    """A weight with scales for groups of inputs. (ONNX Runtime 1.32 fails on blocks of DequantizeLinear beside codes.)"""
    weight, groups = node.tensors["weight"].T, scale.shape[1]
    stored = d.constant(weight.reshape(groups, -1, weight.shape[1]), f"{node.name}.weight")
    scales = d.constant(scale.T[:, None].astype(np.float32), f"{node.name}.weight_scale")
    parts = d.emit("Mul", [d.emit("Cast", [stored], f"{node.name}.cast", to=FLOAT), scales], f"{node.name}.parts")
    real = d.emit("Reshape", [parts, d.ints(weight.shape, "shape")], f"{node.name}.weight_real")
    product = d.emit("MatMul", [d.real(node.inputs[0]), real], f"{node.name}.acc")
    return d.emit("Add", [product, d.constant(shift.astype(np.float32), f"{node.name}.bias")], f"{node.name}.biased")


def batch_norm(d: Draft, node: Node) -> None:
    gain, shift = affine_of(d, node)
    value, x = d.graph.values[node.name], node.inputs[0]
    scale = d.scale_of(x)
    scaled = d.emit("Mul", [d.real(x), d.column(gain / scale, value, f"{node.name}.gain")], f"{node.name}.scaled")
    d.store(d.emit("Add", [scaled, d.column(shift, value, f"{node.name}.shift")], f"{node.name}.shifted"), node)


def _normed(d: Draft, node: Node, normal: str) -> None:
    """A gain and a shift per channel behind a norm."""
    gain, shift = affine_of(d, node)
    value = d.graph.values[node.name]
    scaled = d.emit("Mul", [normal, d.column(gain, value, f"{node.name}.gain")], f"{node.name}.scaled")
    d.store(d.emit("Add", [scaled, d.column(shift, value, f"{node.name}.shift")], f"{node.name}.shifted"), node)


def group_norm(d: Draft, node: Node) -> None:
    x, groups = node.inputs[0], node.attrs["groups"]
    value = d.graph.values[x]
    n = value.channels // groups * value.pixels
    eps = float(node.tensors["e"][0]) * (d.scale_of(x) / n) ** 2
    parted = d.emit("Reshape", [d.real(x), d.ints([0, groups, -1], "groups")], f"{node.name}.groups")
    ones, zeros = (d.constant(np.full(groups, v, np.float32), f"{node.name}.{v}") for v in (1, 0))
    normal = d.emit("InstanceNormalization", [parted, ones, zeros], f"{node.name}.normal", epsilon=eps)
    shape = d.ints([0, *value.shape], "shape")
    _normed(d, node, d.emit("Reshape", [normal, shape], f"{node.name}.planes"))


def layer_norm(d: Draft, node: Node) -> None:
    value = d.graph.values[node.name]
    total, m_x = d.real(node.inputs[0]), node.tensors.get("m_x", np.ones(1, np.float32))
    if m_x.ndim == 2:  # the sum of the numbers that the integer norm adds up: no channel's scale is all of the value's
        unit, terms = 1.0, []
        for i, (name, m) in enumerate(zip(node.inputs, m_x, strict=True)):
            column = d.column(m / d.scale_of(name), value, f"{node.name}.m_{i}")
            terms.append(d.emit("Mul", [d.real(name), column], f"{node.name}.term"))
        total, *others = terms
    else:
        unit = d.scale_of(node.inputs[0]) / float(m_x[0])
        further = zip(node.inputs[1:], m_x[1:], strict=True)
        others = [d.times(d.real(name), float(m) * unit / d.scale_of(name), node.name) for name, m in further]
    for other in others:
        total = d.emit("Add", [total, other], f"{node.name}.sum")
    eps = float(node.tensors["e"][0]) * (unit / value.channels) ** 2
    ones, last = d.constant(np.ones(value.channels, np.float32), f"{node.name}.ones"), len(value.shape)
    turned = [axis for axis in range(last + 1) if axis != value.axis] + [value.axis]
    moves = value.axis != last  # ONNX has layer norms over the last axis alone
    total = d.emit("Transpose", [total], f"{node.name}.turned", perm=turned) if moves else total
    normal = d.emit("LayerNormalization", [total, ones], f"{node.name}.normal", epsilon=eps, axis=-1)
    back = [turned.index(axis) for axis in range(last + 1)]
    _normed(d, node, d.emit("Transpose", [normal], f"{node.name}.back", perm=back) if moves else normal)


def attention(d: Draft, node: Node) -> None:
    query, key, value = node.inputs
    heads, t = node.attrs["heads"], node.tensors
    if not np.array_equal(t["exp"], np.rint(255 * np.exp(-np.arange(256) / 32))):
        raise GraphError(f"node {node.name!r} (attention): its weights are no softmax, which is all that ONNX has")
    scale = float(t["m_s"][0]) / (32 * d.scale_of(query) * d.scale_of(key))

    def parted(name: str, perm: list[int]) -> str:
        tokens, width = d.graph.values[name].shape
        shape = d.ints([0, tokens, heads, width // heads], "heads")
        split = d.emit("Reshape", [d.real(name), shape], f"{node.name}.heads")
        return d.emit("Transpose", [split], f"{node.name}.turned", perm=perm)

    scores = d.emit("MatMul", [parted(query, [0, 2, 1, 3]), parted(key, [0, 2, 3, 1])], f"{node.name}.scores")
    scaled = d.emit("Mul", [scores, d.number(scale)], f"{node.name}.scaled")
    if "score_bias" in t:
        real = t["score_bias"].astype(np.float64) * scale * d.scale_of(query) * d.scale_of(key)
        bias = np.tile(real, (heads // len(real), 1, 1)).astype(np.float32)
        scaled = d.emit("Add", [scaled, d.constant(bias, f"{node.name}.bias")], f"{node.name}.biased")
    weights = d.emit("Softmax", [scaled], f"{node.name}.weights", axis=-1)
    mixed = d.emit("MatMul", [weights, parted(value, [0, 2, 1, 3])], f"{node.name}.mixed")
    turned = d.emit("Transpose", [mixed], f"{node.name}.back", perm=[0, 2, 1, 3])
    shape = d.ints([0, *d.graph.values[node.name].shape], "shape")
    factor = float(t["m"][0]) * unit_of(d.graph.values[node.name]) / d.scale_of(value)
    d.store(d.times(d.emit("Reshape", [turned, shape], f"{node.name}.tokens"), factor, node.name), node)


def add(d: Draft, node: Node) -> None:
    unit = unit_of(d.graph.values[node.name])
    factors = [
        float(node.tensors[m][0]) * unit / d.scale_of(name) for m, name in zip(("m_a", "m_b"), node.inputs, strict=True)
    ]
    parts = [d.times(d.real(name), factor, node.name) for name, factor in zip(node.inputs, factors, strict=True)]
    d.store(d.emit("Add", parts, f"{node.name}.sum"), node)


def mul(d: Draft, node: Node) -> None:
    a, b = node.inputs
    factor = float(node.tensors["m"][0]) * unit_of(d.graph.values[node.name]) / (d.scale_of(a) * d.scale_of(b))
    product = d.emit("Mul", [d.real(a), d.real(b)], f"{node.name}.product")
    d.store(d.times(product, factor, node.name), node)


def table(d: Draft, node: Node) -> None:
    """Codes to codes, exactly; with a table for each channel, behind an offset that chooses it."""
    given, x = node.tensors["table"], node.inputs[0]
    value = d.graph.values[x]
    index = d.emit("Cast", [d.codes[x]], f"{node.name}.index", to=INT32)
    if given.ndim == 2:
        axes = len(value.shape) - value.channel - 1
        starts = (np.arange(len(given), dtype=np.int32) * given.shape[1]).reshape(-1, *(1,) * axes)
        index = d.emit("Add", [index, d.constant(starts, f"{node.name}.starts")], f"{node.name}.place")
    entries = d.constant(given.reshape(-1), f"{node.name}.table")
    d.codes[node.name] = d.emit("Gather", [entries, index], node.name, axis=0)


def prelu(d: Draft, node: Node) -> None:
    value = d.graph.values[node.name]
    table(d, integer_op(node).simplest(node, d.graph.inputs_of(node), value))


def max_pool2d(d: Draft, node: Node) -> None:
    a = node.attrs
    attributes = {"kernel_shape": list(a["kernel"]), "strides": list(a["stride"])}
    attributes |= {"pads": list(a["padding"]), "dilations": list(a["dilation"])}
    d.move(node, "MaxPool", **attributes)


def avg_pool2d(d: Draft, node: Node) -> None:
    a, value, m = node.attrs, d.graph.values[node.name], node.tensors["m"].astype(np.float64)
    kernel, sides, real = list(a["kernel"]), list(a["padding"]), d.real(node.inputs[0])
    if any(side >= kernel[i % 2] for i, side in enumerate(sides)):  # which no pool of ONNX Runtime takes
        pads = d.ints([0, 0, *sides[:2], 0, 0, *sides[2:]], f"{node.name}.pads")
        real, sides = d.emit("Pad", [real, pads], f"{node.name}.padded"), [0, 0, 0, 0]
    attributes = {"kernel_shape": kernel, "strides": list(a["stride"]), "pads": sides}
    found = d.emit("AveragePool", [real], f"{node.name}.mean", count_include_pad=1, **attributes)
    _times(d, node, found, m * np.prod(kernel) * unit_of(value) / d.scale_of(node.inputs[0]))


def global_avg_pool2d(d: Draft, node: Node) -> None:
    x, value = node.inputs[0], d.graph.values[node.name]
    found = d.emit("GlobalAveragePool", [d.real(x)], f"{node.name}.mean")
    by = node.tensors["m"].astype(np.float64) * d.graph.values[x].pixels * unit_of(value) / d.scale_of(x)
    _times(d, node, found, by)


def _times(d: Draft, node: Node, real: str, by: Array) -> None:
    """The means, times what they are not yet the mean of; nothing where that is 1 up to rounding."""
    if not np.allclose(by, 1, rtol=1e-6):
        by = by.reshape(-1)[0] if by.size == 1 else by[None]
        real = d.emit("Mul", [real, d.constant(np.asarray(by, np.float32), f"{node.name}.taps")], f"{node.name}.means")
    d.store(real, node)


def constant(d: Draft, node: Node) -> None:
    """The same codes for each image."""
    shape = d.emit("Shape", [d.images], f"{node.name}.shape", start=0, end=1)
    rest = d.ints(list(d.graph.values[node.name].shape), "shape")
    whole = d.emit("Concat", [shape, rest], f"{node.name}.sizes", axis=0)
    codes = d.constant(node.tensors["codes"][None], f"{node.name}.codes")
    d.codes[node.name] = d.emit("Expand", [codes, whole], node.name)


def concat(d: Draft, node: Node) -> None:
    d.codes[node.name] = d.emit(
        "Concat", [d.codes[name] for name in node.inputs], node.name, axis=node.attrs["axis"] + 1
    )


def slice_(d: Draft, node: Node) -> None:
    parts = [d.ints([node.attrs[key]], key) for key in ("start", "stop")]
    d.move(node, "Slice", [*parts, d.ints([node.attrs["axis"] + 1], "axis"), d.ints([node.attrs["step"]], "step")])


def pad(d: Draft, node: Node) -> None:
    sides = [(0, 0), *node.attrs["padding"]]
    zero = codes_of(d.graph.values[node.inputs[0]]).one_zero_point
    pads = d.ints([before for before, _ in sides] + [after for _, after in sides], f"{node.name}.pads")
    d.move(node, "Pad", [pads, d.constant(np.array(zero, np.uint8), "zero_point")])


def reshape(d: Draft, node: Node) -> None:
    d.move(node, "Reshape", [d.ints([0, *node.attrs["shape"]], "shape")])


def permute(d: Draft, node: Node) -> None:
    d.move(node, "Transpose", perm=[0, *(dim + 1 for dim in node.attrs["dims"])])


def dequantize(d: Draft, node: Node) -> None:
    factor = float(node.tensors["m"][0]) / d.scale_of(node.inputs[0])
    d.keep(node.name, d.times(d.real(node.inputs[0]), factor, node.name))


OPS: dict[str, Callable[[Draft, Node], None]] = {
    "add": add,
    "attention": attention,
    "avg_pool2d": avg_pool2d,
    "batch_norm": batch_norm,
    "concat": concat,
    "constant": constant,
    "conv2d": conv2d,
    "dequantize": dequantize,
    "global_avg_pool2d": global_avg_pool2d,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "max_pool2d": max_pool2d,
    "mul": mul,
    "pad": pad,
    "permute": permute,
    "prelu": prelu,
    "reshape": reshape,
    "slice": slice_,
    "table": table,
}
