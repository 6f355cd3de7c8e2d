"""The table of ops whose integers are computed as the artifact computes them: to the bit, in any runtime that follows ONNX.

Accumulators are those of `ConvInteger` and `MatMulInteger`, or float32 sums of whole numbers below 2^24, which are exact; then
come `Mul`, `Add`, `Round`, `Clip` and `Cast`, one for each arrow of docs/arithmetic.md. Norms and attention are as in `ops.py`.
"""

from collections.abc import Callable

import numpy as np

from bitwright.export import ops
from bitwright.export.draft import FLOAT, UINT8, Array, Draft
from bitwright.graph import Node
from bitwright.ops.op import codes_of

EXACT = 2**24
"""Below this every whole number is a float32."""


def centred(d: Draft, name: str) -> str:
    """step * code - zero_point of a value, as float32."""
    type_ = codes_of(d.graph.values[name])
    plain = d.emit("Cast", [d.codes[name]], f"{name}.cast", to=FLOAT)
    if type_.step != 1:
        plain = d.emit("Mul", [plain, d.number(type_.step)], f"{name}.steps")
    zeros = d.column(np.atleast_1d(type_.zero_point), d.graph.values[name], f"{name}.zero_points")
    return d.emit("Sub", [plain, zeros], f"{name}.centred")


def store(d: Draft, node: Node, t: str) -> None:
    """Round half to even, clip, and make codes; or keep a float32 result."""
    type_ = d.graph.values[node.name].type
    if type_ is None:
        d.keep(node.name, t)
        return
    bounds = [d.number(node.attrs.get("lo", 0)), d.number(node.attrs.get("hi", type_.codes.hi))]
    within = d.emit("Clip", [d.emit("Round", [t], f"{node.name}.round"), *bounds], f"{node.name}.within")
    d.codes[node.name] = d.emit("Cast", [within], node.name, to=UINT8)


def with_zero_point(d: Draft, node: Node, t: str) -> None:
    """What the ops without a `b` do at their end."""
    type_ = d.graph.values[node.name].type
    if type_ is not None:
        t = d.emit("Add", [t, d.number(type_.one_shift)], f"{node.name}.shifted")
    store(d, node, t)


def per_channel(d: Draft, node: Node, acc: str) -> None:
    """The epilogue: acc * m + b, and the residual times m_r."""
    value = d.graph.values[node.name]
    t = d.emit("Mul", [acc, d.column(node.tensors["m"], value, f"{node.name}.m")], f"{node.name}.scaled")
    t = d.emit("Add", [t, d.column(node.tensors["b"], value, f"{node.name}.b")], f"{node.name}.biased")
    if "m_r" in node.tensors:
        m_r = d.number(float(node.tensors["m_r"][0]))
        other = d.emit("Mul", [centred(d, node.inputs[1]), m_r], f"{node.name}.residual")
        t = d.emit("Add", [t, other], f"{node.name}.sum")
    store(d, node, t)


def whole(d: Draft, node: Node, acc: str) -> str:
    """A sum of whole numbers, rounded: that changes nothing, and keeps runtimes from multiplying weights by what comes next."""
    return d.emit("Round", [acc], f"{node.name}.whole")


def _in_floats(d: Draft, node: Node) -> bool:
    """Whether float32 holds every accumulator, so that it can be one; else the codes must have one zero point."""
    type_, weight = codes_of(d.graph.values[node.inputs[0]]), node.tensors["weight"].astype(np.int64)
    small = int(np.abs(weight).reshape(len(weight), -1).sum(1).max()) * type_.reach < EXACT
    return small and (isinstance(type_.zero_point, tuple) or type_.step != 1)


def _zero(d: Draft, name: str) -> str:
    return d.constant(np.array(np.atleast_1d(codes_of(d.graph.values[name]).zero_point)[0], np.uint8), "zero_point")


