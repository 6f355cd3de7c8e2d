"""The reference backend: runs an integer graph op by op in NumPy. It defines what every other backend must give."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.engine.backend import PlanStep
from bitwright.errors import EngineError
from bitwright.graph import Graph, Node
from bitwright.images.encoders import Encoder
from bitwright.ops import integer_op
from bitwright.walk import steps, walk

CHUNK_ELEMENTS = 2**19
"""Images are run in batches whose largest value has about so many elements, which bounds memory."""


def make(
    graph: Graph, threads: int | None, isa: str | None = None, encoder: Encoder | None = None, check_weights: int = 0
) -> "Reference":
    """Threads and instructions are NumPy's own business, so nobody may ask for some."""
    if isa is not None:
        raise EngineError(
            f"expected isa=None for the reference backend, found {isa!r}; the native one has kernels to choose"
        )
    if check_weights:
        raise EngineError(
            "expected check_weights=None for the reference backend; the native one has packed weights to check"
        )
    return Reference(graph, encoder)


class Reference:
    """Runs uint8 images [N, H, W, C] through a checked integer graph."""

    def __init__(self, graph: Graph, encoder: Encoder | None = None) -> None:
        self.graph, self._encoder = graph, encoder
        largest = max(math.prod(value.shape) for value in graph.values.values())
        self.chunk = max(1, CHUNK_ELEMENTS // largest)

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits, float32 [N, classes]."""
        if not len(images):
            return np.zeros((0, *self.graph.values[self.graph.output].shape), np.float32)
        parts = [self._output(images[i : i + self.chunk]) for i in range(0, len(images), self.chunk)]
        return np.concatenate(parts)

    def outputs(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Every output of the graph, the logits first, float32 [N, ...]."""
        parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in self.graph.outputs}
        for i in range(0, len(images), self.chunk):
            for name, value in self._values(images[i : i + self.chunk]):
                if name in parts:
                    parts[name].append(value)
        shapes = (self.graph.values[name].shape for name in parts)
        whole = [
            np.concatenate([np.zeros((0, *s), np.float32), *p]) for s, p in zip(shapes, parts.values(), strict=True)
        ]
        by_name = dict(zip(parts, whole, strict=True))
        return [by_name[name] for name in self.graph.outputs]

    def values(self, images: npt.NDArray[np.uint8]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Every value in order: codes uint8 [N, C, H, W] or [N, F], and the logits. Values are dropped after last use."""
        yield from self._values(images)

    def layers(self, image: npt.NDArray[np.uint8]) -> list[PlanStep]:
        raise EngineError("the reference backend has no kernels to explain; use the native one")

    def _output(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        for name, value in self._values(images):
            if name == self.graph.output:
                return value
        raise AssertionError("a checked graph computes its output")

    def _values(self, images: npt.NDArray[np.uint8]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        graph = self.graph
        codes = (images if self._encoder is None else self._encoder.encode(images)).transpose(0, 3, 1, 2)

        def run(node: Node, xs: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
            return integer_op(node).run(node, xs, graph.inputs_of(node), graph.values[node.name])

        yield graph.input, codes
        for node, _, result in walk(steps(graph), {graph.input: codes}, run):
            yield node.name, np.broadcast_to(result, (len(images), *graph.values[node.name].shape))
