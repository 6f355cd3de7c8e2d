"""`Calibrator`: runs the float model of a prepared one on images, and chooses the scales from what it saw."""

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bitwright.algorithms.ranges import Function, Range, identity, range_algorithm
from bitwright.ops import float_op, source
from bitwright.ops.unary import Unary
from bitwright.prepared.histogram import Histogram
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.prepared.value_types import first_and_last
from bitwright.ranks import Ranks

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

    def merge(self, ranks: Ranks) -> None:
        """Let every histogram count what all ranks have observed."""
        quantizers = [q for q in self._model.quantizers.values() if isinstance(q, ActivationQuantizer)]
        Histogram.merge([quantizer.histogram for quantizer in quantizers], ranks)

    def choose_ranges(
        self, algorithm: Range, *, quantizers: Collection[str] | None = None, layers: Collection[str] | None = None
    ) -> None:
        """Set every scale from the histograms and the weights; or only those of these quantizers and these layers.

        Where the recipe has a rule with another range for a layer, that one is taken there.
        """
        for quantizer in self._model.quantizers.values():
            assert isinstance(quantizer, ActivationQuantizer)
            if quantizers is None or quantizer.name in quantizers:
                chosen = self.range_for_codes(quantizer.name, algorithm)
                quantizer.choose_range(chosen, self.read_through(quantizer.name))
        for layer in self._model.layers.values():
            assert isinstance(layer, Layer)
            if layer.quantizer is not None and (layers is None or layer.node.name in layers):
                chosen = self.range_for(layer.node.name, algorithm)
                layer.quantizer.choose_range(chosen, layer.tensors()["weight"])

    def range_for(self, layer: str, usual: Range) -> Range:
        """The range algorithm for a layer's weights: that of its rule in the recipe, else the usual one."""
        name = self._model.recipe.range_of(layer, **first_and_last(self._model.graph).of(layer))
        return usual if name is None else range_algorithm(name)

    def range_for_codes(self, owner: str, usual: Range) -> Range:
        """That for the codes of a type, by the name of the value that owns it: the rule of the layer that writes them."""
        if owner in self._model.parts.values():
            return range_algorithm("minmax")  # the other part holds what rounding leaves, and not what clipping does
        ruled_by = self._model.ruled_by
        while owner not in ruled_by:  # a change of scheme in front of a layer: as the value that it changes
            owner = self._model.owner[source(self._model.graph[owner])]
        return self.range_for(ruled_by[owner], usual)

    def read_through(self, name: str) -> Function:
        """The function through which alone a value is read, where it is one of one number; else the identity."""
        readers = self._model.graph.consumers()[name]
        shared = sum(owner == name for owner in self._model.owner.values()) > 1
        op = float_op(readers[0]) if len(readers) == 1 and not shared else None
        if not isinstance(op, Unary) or op.varies(readers[0]) or self._model.layer(readers[0].name).scales_channels:
            return identity
        return partial(op.function, node=readers[0])
