"""`dequantized`: a graph with QuantizeLinear and DequantizeLinear as the graph of the real numbers that its codes stand for.

A QuantizeLinear becomes `GIVEN`, a rounding in its real form that keeps the type; ops that move codes move what these stand
for; a table of codes becomes `LOOKUP`; the DequantizeLinear of a weight becomes its real numbers, and its scales are noted.
"""

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bitwright.capture.given import FileTypes, key_of
from bitwright.capture.onnx.code_types import (
    KINDS,
    MOVES,
    SCHEMES,
    Array,
    CodeType,
    along,
    axis_of,
    ends_in_softmax,
    one,
)
from bitwright.capture.onnx.idioms import constant
from bitwright.errors import ModelError
from bitwright.given import GivenWeight

GIVEN, LOOKUP = "_Given", "_Lookup"
READERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Reshape", "Transpose")
"""What reads weights, and not other constants."""


def dequantized(model: ir.Model, first: ir.Value) -> FileTypes | None:
    """Make the graph one of real numbers, from the value `first` on; what the file says of codes, None where it has none.

    Raises:
        ModelError: it computes with codes in a way that is not known; names the node.
    """
    return _Reader(model, first).run()


class _Reader:
    def __init__(self, model: ir.Model, first: ir.Value) -> None:
        self._model, self._graph, self._first = model, model.graph, first
        self._types: dict[ir.Value, CodeType | None] = {}
        """Of values of codes: None where there is more than one scale."""
        self._reals: dict[ir.Value, ir.Value] = {}
        self._weights: dict[bytes, GivenWeight] = {}
        self._differs: list[tuple[str, str]] = []
        self._is_quantized = False

    def run(self) -> FileTypes | None:
        for node in list(self._graph):
            if self._first in node.outputs:
                continue
            if node.op_type == "QuantizeLinear":
                self._quantize(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node)
            elif any(value in self._reals for value in node.inputs):
                self._on_codes(node)
        return FileTypes(self._weights, tuple(self._differs)) if self._is_quantized else None

    def _quantize(self, node: ir.Node) -> None:
        self._is_quantized = True
        x, scale = node.inputs[0], constant(node.inputs[1])
        zero, kind = self._zero(node)
        given = constant(x)
        if x is None or scale is None:
            raise ModelError(f"{_where(node)}: its scale is computed; only constant ones are known")
        if given is not None:
            lo, hi = KINDS[kind]
            axis = axis_of(node, given.ndim)
            codes = np.rint(given.astype(np.float32) / along(scale, given.ndim, axis)) + along(zero, given.ndim, axis)
            self._swap(node, self._constant(np.clip(codes, lo, hi).astype(np.int32), f"{x.name}.codes", kind))
            return
        out = node.outputs[0]
        self._reals[out] = x
        self._types[out] = type_ = CodeType(one(scale), int(one(zero)), kind) if scale.size == zero.size == 1 else None
        name = f"{x.name}"
        if type_ is None:
            self._differs.append((name, "values with a scale for each channel get one for all, chosen from images"))
        elif ends_in_softmax(x, out):
            self._differs.append((name, "the probabilities are left out, and their scale"))
        else:
            if KINDS[kind][1] - KINDS[kind][0] not in SCHEMES:
                self._differs.append((name, f"values of {kind.name} get 8 bits over the same range"))
            self._reals[out] = self._given(node, x, type_)

    def _dequantize(self, node: ir.Node) -> None:
        self._is_quantized = True
        x, scale = node.inputs[0], constant(node.inputs[1])
        zero, kind = self._zero(node)
        if x is None or scale is None:
            raise ModelError(f"{_where(node)}: its scale is computed; only constant ones are known")
        codes = constant(x)
        if codes is not None:
            self._swap(node, self._weight(node, x, codes, scale, zero))
            return
        if x not in self._reals:
            x = self._moved_constant(node, x, CodeType(one(scale), int(one(zero)), kind))
        elif self._types[x] is not None and self._types[x] != CodeType(one(scale), int(one(zero)), kind):
            raise ModelError(
                f"{_where(node)}: it reads codes by another scale than they were written with: {self._types[x]}, "
                f"found {one(scale)} and {int(one(zero))}"
            )
        self._swap(node, self._reals[x])

    def _zero(self, node: ir.Node) -> tuple[npt.NDArray[np.int64], ir.DataType]:
        """The zero points of a node, and the type of its codes."""
        found = node.inputs[2] if len(node.inputs) > 2 else None
        array, kind = constant(found), None if found is None else found.dtype
        if found is not None and array is None:
            raise ModelError(f"{_where(node)}: its zero point is computed; only constant ones are known")
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
            raise ModelError(
                f"{_where(node)}: codes of {'an unknown type' if kind is None else kind.name} are not read"
            )
        return np.zeros(1, np.int64) if array is None else array.astype(np.int64).reshape(-1), kind

    def _weight(self, node: ir.Node, x: ir.Value, codes: Array, scale: Array, zero: Array) -> ir.Value:
        """Real numbers for constant codes; where it is a weight, what is known of it."""
        name = str(x.name).removesuffix("_quantized").removesuffix(".codes")
        axis = axis_of(node, codes.ndim)
        block = node.attributes.get("block_size")
        if scale.ndim > 1 or (block is not None and block.value):
            raise ModelError(f"{_where(node)}: weights with scales for blocks are not read")
        stored = None if x.const_value is None else x.const_value.dtype
        if stored not in KINDS or not np.isfinite(scale).all():
            raise ModelError(f"{_where(node)}: expected integers and finite scales, found {codes.dtype} times {scale}")
        whole = codes.astype(np.int64) - along(zero, codes.ndim, axis)
        with np.errstate(over="ignore"):
            real = whole.astype(np.float32) * along(scale, codes.ndim, axis).astype(np.float32)
        if not np.isfinite(real).all():
            raise ModelError(f"{_where(node)}: the numbers that its codes stand for are not finite")
        if codes.ndim > 1 and any(use.node.op_type in READERS for use in node.outputs[0].uses()):
            self._note(name, real, whole, scale.astype(np.float32).reshape(-1), axis)
        return self._constant(real, name, ir.DataType.FLOAT)

    def _note(self, name: str, real: Array, whole: Array, scale: npt.NDArray[np.float32], axis: int) -> None:
        """Note what is given of a weight, as it stands and turned, since a layer may read it either way."""
        size = int(np.abs(whole).max(initial=0))
        fault = ""
        if size > 128:
            fault = "weights whose codes reach further than 127 from their zero point get symmetric ones of their own"
        elif size == 128:
            count = int((whole == -128).sum()) + int((whole == 128).sum())
            self._differs.append((f"{name} ({count})", "weights of -128 become -127"))
        ways = [(real, 0)] + ([(real.T, 1)] if real.ndim == 2 else [])
        for array, place in ways:
            fits = scale.size == 1 or axis == place
            wrong = fault or ("" if fits else "weights with scales along another axis than the outputs get new ones")
            key = key_of(array)
            if key not in self._weights or self._weights[key].fault:
                self._weights[key] = GivenWeight(name, "int4" if size <= 7 else "int8", scale, wrong)

    def _on_codes(self, node: ir.Node) -> None:
        """A node that reads codes: it moves them, looks them up, or makes numbers of them."""
        place, x = next((i, value) for i, value in enumerate(node.inputs) if value in self._reals)
        assert x is not None
        type_ = self._types[x]
        if node.op_type == "Cast":
            self._cast(node, x, type_)
        elif node.op_type == "Gather" and place == 1:
            self._look_up(node, x, type_)
        elif node.op_type in MOVES and (type_ is not None or node.op_type not in ("Concat", "Pad")):
            self._move(node, type_)
        else:
            raise ModelError(f"{_where(node)}: it computes with codes in a way that is not known")

    def _move(self, node: ir.Node, type_: CodeType | None) -> None:
        """The same move of what the codes stand for."""
        inputs = list(node.inputs)
        for i, value in enumerate(inputs):
            if value is None or not (i == 0 or node.op_type == "Concat" or (node.op_type == "Pad" and i == 2)):
                continue
            if value in self._reals:
                if self._types[value] != type_:
                    raise ModelError(f"{_where(node)}: it puts codes of different scales side by side")
                inputs[i] = self._reals[value]
            elif type_ is not None:
                inputs[i] = self._real_of(value, type_)
        if node.op_type == "Pad" and type_ is not None and inputs[2:3] in ([], [None]):
            zero = np.float32(type_.scale * -type_.zero)  # code 0
            inputs[2:3] = [self._constant(zero, f"{node.name}.value", ir.DataType.FLOAT)]
        made = ir.node(node.op_type, inputs, dict(node.attributes), num_outputs=len(node.outputs), name=node.name)
        self._graph.insert_before(node, made)
        for out, real in zip(node.outputs, made.outputs, strict=True):
            real.name, real.shape = f"{out.name}.real", out.shape
            self._reals[out], self._types[out] = real, type_

    def _real_of(self, value: ir.Value, type_: CodeType) -> ir.Value:
        codes = constant(value)
        if codes is None:
            return self._reals[self._moved_constant(None, value, type_)]
        real = (codes.astype(np.float32) - np.float32(type_.zero)) * np.float32(type_.scale)
        return self._constant(real, f"{value.name}.real", ir.DataType.FLOAT)

    def _moved_constant(self, reader: ir.Node | None, value: ir.Value, type_: CodeType) -> ir.Value:
        """A value that is moved from constant codes: it becomes moved from real numbers."""
        node = value.producer()
        source = None if node is None else node.inputs[0]
        if node is None or node.op_type not in MOVES or source is None or constant(source) is None:
            raise ModelError(f"{_where(reader or node)}: nothing is known of the codes that it reads")
        self._move(node, type_)
        return value

    def _cast(self, node: ir.Node, x: ir.Value, type_: CodeType | None) -> None:
        """Codes as numbers: real / scale + zero."""
        out, to = node.outputs[0], ir.DataType(node.attributes["to"].value)
        if type_ is None:
            raise ModelError(f"{_where(node)}: it computes with codes that have a scale for each channel")
        if not to.is_floating_point():
            self._reals[out], self._types[out] = self._reals[x], type_
            return
        value = self._reals[x]
        for op, number, neutral in (("Mul", 1 / type_.scale, 1.0), ("Add", float(type_.zero), 0.0)):
            if number != neutral:
                other = self._constant(np.array(number, np.float32), f"{out.name}.{op}", ir.DataType.FLOAT)
                value = self._emit(node, op, [value, other], {})
        self._swap(node, value)

    def _look_up(self, node: ir.Node, x: ir.Value, type_: CodeType | None) -> None:
        """A table of codes: a function in its real form, with the type of the codes that it writes."""
        table = constant(node.inputs[0])
        read = None if table is None else self._read_as(node.outputs[0])
        if table is None or table.ndim != 1 or type_ is None or read is None or KINDS[type_.kind][0]:
            raise ModelError(
                f"{_where(node)}: it looks codes up in a way that is not known, such as a table for each channel"
            )
        attributes: dict[str, object] = {
            "x_scale": type_.scale,
            "x_zero_point": type_.zero,
            "y_scale": read.scale,
            "y_zero_point": read.zero,
        }
        attributes["table"] = [int(code) for code in table]
        out = node.outputs[0]
        real = self._emit(node, LOOKUP, [self._reals[x]], attributes)
        self._types[out], self._reals[out] = read, self._given(node, real, read)

    def _read_as(self, value: ir.Value) -> CodeType | None:
        """The type by which codes are read that nothing wrote as such."""
        for use in value.uses():
            if use.node.op_type == "DequantizeLinear":
                scale = constant(use.node.inputs[1])
                zero, _ = self._zero(use.node)
                return None if scale is None else CodeType(one(scale), int(one(zero)), ir.DataType.UINT8)
            if use.node.op_type in MOVES and (found := self._read_as(use.node.outputs[0])) is not None:
                return found
            if use.node.op_type == "Cast" and (found := self._read_as(use.node.outputs[0])) is not None:
                return found
        return None

    def _given(self, node: ir.Node, x: ir.Value, type_: CodeType) -> ir.Value:
        (lo, hi), held = type_.bounds, type_.qtype
        if not (type_.scale > 0 and math.isfinite(hi - lo)):
            raise ModelError(f"{_where(node)}: expected a finite scale above 0, found {type_.scale}")
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


def _where(node: ir.Node | None) -> str:
    return "a value" if node is None else f"the node {node.name or node.outputs[0].name!r} ({node.op_type})"
