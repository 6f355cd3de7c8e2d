"""`OnnxNetwork`: an ONNX graph as a module of PyTorch, which runs, trains and is captured like any other."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from bitwright.capture.onnx.call import Call, Operand, Unread
from bitwright.capture.onnx.first import First
from bitwright.capture.onnx.names import path_of
from bitwright.capture.onnx.sizes import SIZES, plain
from bitwright.capture.onnx.table import OPS
from bitwright.capture.translated import Translated
from bitwright.errors import CaptureError, ModelError

WEIGHTS = {
    "Conv": (1, 2),
    "_Conv": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (1,),
    "_Linear": (1, 2),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "_LayerNorm": (1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "PRelu": (1,),
}
"""Which operands of an op are parameters, whatever the file calls them."""
NUMBERS = {"Resize": (1, 2), "Upsample": (1,)}
"""Operands of several floats that stay numbers."""
TENSORS = {"BatchNormalization": (3, 4)}
MOST = 2**27
"""How many numbers of one image a value has at most."""


class Part(nn.Module):
    """A place in the model. What runs in it has its name in the graph."""

    def forward(self, run: Callable[[], Any]) -> Any:
        return run()


class OnnxNetwork(Part, Translated):
    """float32 [N, C, H, W] to the outputs of the graph: a tensor, or several by their names.

    Raises ModelError where a node has no meaning here; when it runs, CaptureError names the node that cannot.
    """

    def __init__(self, model: ir.Model, first: First, batch: int | None, name: str) -> None:
        super().__init__()
        self._opset = model.opset_imports.get("", 0) or model.opset_imports.get("ai.onnx", 0)
        self._first, self._batch = first, batch
        self._outputs = list(model.graph.outputs)
        self._constants: dict[ir.Value, np.ndarray | str] = {}
        self._axes: dict[str, list[int]] = {}
        self._steps = [(node, self._place(path_of(node))) for node in _live(model.graph, first.value)]
        for node, _ in self._steps:
            if node.op_type not in OPS and node.op_type not in SIZES:
                raise ModelError(_unknown(node, name))
            origin = OPS.origin(node.op_type) if node.op_type in OPS else None
            if origin is not None and origin not in self.foreign:
                self.foreign.append(origin)
            for index, value in enumerate(node.inputs):
                if value is not None and value.const_value is not None and value not in self._constants:
                    self._keep(value, node, index)
        self.eval()

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        values: dict[ir.Value, Operand] = {
            value: found if isinstance(found, np.ndarray) else self._tensor(found)
            for value, found in self._constants.items()
        }
        values[self._first.value] = x if self._first.is_planes else x.permute(0, 2, 3, 1)
        for node, path in self._steps:
            operands = tuple(None if value is None else values[value] for value in node.inputs)
            call = Call(node, operands, self._opset, self._batch, self._axes)
            found = self.get_submodule(path)(lambda call=call: _run(call))
            values.update(zip(node.outputs, _several(found), strict=False))
        if len(self._outputs) == 1:
            return values[self._outputs[0]]
        return {str(value.name): values[value] for value in self._outputs}

    def _tensor(self, path: str) -> Tensor:
        folder, _, leaf = path.rpartition(".")
        found: Tensor = getattr(self.get_submodule(folder), leaf)
        return found

    def _keep(self, value: ir.Value, node: ir.Node, index: int) -> None:
        """Parameters and buffers, by their names; what shapes are computed from, and single numbers, stay arrays."""
        assert value.const_value is not None
        array = value.const_value.numpy()
        is_weight = index in WEIGHTS.get(node.op_type, ())
        is_float = value.const_value.dtype.is_floating_point()
        if (
            not is_float
            or index in NUMBERS.get(node.op_type, ())
            or (array.size <= 1 and not is_weight and index not in TENSORS.get(node.op_type, ()))
        ):
            self._constants[value] = array.astype(np.float32) if is_float else array
            return
        tensor = torch.from_numpy(np.array(array, np.float32))
        path = self._place(str(value.name), leaf=True)
        folder, _, leaf = path.rpartition(".")
        module = self.get_submodule(folder)
        if is_weight or "." in str(value.name):
            module.register_parameter(leaf, nn.Parameter(tensor))
        else:
            module.register_buffer(leaf, tensor)
        self._constants[value] = path

    def _place(self, path: str, leaf: bool = False) -> str:
        """A path at which there is a module, or where a tensor can be put: as near to `path` as names allow."""
        module: nn.Module = self
        parts = [part for part in path.split(".") if part] or ["part"]
        found = []
        for i, part in enumerate(parts):
            ends = leaf and i == len(parts) - 1
            while hasattr(module, part) and (ends or not isinstance(getattr(module, part), Part)):
                part += "_"
            found.append(part)
            if not ends:
                if part not in module._modules:
                    module.add_module(part, Part())
                module = module.get_submodule(part)
        return ".".join(found)


def _live(graph: ir.Graph, first: ir.Value) -> list[ir.Node]:
    """The nodes that the outputs depend on, from where the network begins."""
    needed, found = {id(value) for value in graph.outputs}, []
    for node in reversed(list(graph)):
        if any(id(value) in needed for value in node.outputs) and first not in node.outputs:
            needed.update(id(value) for value in node.inputs)
            found.append(node)
    return found[::-1]


def _run(call: Call) -> Any:
    node = call.node
    arrays = [operand for operand in call.operands if operand is not None]
    try:
        if node.op_type in SIZES and all(isinstance(operand, np.ndarray) for operand in arrays):
            return plain(SIZES[node.op_type](call, *arrays))
        if node.op_type not in OPS:
            raise Unread("known of numbers that belong to shapes alone, not of what is computed from the image")
        found = OPS[node.op_type](call)
        if node.op_type not in OPS.ours and not all(isinstance(x, Tensor) for x in _several(found)):
            raise Unread(
                f"{OPS.origin(node.op_type)} returned {found!r:.100}, expected a tensor, or a tuple of tensors"
            )
        for tensor in _several(found):
            size = (
                math.prod(int(n) for n in tensor.shape[1:] if isinstance(n, int)) if isinstance(tensor, Tensor) else 0
            )
            if size > MOST:
                raise Unread(f"a value of {list(tensor.shape)}, more than {MOST} numbers for each image")
        return found
    except (
        Unread,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        ArithmeticError,
        AttributeError,
        AssertionError,
    ) as error:
        raise CaptureError(f"the node {where(node)}: {error}") from error
    except RuntimeError as error:  # PyTorch's, for shapes that do not fit
        raise CaptureError(f"the node {where(node)}: {str(error).splitlines()[0]}") from error


def _several(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def where(node: ir.Node) -> str:
    """A node in words: its name, or that of its result, and its op."""
    return f"{node.name or node.outputs[0].name!r} ({node.op_type})"


def _unknown(node: ir.Node, name: str) -> str:
    advice = {
        "If": "export it without control flow, for inference alone",
        "Loop": "export it without control flow, for inference alone",
        "ConvInteger": "of codes it is not read; give the float model, or QuantizeLinear and DequantizeLinear",
        "MatMulInteger": "of codes it is not read; give the float model, or QuantizeLinear and DequantizeLinear",
    }
    return (
        f"{name}: the node {where(node)}: no meaning is known for this op; "
        f"{advice.get(node.op_type, 'expected one of ' + ', '.join(sorted(op for op in OPS if op[0] != '_')))}"
    )
