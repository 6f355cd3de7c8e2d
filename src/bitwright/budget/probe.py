"""`Probe`: runs variants of an integer model in the engine and says what they lose. It needs no torch.

    loss = KL(float || variant) - KL(float || base),   KL(p || q) = mean over images of sum p * log(p / q), in nats
    SQNR = 10 * log10(sum of y**2 / sum of (y - y_variant)**2), in dB, at the changed layer's result y
The loss is the growth of the cross-entropy to the float model's own probabilities: it needs no labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.graph import Graph, Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.prediction import log_probabilities
from bitwright.qtensor import to_real

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Variant:
    """Nodes and values that take the place of those of the same names."""

    bits: int
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]

    def of(self, graph: Graph) -> Graph:
        """The graph with these nodes and values in it."""
        changed = {node.name: node for node in self.nodes}
        nodes = tuple(changed.get(node.name, node) for node in graph.nodes)
        return replace(graph, nodes=nodes, values={**graph.values, **self.values})


@dataclass(frozen=True)
class Task:
    """The variants of one layer's `kind` ("weights" or "activations"), and what `value` should be on the first images."""

    layer: str
    kind: str
    value: str
    expected: Floats
    variants: list[Variant]


@dataclass(frozen=True)
class Found:
    """What a layer at a width costs in accuracy."""

    layer: str
    kind: str
    bits: int
    loss: float
    sqnr: float | None
    """None where there is no noise at all."""


class Probe:
    """Measures tasks on images, uint8 [N, H, W, C], against the float model's logits on them."""

    def __init__(
        self, graph: Graph, preprocess: Preprocess, images: npt.NDArray[np.uint8], float_logits: Floats
    ) -> None:
        self.graph, self.preprocess, self.images = graph, preprocess, images
        self.target = log_probabilities(float_logits)
        self.base = self._divergence(self._engine(graph))

    def measure(self, task: Task) -> list[Found]:
        """What each variant loses."""
        found = []
        for variant in task.variants:
            graph = variant.of(self.graph)
            engine = self._engine(graph)
            loss = self._divergence(engine) - self.base
            found.append(Found(task.layer, task.kind, variant.bits, loss, self._sqnr(engine, graph, task)))
        return found

    def _engine(self, graph: Graph) -> Engine:
        return Engine(Artifact(graph, self.preprocess), threads=1)

    def _divergence(self, engine: Engine) -> float:
        logits = log_probabilities(engine(self.images))
        return float((np.exp(self.target) * (self.target - logits)).sum(axis=1).mean())

    def _sqnr(self, engine: Engine, graph: Graph, task: Task) -> float | None:
        found = engine.trace(self.images[: len(task.expected)])[task.value]
        type_ = graph.values[task.value].type
        real = np.asarray(found, np.float64) if type_ is None else to_real(found, type_)
        noise = float(((task.expected - real) ** 2).sum())
        signal_ = float((task.expected.astype(np.float64) ** 2).sum())
        return 10 * float(np.log10(signal_ / noise)) if noise > 0 and signal_ > 0 else None
