"""An exported program as a frontend reads it: what each of its fx nodes stands for, and the builder of the graph."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitwright.capture.builder import Builder
from bitwright.capture.draft import Constant, Operand, Site, Unmapped, as_value
from bitwright.capture.outputs import Output, chosen_outputs
from bitwright.errors import CaptureError
from bitwright.graph import Graph, Shape
from bitwright.registry import Foreign

Fx = torch.fx.Node


@dataclass(frozen=True)
class Displaced:
    """A tensor whose axis `batch` is outer * N * inner long; `value` has all of its axes, that one outer * inner long."""

    value: str
    batch: int
    outer: int = 1
    inner: int = 1


class Program:
    """`env` holds for every fx node that was mapped the name of a value, a `Constant`, `Displaced`, or a tuple of these; or why
    it can't be mapped, which is an error where something reads it.

    `displaced` is how the batch lies in what is mapped just now, where it is not the first axis; `foreign` has the mappings
    that are not ours, `batch` is the size of a batch, a symbol.
    """

    def __init__(self, exported: torch.export.ExportedProgram, shape: Shape, output: Output = None) -> None:
        self.builder = Builder(shape)
        self.env: dict[Fx, Any] = {}
        self.foreign: list[Foreign] = []
        self.displaced: Displaced | None = None
        signature = exported.graph_signature
        state = {**dict(exported.named_parameters()), **dict(exported.named_buffers()), **exported.constants}
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names |= signature.inputs_to_lifted_tensor_constants
        placeholders = [node for node in exported.graph.nodes if node.op == "placeholder"]
        inputs = [node for node in placeholders if node.name in signature.user_inputs]
        if len(inputs) != 1:
            raise CaptureError(
                f"expected one input, found {len(inputs)}; wrap the model in a module that takes one image tensor"
            )
        for node in placeholders:
            if node.name in names:
                name = names[node.name]
                self.env[node] = Constant(_array(name, state[name]), name, node.name in signature.inputs_to_parameters)
        self._expect_images(inputs[0], shape)
        (self.env[inputs[0]],) = self.builder.inputs
        self.batch = inputs[0].meta["val"].shape[0].node.expr
        self.outputs = chosen_outputs(exported, output)

    def _expect_images(self, node: Fx, shape: Shape) -> None:
        image = node.meta["val"]
        if not image.is_floating_point():
            raise CaptureError(f"expected a program of floating-point images, found {image.dtype}")
        try:
            found = self.shape(node)
        except Unmapped as error:
            raise CaptureError(f"the program takes {error}; export it with a dynamic batch dimension") from error
        if found != shape:
            raise CaptureError(f"the program takes images of {found}, expected {shape}")

    def shape(self, node: Fx) -> Shape:
        """The shape per image of what an fx node computes; Unmapped where its first axis is not the batch."""
        shape = node.meta["val"].shape
        if self.displaced is not None:
            share = self.displaced.outer * self.displaced.inner
            return tuple(int(size) if isinstance(size, int) else share for size in shape)
        if not shape or isinstance(shape[0], int):
            raise Unmapped(f"a tensor of {tuple(shape)}, whose first axis is not the free batch axis")
        return tuple(int(size) for size in shape[1:])

    def operand(self, arg: Any) -> Operand:
        """What an argument stands for: a value, a constant or a number."""
        if isinstance(arg, int | float):
            return arg
        found = self.env.get(arg) if isinstance(arg, Fx) else None
        if isinstance(found, CaptureError):
            raise found
        if isinstance(found, Displaced):
            raise Unmapped("a tensor whose batch axis is not the first one, or only a part of it")
        if not isinstance(found, str | Constant):
            raise Unmapped("an argument that is neither computed from the image, nor a parameter or a constant")
        return found

    def optional(self, arg: Any) -> Operand | None:
        """What an optional argument stands for; None where it is left out."""
        return None if arg is None else self.operand(arg)

    def value(self, arg: Any) -> str:
        """The name of the value that an argument stands for."""
        return as_value(self.operand(arg))

    def value_shape(self, arg: Any) -> Shape:
        """The shape per image of the value that an argument stands for."""
        return self.builder.values[self.value(arg)].shape

    def axis(self, node: Fx, dim: int) -> int:
        """The axis per image that `dim` of what an fx node computes stands for; Unmapped where it is the batch."""
        found = node.meta["val"]
        shape = (found[0] if isinstance(found, list | tuple) else found).shape
        axis = int(dim % len(shape))
        if self.displaced is not None and isinstance(shape[axis], int):
            return axis
        if axis == 0 or self.displaced is not None:
            raise Unmapped("an operation along the batch axis")
        return axis - 1

    def begin(self, node: Fx) -> None:
        """Note that the nodes built from now on belong to this fx node."""
        entries = list(node.meta.get("nn_module_stack", {}).values())
        path, kind = (str(entries[-1][0]), str(entries[-1][1])) if entries else ("", "")
        leaf = (
            bool(path) and kind.startswith(("torch.nn.modules.", "bitwright.capture.onnx.")) and "container" not in kind
        )
        self.builder.site = Site(path, leaf)

    def finish(self) -> Graph:
        """The graph of the outputs; CaptureError where one is not computed from the image."""
        found = {name: self.env.get(node) for name, node in self.outputs.items()}
        for output in found.values():
            if isinstance(output, CaptureError):
                raise output
        return self.builder.finish(found)


def in_full(constant: Constant, shape: Shape) -> Constant:
    """A constant repeated to [1, *shape]."""
    return replace(constant, array=np.broadcast_to(constant.array, (1, *shape)))


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
