"""`dequantized`: a graph with QuantizeLinear and DequantizeLinear as the graph of the real numbers that its codes stand for.

A QuantizeLinear becomes `GIVEN`, a rounding in its real form that keeps the type; ops that move codes move what these stand
for; a table of codes becomes `LOOKUP`; the DequantizeLinear of a weight becomes its real numbers, and its scales are noted.
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bitwright.capture.given import FileTypes, key_of
from bitwright.capture.onnx.code_graph import where
from bitwright.capture.onnx.code_types import (
    KINDS,
    SCHEMES,
    Array,
    CodeType,
    along,
    axis_of,
    ends_in_softmax,
    one,
)
from bitwright.capture.onnx.matching import constant
from bitwright.capture.onnx.on_codes import OnCodes
from bitwright.errors import ModelError
from bitwright.given import GivenWeight

READERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Reshape", "Transpose")
"""What reads weights, and not other constants."""


def dequantized(model: ir.Model, first: ir.Value) -> FileTypes | None:
    """Make the graph one of real numbers, from the value `first` on; what the file says of codes, None where it has none.

    Raises:
        ModelError: it computes with codes in a way that is not known; names the node.
    """
    return _Reader(model, first).run()


class _Reader(OnCodes):
    def __init__(self, model: ir.Model, first: ir.Value) -> None:
        super().__init__(model.graph)
        self._first = first
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
            raise ModelError(f"{where(node)}: its scale is computed; only constant ones are known")
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
            raise ModelError(f"{where(node)}: its scale is computed; only constant ones are known")
        codes = constant(x)
        if codes is not None:
            self._swap(node, self._weight(node, x, codes, scale, zero))
            return
        if x not in self._reals:
            x = self._moved_constant(node, x, CodeType(one(scale), int(one(zero)), kind))
        elif self._types[x] is not None and self._types[x] != CodeType(one(scale), int(one(zero)), kind):
            raise ModelError(
                f"{where(node)}: it reads codes by another scale than they were written with: {self._types[x]}, "
                f"found {one(scale)} and {int(one(zero))}"
            )
        self._swap(node, self._reals[x])

    def _weight(self, node: ir.Node, x: ir.Value, codes: Array, scale: Array, zero: Array) -> ir.Value:
        """Real numbers for constant codes; where it is a weight, what is known of it."""
        name = str(x.name).removesuffix("_quantized").removesuffix(".codes")
        axis = axis_of(node, codes.ndim)
        block = node.attributes.get("block_size")
        if scale.ndim > 1 or (block is not None and block.value):
            raise ModelError(f"{where(node)}: weights with scales for blocks are not read")
        stored = None if x.const_value is None else x.const_value.dtype
        if stored not in KINDS or not np.isfinite(scale).all():
            raise ModelError(f"{where(node)}: expected integers and finite scales, found {codes.dtype} times {scale}")
        whole = codes.astype(np.int64) - along(zero, codes.ndim, axis)
        with np.errstate(over="ignore"):
            real = whole.astype(np.float32) * along(scale, codes.ndim, axis).astype(np.float32)
        if not np.isfinite(real).all():
            raise ModelError(f"{where(node)}: the numbers that its codes stand for are not finite")
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
