"""`CodeGraph`: a graph of codes while it becomes one of real numbers, node by node."""

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bitwright.capture.onnx.code_types import KINDS, CodeType
from bitwright.capture.onnx.matching import constant
from bitwright.errors import ModelError

GIVEN, LOOKUP = "_Given", "_Lookup"


class CodeGraph:
    """What is known of values of codes, and how nodes and constants are put into their graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._types: dict[ir.Value, CodeType | None] = {}
        """Of values of codes: None where there is more than one scale."""
        self._reals: dict[ir.Value, ir.Value] = {}

    def _zero(self, node: ir.Node) -> tuple[npt.NDArray[np.int64], ir.DataType]:
        """The zero points of a node, and the type of its codes."""
        found = node.inputs[2] if len(node.inputs) > 2 else None
        array, kind = constant(found), None if found is None else found.dtype
        if found is not None and array is None:
            raise ModelError(f"{where(node)}: its zero point is computed; only constant ones are known")
        if kind is None and found is not None and found.const_value is not None:
            kind = found.const_value.dtype
        asked = node.attributes.get("output_dtype")
        if kind is None and node.op_type == "QuantizeLinear":
            kind = ir.DataType(asked.value) if asked is not None and asked.value else ir.DataType.UINT8
        if kind is None:  # of DequantizeLinear
            x = node.inputs[0]
            kind = (
                x.const_value.dtype if x is not None and x.const_value is not None else None if x is None else x.dtype
            )
            kind = self._types[x].kind if x in self._types and self._types[x] is not None else kind  # type: ignore[union-attr]
        if kind not in KINDS:
            raise ModelError(f"{where(node)}: codes of {'an unknown type' if kind is None else kind.name} are not read")
        return np.zeros(1, np.int64) if array is None else array.astype(np.int64).reshape(-1), kind

    def _given(self, node: ir.Node, x: ir.Value, type_: CodeType) -> ir.Value:
        (lo, hi), held = type_.bounds, type_.qtype
        if not (type_.scale > 0 and math.isfinite(hi - lo)):
            raise ModelError(f"{where(node)}: expected a finite scale above 0, found {type_.scale}")
        attributes = {
            "scheme": held.scheme,
            "scale": held.one_scale,
            "zero_point": held.one_zero_point,
            "lo": lo,
            "hi": hi,
        }
        return self._emit(node, GIVEN, [x], attributes)

    def _emit(self, node: ir.Node, op: str, inputs: list[ir.Value], attributes: dict[str, object]) -> ir.Value:
        made = ir.node(op, inputs, attributes, name=node.name)  # type: ignore[arg-type]
        made.outputs[0].name = f"{node.outputs[0].name}.{op}"
        made.outputs[0].shape = node.outputs[0].shape
        self._graph.insert_before(node, made)
        return made.outputs[0]

    def _constant(self, array: npt.ArrayLike, name: str, kind: ir.DataType) -> ir.Value:
        found = np.asarray(array)
        tensor = ir.tensor(found) if kind == ir.DataType.FLOAT else ir.Tensor(found.astype(kind.numpy()), dtype=kind)
        value = ir.Value(name=name, shape=ir.Shape(found.shape), type=ir.TensorType(kind), const_value=tensor)
        while value.name in self._graph.initializers:
            value.name = f"{value.name}_"
        self._graph.register_initializer(value)
        return value

    def _swap(self, node: ir.Node, value: ir.Value) -> None:
        """Let all that reads a node's result read another value."""
        out = node.outputs[0]
        if out.is_graph_output():
            value = self._emit(node, "Identity", [value], {})
            out.name, value.name = f"{out.name}.codes", out.name
        ir.convenience.replace_all_uses_with(out, value, replace_graph_outputs=True)


def where(node: ir.Node | None) -> str:
    return "a value" if node is None else f"the node {node.name or node.outputs[0].name!r} ({node.op_type})"
