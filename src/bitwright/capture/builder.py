"""The graph under construction, as the mappings in aten.py see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitwright.capture.outputs import Output, chosen_outputs
from bitwright.errors import CaptureError
from bitwright.graph import INPUT, Graph, Node, Shape, Value, live
from bitwright.ops import FLOAT_OPS
from bitwright.registry import Foreign


class Unmapped(Exception):
    """An op is used in a way that has no mapping; the message says which."""


class Builder:
    """Collects nodes; `env` holds for every fx node the name of a value, a constant array, or a tuple of names."""

    def __init__(self, program: torch.export.ExportedProgram, shape: Shape, output: Output = None) -> None:
        self.env: dict[torch.fx.Node, Any] = {}
        self.nodes: list[Node] = []
        self.foreign: list[Foreign] = []
        self.values: dict[str, Value] = {INPUT: Value(shape)}
        signature = program.graph_signature
        state = {**dict(program.named_parameters()), **dict(program.named_buffers()), **program.constants}
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names |= signature.inputs_to_lifted_tensor_constants
        placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
        inputs = [node for node in placeholders if node.name in signature.user_inputs]
        if len(inputs) != 1:
            raise CaptureError(
                f"expected one input, found {len(inputs)}; wrap the model in a module that takes one image tensor"
            )
        self.names: dict[int, str] = {}
        for node in placeholders:
            if node.name in names:
                self.env[node] = _array(names[node.name], state[names[node.name]])
                self.names[id(self.env[node])] = names[node.name]
        self._parameters = {node for node in placeholders if node.name in signature.inputs_to_parameters}
        self.env[inputs[0]] = INPUT
        image = inputs[0].meta["val"]
        if not image.is_floating_point():
            raise CaptureError(f"expected a program of floating-point images, found {image.dtype}")
        try:
            found = self.shape(inputs[0])
        except Unmapped as error:
            raise CaptureError(f"the program takes {error}; export it with a dynamic batch dimension") from error
        if found != shape:
            raise CaptureError(f"the program takes images of {found}, expected {shape}")
        self.outputs = chosen_outputs(program, output)
        self.output = next(iter(self.outputs.values()))

    def shape(self, node: torch.fx.Node) -> Shape:
        """The shape per image of what an fx node computes; Unmapped where its first axis is not the batch."""
        shape = node.meta["val"].shape
        if not shape or isinstance(shape[0], int):
            raise Unmapped(f"a tensor of {tuple(shape)}, whose first axis is not the free batch axis")
        return tuple(int(size) for size in shape[1:])

    def value(self, arg: Any) -> str:
        """The name of the value that an argument stands for."""
        found = self.env.get(arg) if isinstance(arg, torch.fx.Node) else None
        if not isinstance(found, str):
            raise Unmapped("an argument that is not computed from the image")
        return found

    def is_value(self, arg: Any) -> bool:
        return isinstance(arg, torch.fx.Node) and isinstance(self.env.get(arg), str)

    def constant(self, arg: Any) -> npt.NDArray[Any]:
        """The array that an argument stands for: a parameter, a buffer or a number."""
        if isinstance(arg, int | float):
            return np.asarray(arg, np.float32)
        found = self.env.get(arg)
        if not isinstance(found, np.ndarray):
            raise Unmapped("an argument that is neither a parameter nor a constant")
        return found

    def is_parameter(self, arg: Any) -> bool:
        """True for a parameter of the model, and for one that was only reshaped or repeated."""
        return arg in self._parameters

    def derived(self, fx: torch.fx.Node, source: Any, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What an fx node makes of a constant: a parameter still, of the same name, where that was one."""
        if source in self._parameters:
            self._parameters.add(fx)
            array = array.view()
            self.names[id(array)] = self.names.get(id(self.env[source]), str(source))
        return array

    def emit(
        self,
        fx: torch.fx.Node,
        op: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Any] | None = None,
        tensors: Mapping[str, npt.NDArray[Any]] | None = None,
        label: str = "",
    ) -> str:
        """Add a node for an fx node; its name comes from the module path, and `label` (or the op) where that is not enough."""
        path = self._path(fx)
        inputs = [self.with_channel(fx, i, FLOAT_OPS[op].channel_of(self.values[i].shape)) for i in inputs]
        name = self._free(path if self._is_leaf(fx) else f"{path}.{label or op}".lstrip("."))
        for key, tensor in (tensors or {}).items():
            _expect_finite(tensor, self.names.get(id(tensor), f"{name} ({key})"))
        return self._add(Node(name, op, tuple(inputs), dict(attrs or {}), dict(tensors or {}), origin=path))

    def _add(self, node: Node) -> str:
        self.values[node.name] = FLOAT_OPS[node.op].infer(node, [self.values[i] for i in node.inputs])
        self.nodes.append(node)
        return node.name

    def constant_value(self, fx: torch.fx.Node, source: Any, shape: Shape, channel: int) -> str:
        """A parameter, a buffer or a number as a value of this shape, for ops that read it as they read any value."""
        array = self.constant(source)
        full = np.ascontiguousarray(np.broadcast_to(array, (1, *shape))[0], np.float32)
        path = self._path(fx)
        name = self._free(self.names.get(id(array), f"{path}.constant".lstrip(".")))
        _expect_finite(full, name)
        attrs = {} if self.is_parameter(source) else {"constant": True}
        made = self._add(Node(name, "constant", (), attrs, {"value": full}, origin=path))
        self.values[made] = self.values[made].at(channel)
        return made

    def with_channel(self, fx: torch.fx.Node, name: str, channel: int | None) -> str:
        """A value with this axis as its channel: `name` itself where it has it already, or any will do; else it is moved."""
        value = self.values[name]
        if channel is None or channel == value.channel:
            return name
        attrs = {"dims": tuple(range(len(value.shape)))}
        moved = self._add(Node(self._free(f"{name}.moved"), "permute", (name,), attrs, {}, self._path(fx)))
        self.values[moved] = value.at(channel)
        return moved

    def finish(self) -> Graph:
        """The finished graph; CaptureError if the output is not logits."""
        found: dict[str, str] = {}
        for name, node in self.outputs.items():
            value = self.env.get(node)
            if not isinstance(value, str) or value == INPUT:
                raise CaptureError(f"the output {name!r} of the model is not computed from its input")
            found[name] = value
        output, *_ = found.values()
        if len(self.values[output].shape) != 1:
            raise CaptureError(f"expected logits of [N, classes], found an output of [N, *{self.values[output].shape}]")
        nodes = live(self.nodes, found.values())
        names = {INPUT} | {node.name for node in nodes}
        values = {name: value for name, value in self.values.items() if name in names}
        return Graph(nodes, values, output, dict(list(found.items())[1:]))

    def _path(self, fx: torch.fx.Node) -> str:
        entries = list(fx.meta.get("nn_module_stack", {}).values())
        return str(entries[-1][0]) if entries else ""

    def _is_leaf(self, fx: torch.fx.Node) -> bool:
        entries = list(fx.meta.get("nn_module_stack", {}).values())
        kind = str(entries[-1][1]) if entries else ""
        return bool(self._path(fx)) and kind.startswith("torch.nn.modules.") and "container" not in kind

    def _free(self, name: str) -> str:
        taken, candidate, count = self.values, name, 0
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        return candidate


def _array(name: str, tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A parameter or buffer as an array; floating-point numbers as float32."""
    if tensor.is_meta:
        raise CaptureError(f"{name} is on the device 'meta' and has no numbers; load the weights first")
    try:
        return (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # quantized, sparse, or of a subclass
        raise CaptureError(
            f"{name}: expected a plain tensor, found {tensor.dtype}, {tensor.layout}: {error}"
        ) from error


def _expect_finite(tensor: npt.NDArray[Any], name: str) -> None:
    wrong = tensor.size - int(np.isfinite(tensor).sum())
    if wrong:
        raise CaptureError(
            f"{name} holds numbers that are not finite (NaN or infinite): {wrong} of {tensor.size}; "
            "did the training diverge, or is the checkpoint damaged?"
        )
