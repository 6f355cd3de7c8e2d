"""`FloatModel`: all that quantizing, searching and measuring ask of a float model. `float_model` makes one of what is given.

A module or an exported program of PyTorch is one (`TorchModel`), and so is a float graph (`GraphModel`), which runs itself:
whoever reads another format writes its graph with `bitwright.capture.builder`, and needs no `nn.Module`.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitwright.capture import Captured, captured, classifier, left_out, unwrap
from bitwright.capture.free_batch import with_free_batch
from bitwright.capture.logits import logits_in, one_logit
from bitwright.capture.outputs import Output, choose
from bitwright.errors import CaptureError, ModelError
from bitwright.graph import Graph, Shape
from bitwright.prepared.float_graph import FloatGraph

Images = npt.NDArray[np.float32]
Logits = npt.NDArray[np.float32]


@runtime_checkable
class FloatModel(Protocol):
    """A float classifier that tells its graph and can run. It may have `float_bytes`, too: the bytes of its parameters."""

    def capture(self, shape: Shape) -> Captured:
        """Its float graph for images of this shape, (C, H, W)."""
        ...

    def predict(self, images: Images) -> Logits:
        """The logits [N, outputs] of normalised images [N, C, H, W]."""
        ...


FloatModelLike = FloatModel | nn.Module | torch.export.ExportedProgram | Graph | Captured
"""What `float_model` takes, and with it everything that takes a float model."""


def float_model(model: Any, output: Output = None) -> FloatModel:
    """A float model of what is given, out of `torch.compile`, DataParallel, DistributedDataParallel and AveragedModel.

    Args:
        model: a module, an exported program, a float graph, or a `FloatModel`, which is returned as it is.
        output: names the logits among several outputs, or these and others to keep (`bitwright.capture.outputs`).

    Raises:
        ModelError: it is something else; the message says what it was taken for, and what to do.
    """
    if isinstance(model, Graph):
        model = Captured(model)
    if isinstance(model, Captured):
        return GraphModel(model, output)
    if isinstance(model, TorchModel | GraphModel):
        return model if output is None else replace(model, output=output)
    if not isinstance(model, nn.Module | type) and isinstance(model, FloatModel):
        if output is not None:
            raise ModelError(
                f"{type(model).__name__} chooses its outputs itself; expected output=None, found output={output!r}"
            )
        return model
    plain = unwrap(model)
    return TorchModel(with_free_batch(plain) if isinstance(plain, torch.export.ExportedProgram) else plain, output)


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A module, or an exported program, of PyTorch."""

    model: nn.Module | torch.export.ExportedProgram
    output: Output = None

    @cached_property
    def module(self) -> nn.Module:
        """The model as a module; it may return more than logits."""
        return self.model if isinstance(self.model, nn.Module) else ExportedModule(self.model)

    @property
    def float_bytes(self) -> int:
        """The bytes of its floating-point parameters and buffers."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum(int(t.numel() * t.element_size()) for t in tensors if t.is_floating_point())

    def capture(self, shape: Shape) -> Captured:
        """See `bitwright.capture.captured`, errors as well."""
        return captured(self.model, shape, self.output)

    def predict(self, images: Images) -> Logits:
        """Logits of the module in eval mode, in its parameters' type and on their device. ModelError where it returns none."""
        modes = [(module, module.training) for module in self.module.modules()]
        self.module.eval()
        try:
            with torch.no_grad(), _not_compiling():
                logits: Logits = self.logits(torch.from_numpy(images).to(self._first.device)).cpu().numpy()
        finally:
            for module, training in modes:
                module.training = training
        return logits

    def logits(self, x: Tensor) -> Tensor:
        """The logits of normalised images, float32, in the mode and on the device that the module is in.

        A single output that is a probability, or its logarithm, becomes its logit: the sign of a logit tells the class.
        The images stay as they are, whatever the module does to its input in place.
        """
        found = logits_in(self.module(x.to(self._first.dtype, copy=True)), len(x), self.output).float()
        if found.shape[1] > 1 or not bool((found <= 1).all()):
            return found
        return one_logit(found, self.left_out(tuple(x.shape[1:])))

    def left_out(self, shape: Shape) -> tuple[str, ...]:
        """What of the module's end is no part of its graph, found once for each shape of images."""
        if shape not in self._ends:
            self._ends[shape] = left_out(self.model, shape, self.output)
        return self._ends[shape]

    @cached_property
    def _ends(self) -> dict[Shape, tuple[str, ...]]:
        return {}

    @property
    def _first(self) -> Tensor:
        return next((p for p in self.module.parameters() if p.is_floating_point()), torch.empty(0))


@dataclass(frozen=True, eq=False)
class GraphModel:
    """A float graph, of whatever format it was read from."""

    found: Captured
    output: Output = None

    @cached_property
    def graph(self) -> Graph:
        """The graph with the outputs that are wanted. CaptureError where it has no such output, or is no classifier."""
        graph = self.found.graph
        if self.output is None:
            return classifier(graph)
        (name, logits), *others = choose(graph.named_outputs, self.output).items()
        return classifier(replace(graph, output=logits, output_name=name, others=dict(others)).pruned())

    @property
    def float_bytes(self) -> int:
        """The bytes of its tensors."""
        return sum(tensor.nbytes for node in self.graph.nodes for tensor in node.tensors.values())

    def capture(self, shape: Shape) -> Captured:
        """The graph itself. CaptureError where it is one for images of another shape."""
        found = self.graph.values[self.graph.input].shape
        if found != shape:
            raise CaptureError(f"the graph takes images of {found}, expected {shape}")
        return replace(self.found, graph=self.graph)

    def predict(self, images: Images) -> Logits:
        """What the graph computes. ModelError for images of another shape than it takes."""
        shape = self.graph.values[self.graph.input].shape
        if images.shape[1:] != shape:
            raise ModelError(f"expected images of [N, {', '.join(map(str, shape))}], found {list(images.shape)}")
        logits: Logits = self._runnable(torch.from_numpy(images)).numpy()
        return logits

    @cached_property
    def _runnable(self) -> FloatGraph:
        return FloatGraph(self.graph)


def without_end(model: FloatModel, shape: Shape) -> FloatModel:
    """The graph of a model for images [C, H, W] whose softmax at the end is no part of that; else the model itself."""
    try:
        if isinstance(model, TorchModel) and model.left_out(shape):
            return GraphModel(model.capture(shape))
    except CaptureError:
        pass  # no integer model can be made of it, so nothing is compared
    return model


def _not_compiling() -> AbstractContextManager[Any]:
    """Parts that are compiled run as they were written: compiling takes minutes, and rounds elsewhere."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()  # nothing is compiled, and the import takes seconds
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


class ExportedModule(nn.Module):
    """An exported program as a module. What mode it is in was settled when it was exported."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)

    def train(self, mode: bool = True) -> "ExportedModule":
        """Do nothing: torch refuses to change the mode of an exported program."""
        return self

    def forward(self, x: Tensor) -> Any:
        return self.program(x)