def conv2d(d: Draft, node: Node) -> None:
    x, attributes = node.inputs[0], ops.window(node)
    if _in_floats(d, node):
        weight = d.constant(node.tensors["weight"], f"{node.name}.weight")
        real = d.emit("Cast", [weight], f"{node.name}.weight_cast", to=FLOAT)
        per_channel(d, node, whole(d, node, d.emit("Conv", [centred(d, x), real], f"{node.name}.acc", **attributes)))
        return
    weight = d.constant(node.tensors["weight"], f"{node.name}.weight")
    acc = d.emit("ConvInteger", [d.codes[x], weight, _zero(d, x)], f"{node.name}.acc", **attributes)
    per_channel(d, node, d.emit("Cast", [acc], f"{node.name}.acc_cast", to=FLOAT))


def linear(d: Draft, node: Node) -> None:
    x, weight = node.inputs[0], d.constant(node.tensors["weight"].T, f"{node.name}.weight")
    if node.tensors["m"].ndim == 2:
        ops.linear(d, node)
        return
    if _in_floats(d, node):
        real = d.emit("Cast", [weight], f"{node.name}.weight_cast", to=FLOAT)
        per_channel(d, node, whole(d, node, d.emit("MatMul", [centred(d, x), real], f"{node.name}.acc")))
        return
    acc = d.emit("MatMulInteger", [d.codes[x], weight, _zero(d, x)], f"{node.name}.acc")
    per_channel(d, node, d.emit("Cast", [acc], f"{node.name}.acc_cast", to=FLOAT))


def batch_norm(d: Draft, node: Node) -> None:
    per_channel(d, node, centred(d, node.inputs[0]))


def add(d: Draft, node: Node) -> None:
    parts = [
        d.emit("Mul", [centred(d, name), d.number(float(node.tensors[m][0]))], f"{node.name}.{m}")
        for name, m in zip(node.inputs, ("m_a", "m_b"), strict=True)
    ]
    with_zero_point(d, node, d.emit("Add", parts, f"{node.name}.sum"))


def mul(d: Draft, node: Node) -> None:
    product = d.emit("Mul", [centred(d, name) for name in node.inputs], f"{node.name}.product")
    with_zero_point(d, node, d.emit("Mul", [product, d.number(float(node.tensors["m"][0]))], f"{node.name}.scaled"))


def avg_pool2d(d: Draft, node: Node) -> None:
    """Sums, as a convolution with ones for each channel."""
    x = node.inputs[0]
    channels, kernel = d.graph.values[x].shape[0], node.attrs["kernel"]
    ones = d.constant(np.ones((channels, 1, *kernel), np.float32), f"{node.name}.ones")
    attributes = {"strides": list(node.attrs["stride"]), "pads": list(node.attrs["padding"])}
    acc = d.emit("Conv", [centred(d, x), ones], f"{node.name}.acc", group=channels, **attributes)
    _averaged(d, node, whole(d, node, acc), node.tensors["m"])


def global_avg_pool2d(d: Draft, node: Node) -> None:
    axes = d.ints([2, 3], "axes")
    _averaged(d, node, d.emit("ReduceSum", [centred(d, node.inputs[0]), axes], f"{node.name}.acc"), node.tensors["m"])


def _averaged(d: Draft, node: Node, acc: str, m: Array) -> None:
    by = d.number(float(m.reshape(-1)[0])) if m.size == 1 else d.constant(m, f"{node.name}.m")
    with_zero_point(d, node, d.emit("Mul", [acc, by], f"{node.name}.scaled"))


def dequantize(d: Draft, node: Node) -> None:
    m = d.number(float(node.tensors["m"][0]))
    d.keep(node.name, d.emit("Mul", [centred(d, node.inputs[0]), m], f"{node.name}.scaled"))


OPS: dict[str, Callable[[Draft, Node], None]] = {
    **ops.OPS,
    "add": add,
    "avg_pool2d": avg_pool2d,
    "batch_norm": batch_norm,
    "conv2d": conv2d,
    "dequantize": dequantize,
    "global_avg_pool2d": global_avg_pool2d,
    "linear": linear,
    "mul": mul,
}
