"""The way of many images through a network, node by node, as the float model or the quantized one computes it.

Only the values that something still reads are kept, so memory grows with the width of the network and not its depth.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.values import Values
from bitwright.graph import Node
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.walk import compute_all


class Path:
    """Values of the first `most` images, as far as `advance` has come."""

    def __init__(self, prepared: PreparedModel, calibration: Calibration, most: int, *, quantized: bool) -> None:
        self.rows = calibration.rows(most)
        self.count = self.rows[-1].stop
        self._prepared, self._calibration, self._quantized = prepared, calibration, quantized
        self._last_use = {name: i for i, node in enumerate(prepared.graph.nodes) for name in node.inputs}
        self._last_use |= dict.fromkeys(prepared.graph.outputs, len(prepared.graph.nodes))
        self._position = {node.name: i for i, node in enumerate(prepared.graph.nodes)}
        self._values: dict[str, Values] = {}

    def read(self, name: str, rows: slice | Tensor) -> Tensor:
        """A value of these images; the input as the float model takes it."""
        index = rows if isinstance(rows, slice) else rows.numpy()
        if name == self._prepared.graph.input:
            images = self._calibration.images[index].to(self._prepared.image_scale.device)
            return self._prepared.real_input(images)
        return self._values[name][index].to(self._prepared.image_scale.device)

    def inputs(self, node: Node, rows: slice) -> list[Tensor]:
        """The values that a node reads, which must have been computed."""
        return [self.read(name, rows) for name in node.inputs]

    def write(self, name: str, rows: slice, value: Tensor) -> None:
        """Set a value of these images; what `compute` does, for one who has computed it already."""
        if name not in self._values:
            self._values[name] = self._calibration.memory.values((self.count, *value.shape[1:]))
        self._values[name][rows] = value

    def advance(self, nodes: Sequence[Node]) -> None:
        """Compute these nodes, which come next, with the weights and scales of this moment; drop what nothing reads then."""
        self.compute(nodes)
        self.drop(nodes)

    @torch.no_grad()
    def compute(self, nodes: Sequence[Node]) -> None:
        """Compute these nodes, which come next, and keep what later nodes read."""
        end = self._position[nodes[-1].name]
        kept = [node.name for node in nodes if self._last_use.get(node.name, -1) > end]
        for rows in self.rows:
            found = self.run(nodes, rows)
            for name in kept:
                self.write(name, rows, found[name])

    def drop(self, nodes: Sequence[Node]) -> None:
        """Drop what only these nodes read."""
        end = self._position[nodes[-1].name]
        for name in [name for name in self._values if self._last_use[name] <= end]:
            self._values.pop(name).close()

    def run(self, nodes: Sequence[Node], rows: slice) -> dict[str, Tensor]:
        """The values that these nodes read and compute, for some images."""
        made = {node.name for node in nodes}
        outside = dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)
        values = {name: self.read(name, rows) for name in outside}
        return compute_all(nodes, values, self._run)

    def _run(self, node: Node, xs: list[Tensor]) -> Tensor:
        quantizer = self._prepared.quantizer(node.name) if self._quantized else None
        y: Tensor = self._prepared.layer(node.name)(xs, quantized=self._quantized)
        return y if quantizer is None else quantizer.forward(y)


def each_layer(
    prepared: PreparedModel, calibration: Calibration, most: int
) -> Iterator[tuple[Layer, Node, Path, Path]]:
    """Every layer with a weight, in order, with the float and the quantized path right in front of it.

    What is done to the layer before the next one is asked for is part of the quantized path from then on.
    """
    exact, rounded = (Path(prepared, calibration, most, quantized=quantized) for quantized in (False, True))
    for i, node in enumerate(prepared.graph.nodes):
        layer = prepared.layer(node.name)
        if layer.quantizer is not None:
            yield layer, node, exact, rounded
        exact.advance([node])
        rounded.advance([node])
        calibration.progress((i + 1) / len(prepared.graph.nodes))
