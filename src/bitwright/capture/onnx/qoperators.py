"""Ops that read and write codes (QLinearConv, and ONNX Runtime's own such as QLinearAdd), written out: DequantizeLinear, the
real op, QuantizeLinear, which is how they are defined.

What is quantized while it runs (DynamicQuantizeLinear in front of MatMulInteger or ConvInteger) becomes the real value times
the codes of the weight: only the weight has a scale then.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

MICROSOFT = "com.microsoft"
AXIS = "bitwright.axis"
"""Metadata of a DequantizeLinear that is made here: the axis of its scales, whatever the opset has attributes for."""
Value = ir.Value | None


class Writer:
    """Puts nodes in front of the one that they replace."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self._graph, self.node = graph, node

    def emit(
        self, op: str, inputs: Sequence[Value], attributes: dict[str, object] | None = None, axis: int = 0
    ) -> ir.Value:
        made = ir.node(op, inputs, attributes or {}, name=self.node.name, metadata_props={AXIS: str(axis)})  # type: ignore[arg-type]
        made.outputs[0].name = f"{self.node.outputs[0].name}.{op}_{len(self._graph)}"
        self._graph.insert_before(self.node, made)
        return made.outputs[0]

    def real(self, first: int, axis: int = 0) -> ir.Value:
        """The real numbers of operands first, first + 1 and first + 2: codes, scale, zero point."""
        return self.emit("DequantizeLinear", self.operands(first, 3), axis=axis)

    def operands(self, first: int, count: int) -> list[Value]:
        return [self.operand(index) for index in range(first, first + count)]

    def operand(self, index: int) -> Value:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attributes(self, *names: str) -> dict[str, object]:
        found = ((name, self.node.attributes.get(name)) for name in names)
        return {name: attribute.value for name, attribute in found if attribute is not None}

    def bias(self, index: int, scales: tuple[int, int]) -> list[ir.Value]:
        """An int32 bias in units of an operand's scale times a weight's; nothing where it is left out."""
        codes = self.operand(index)
        if codes is None:
            return []
        return [self.emit("DequantizeLinear", [codes, self.emit("Mul", [self.operand(i) for i in scales])])]

    def constant(self, array: np.ndarray, name: str) -> ir.Value:
        value = ir.Value(name=f"{self.node.outputs[0].name}.{name}", const_value=ir.tensor(array))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        self._graph.register_initializer(value)
        return value


_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _conv(w: Writer) -> tuple[ir.Value, int]:
    inputs = [w.real(0), w.real(3, axis=0), *w.bias(8, (1, 4))]
    return w.emit("Conv", inputs, w.attributes(*_WINDOW)), 6


def _matmul(w: Writer) -> tuple[ir.Value, int]:
    return w.emit("MatMul", [w.real(0), w.real(3, axis=1)]), 6


def _gemm(w: Writer) -> tuple[ir.Value, int]:
    turned = w.attributes("transB").get("transB", 0)
    inputs = [w.real(0), w.real(3, axis=0 if turned else 1), *w.bias(6, (1, 4))]
    return w.emit("Gemm", inputs, w.attributes("alpha", "transA", "transB")), 7


def _of_two(op: str) -> Callable[[Writer], tuple[ir.Value, int]]:
    return lambda w: (w.emit(op, [w.real(0), w.real(3)]), 6)


def _of_one(op: str, *names: str) -> Callable[[Writer], tuple[ir.Value, int]]:
    return lambda w: (w.emit(op, [w.real(0)], w.attributes(*names)), 3)


def _global_avg_pool(w: Writer) -> tuple[ir.Value, int]:
    return w.emit("GlobalAveragePool", [w.real(0)]), 3


def _concat(w: Writer) -> tuple[ir.Value, int]:
    parts = [w.real(first) for first in range(2, len(w.node.inputs), 3)]
    return w.emit("Concat", parts, w.attributes("axis")), 0


REAL: dict[str, Callable[[Writer], tuple[ir.Value, int]]] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    f"{MICROSOFT}.QGemm": _gemm,
    f"{MICROSOFT}.QLinearAdd": _of_two("Add"),
    f"{MICROSOFT}.QLinearAveragePool": _of_one("AveragePool", *_WINDOW, "ceil_mode", "count_include_pad"),
    f"{MICROSOFT}.QLinearConcat": _concat,
    f"{MICROSOFT}.QLinearGlobalAveragePool": _global_avg_pool,
    f"{MICROSOFT}.QLinearLeakyRelu": _of_one("LeakyRelu", "alpha"),
    f"{MICROSOFT}.QLinearMul": _of_two("Mul"),
    f"{MICROSOFT}.QLinearSigmoid": _of_one("Sigmoid"),
    f"{MICROSOFT}.QLinearSoftmax": _of_one("Softmax", "axis"),
}
"""By op: the real op, and which operand the scale of the result is; its zero point comes behind it."""
OTHERS = (f"{MICROSOFT}.QuantizeLinear", f"{MICROSOFT}.DequantizeLinear")
"""ONNX Runtime's, which had 16 bits before ONNX."""
KNOWN = frozenset((*REAL, *OTHERS))


def written_out(model: ir.Model) -> None:
    """Replace every op on codes by the ops that it is made of."""
    graph = model.graph
    for node in list(graph):
        name = f"{node.domain}.{node.op_type}".removeprefix("ai.onnx").removeprefix(".")
        w = Writer(graph, node)
        if name in REAL:
            channels_last = node.attributes.get("channels_last")
            if channels_last is not None and channels_last.value:
                continue  # refused, as an op that is not known
            real, scale = REAL[name](w)
            result = real if w.operand(scale) is None else w.emit("QuantizeLinear", [real, *w.operands(scale, 2)])
            _replace(graph, node, [result])
        elif name in OTHERS:
            node.domain = ""
        elif name == "DynamicQuantizeLinear":
            one, zero = w.constant(np.ones((), np.float32), "one"), w.constant(np.zeros((), np.uint8), "zero")
            _replace(graph, node, [w.emit("Identity", [node.inputs[0]]), one, zero])
        elif name in ("MatMulInteger", "ConvInteger"):
            _in_integers(graph, w)


def _in_integers(graph: ir.Graph, w: Writer) -> None:
    """A product with the codes of a weight, where its other operand is quantized while it runs and so real here."""
    x = w.node.inputs[0]
    producer = None if x is None else x.producer()
    if producer is None or producer.op_type != "Identity":
        return
    is_matmul = w.node.op_type == "MatMulInteger"
    weight = [w.node.inputs[1], w.constant(np.ones((), np.float32), "unit"), w.operand(3)]
    real = w.emit("DequantizeLinear", weight, axis=1 if is_matmul else 0)
    attributes = {} if is_matmul else w.attributes(*_WINDOW)
    _replace(graph, w.node, [w.emit("MatMul" if is_matmul else "Conv", [x, real], attributes)])


def _replace(graph: ir.Graph, node: ir.Node, by: Sequence[ir.Value]) -> None:
    for old, new in zip(node.outputs, by, strict=False):
        if old.is_graph_output():
            kept = graph.outputs.index(old)
            graph.outputs[kept] = new
            old.name, new.name = f"{old.name}.codes", old.name
        ir.convenience.replace_all_uses_with(old, new)
    graph.remove(node, safe=False)
