"""`Draft`: an ONNX graph under construction, and every value of the artifact in the forms that ops want it in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bitwright.graph import Graph, Node, Value
from bitwright.ops.op import codes_of
from bitwright.qtensor import QType

Array = npt.NDArray[Any]
UINT8, FLOAT, INT32, INT64, BOOL = (
    TensorProto.UINT8,
    TensorProto.FLOAT,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
)

INT4 = dict.fromkeys(("int4", "int3", "int2", "ternary"), TensorProto.INT4)
INT2 = {**INT4, **dict.fromkeys(("int2", "ternary"), TensorProto.INT2)}


class Draft:
    """Collects nodes and initializers.

    A value of codes is a uint8 tensor with the name of its node, `codes[name]`, or real numbers that were dequantized from it.
    `images` is the tensor whose first axis is the batch; `narrow` the type of weights of few bits, by their scheme.
    """

    def __init__(self, graph: Graph, images: str, narrow: Mapping[str, int] = INT4) -> None:
        self.graph, self.images, self.narrow = graph, images, narrow
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.codes: dict[str, str] = {}
        self._reals: dict[str, str] = {}
        self._constants: dict[tuple[Any, ...], str] = {}
        self._names: set[str] = set()

    def begin(self, given: str, pixels: str) -> None:
        """Begin with the image, uint8 planes [N, C, H, W]."""
        self._names |= {given}
        self.codes[self.graph.input] = pixels

    def emit(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node, and return the name of what it computes: `name`, or one like it that is free."""
        output = self._free(name)
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"{output}/{op}", **given))
        return output

    def constant(self, array: Array, name: str, data_type: int | None = None) -> str:
        """An initializer; equal small ones are shared."""
        key = (array.tobytes(), str(array.dtype), array.shape, data_type)
        if array.size <= 256 and key in self._constants:
            return self._constants[key]
        made = self._free(name)
        if data_type is None:
            self.initializers.append(numpy_helper.from_array(np.array(array, order="C"), made))
        else:
            self.initializers.append(helper.make_tensor(made, data_type, array.shape, array.reshape(-1).tolist()))
        self._constants[key] = made
        return made

    def number(self, value: float) -> str:
        """A float32 constant."""
        return self.constant(np.array(value, np.float32), f"number_{value:g}")

    def column(self, numbers: Array, value: Value, name: str) -> str:
        """One float32 number a channel, or one for all, in the shape that broadcasts over a batch of a value."""
        numbers = np.asarray(numbers, np.float32).reshape(-1)
        if (numbers == numbers[0]).all():
            return self.number(float(numbers[0]))
        return self.constant(numbers.reshape(-1, *(1,) * (len(value.shape) - value.channel - 1)), name)

    def real(self, name: str) -> str:
        """The real numbers of a value."""
        if name not in self._reals:
            type_ = self.graph.values[name].type
            assert type_ is not None
            self._reals[name] = self._dequantized(name, type_)
        return self._reals[name]

    def _dequantized(self, name: str, type_: QType) -> str:
        codes = self.codes[name]
        if isinstance(type_.zero_point, tuple) and len(set(type_.zero_point)) > 1:
            zeros = self.constant(
                np.array(type_.zero_point, np.float32).reshape(-1, *self._behind(name)), "zero_points"
            )
            return self.emit("Sub", [self.emit("Cast", [codes], f"{name}.cast", to=FLOAT), zeros], f"{name}.real")
        if type_.step == 1:
            zero = self.constant(np.array(np.atleast_1d(type_.zero_point)[0], np.uint8), "zero_point")
            scale = self.constant(np.array(self.scale_of(name), np.float32), "scale")
            return self.emit("DequantizeLinear", [codes, scale, zero], f"{name}.real")
        plain = self.emit("Cast", [codes], f"{name}.cast", to=FLOAT)
        twice = self.emit("Mul", [plain, self.number(type_.one_unit)], f"{name}.unit")
        return self.emit("Sub", [twice, self.number(type_.one_scale * type_.one_zero_point)], f"{name}.real")

    def _behind(self, name: str) -> tuple[int, ...]:
        """Ones for the axes behind a value's channel."""
        value = self.graph.values[name]
        return (1,) * (len(value.shape) - value.channel - 1)

    def scale_of(self, name: str) -> float:
        """What one code stands for among the real numbers of a value.

        The image's are pixels around their zero points, 1 or 1/255 each: what reads them has its scales in its weights. With
        several zero points they are subtracted, so that what a convolution pads with is real zero.
        """
        type_ = codes_of(self.graph.values[name])
        if isinstance(type_.zero_point, tuple):
            return 1.0 if len(set(type_.zero_point)) > 1 else 1 / 255
        return type_.one_scale

    def times(self, real: str, factor: float, name: str) -> str:
        """A real number times a factor, which is 1 up to rounding in all that was made of float models."""
        return real if abs(factor - 1) < 1e-6 else self.emit("Mul", [real, self.number(factor)], f"{name}.times")

    def store(self, real: str, node: Node) -> None:
        """Make the codes of a node of its real result, within its bounds; or keep it where it is float32."""
        type_ = self.graph.values[node.name].type
        if type_ is None:
            self._reals[node.name] = real
            return
        if type_.step != 1:
            above = self.emit("Greater", [real, self.number(0.0)], f"{node.name}.positive")
            self.codes[node.name] = self.emit("Cast", [above], node.name, to=UINT8)
            return
        lo, hi = node.attrs.get("lo", 0), node.attrs.get("hi", type_.codes.hi)
        if (lo, hi) != (0, 255):
            bounds = [self.number(type_.one_scale * (code - type_.one_zero_point)) for code in (lo, hi)]
            real = self.emit("Clip", [real, *bounds], f"{node.name}.within")
        scale = self.constant(np.array(type_.one_scale, np.float32), "scale")
        zero = self.constant(np.array(type_.one_zero_point, np.uint8), "zero_point")
        self.codes[node.name] = self.emit("QuantizeLinear", [real, scale, zero], node.name)

    def keep(self, name: str, real: str) -> None:
        """Note the real numbers of a value, which has no other form."""
        self._reals[name] = real

    def move(self, node: Node, op: str, more: Sequence[str] = (), **attributes: Any) -> None:
        """An op that only moves numbers: codes, or reals where the value is float32."""
        name = node.inputs[0]
        if self.graph.values[name].type is None:
            self._reals[node.name] = self.emit(op, [self.real(name), *more], node.name, **attributes)
        else:
            self.codes[node.name] = self.emit(op, [self.codes[name], *more], node.name, **attributes)

    def ints(self, numbers: Sequence[int], name: str) -> str:
        return self.constant(np.array(numbers, np.int64), name)

    def _free(self, name: str) -> str:
        found, count = name, 0
        while found in self._names:
            count += 1
            found = f"{name}_{count}"
        self._names.add(found)
        return found


def infos(names: Sequence[str], values: Sequence[Value], kind: int = FLOAT) -> list[onnx.ValueInfoProto]:
    """Outputs of a graph: [batch, ...] each."""
    return [
        helper.make_tensor_value_info(name, kind, ["batch", *value.shape])
        for name, value in zip(names, values, strict=True)
    ]
