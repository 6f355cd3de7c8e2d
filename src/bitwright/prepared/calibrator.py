"""`Calibrator`: runs the float model of a prepared one on images, and chooses the scales from what it saw."""

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bitwright.algorithms.ranges import Function, Range, identity
from bitwright.ops import float_op
from bitwright.ops.unary import Unary
from bitwright.prepared.histogram import Histogram
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import ActivationQuantizer

if TYPE_CHECKING:
    from bitwright.prepared.model import PreparedModel


class Calibrator:
    """Chooses ranges for one prepared model. The histograms belong to the model's quantizers."""

    def __init__(self, model: "PreparedModel") -> None:
        self._model = model

    def observe(
        self,
        images: Tensor,
        *,
        quantizers: Collection[str] | None = None,
        see: Callable[[str, Tensor], None] = lambda name, value: None,
    ) -> Tensor:
        """Run the float model on uint8 images [N, H, W, C] and add to every quantizer's histogram; returns the float logits.

        With `quantizers`, only to those of these names. `see` is called with every value and its name.
        """

        model = self._model

        def seen(name: str, value: Tensor) -> None:
            see(name, value)
            quantizer = model.quantizer(name)
            wanted = quantizer is not None and (quantizers is None or quantizer.name in quantizers)
            if quantizer is not None and wanted and not float_op(model.graph[name]).passes_type:
                quantizer.observe(value)

        with torch.no_grad():
            return model.float_walk(model.real_input(images).contiguous(memory_format=torch.channels_last), seen)

    def forget(self) -> None:
        """Empty every histogram and undo every correction: what calibration starts from."""
        for quantizer in self._model.quantizers.values():
            assert isinstance(quantizer, ActivationQuantizer)
            quantizer.histogram = Histogram()
        for layer in self._model.layers.values():
            assert isinstance(layer, Layer)
            layer.forget()

    def choose_ranges(
        self, algorithm: Range, *, quantizers: Collection[str] | None = None, layers: Collection[str] | None = None
    ) -> None:
        """Set every scale from the histograms and the weights; or only those of these quantizers and these layers."""
        for quantizer in self._model.quantizers.values():
            assert isinstance(quantizer, ActivationQuantizer)
            if quantizers is None or quantizer.name in quantizers:
                quantizer.choose_range(algorithm, self.read_through(quantizer.name))
        for layer in self._model.layers.values():
            assert isinstance(layer, Layer)
            if layer.quantizer is not None and (layers is None or layer.node.name in layers):
                layer.quantizer.choose_range(algorithm, layer.tensors()["weight"])

    def read_through(self, name: str) -> Function:
        """The function through which alone a value is read, where it is one of one number; else the identity."""
        readers = self._model.graph.consumers()[name]
        shared = sum(owner == name for owner in self._model.owner.values()) > 1
        op = float_op(readers[0]) if len(readers) == 1 and not shared else None
        if not isinstance(op, Unary) or op.per_channel:
            return identity
        return partial(op.function, node=readers[0])
