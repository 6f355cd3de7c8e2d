"""`OnCodes`: nodes that compute with codes, and what they mean for the real numbers that these stand for."""

import numpy as np
import onnx_ir as ir

from bitwright.capture.onnx.code_graph import LOOKUP, CodeGraph, where
from bitwright.capture.onnx.code_types import KINDS, MOVES, CodeType, one
from bitwright.capture.onnx.matching import constant
from bitwright.errors import ModelError


class OnCodes(CodeGraph):
    """Moves, tables, and codes that are taken for numbers."""

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
            raise ModelError(f"{where(node)}: it computes with codes in a way that is not known")

    def _move(self, node: ir.Node, type_: CodeType | None) -> None:
        """The same move of what the codes stand for."""
        inputs = list(node.inputs)
        for i, value in enumerate(inputs):
            if value is None or not (i == 0 or node.op_type == "Concat" or (node.op_type == "Pad" and i == 2)):
                continue
            if value in self._reals:
                if self._types[value] != type_:
                    raise ModelError(f"{where(node)}: it puts codes of different scales side by side")
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
            raise ModelError(f"{where(reader or node)}: nothing is known of the codes that it reads")
        self._move(node, type_)
        return value

    def _cast(self, node: ir.Node, x: ir.Value, type_: CodeType | None) -> None:
        """Codes as numbers: real / scale + zero."""
        out, to = node.outputs[0], ir.DataType(node.attributes["to"].value)
        if type_ is None:
            raise ModelError(f"{where(node)}: it computes with codes that have a scale for each channel")
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
                f"{where(node)}: it looks codes up in a way that is not known, such as a table for each channel"
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
