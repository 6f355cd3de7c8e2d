"""`FloatGraph`: a float graph that runs as it is, without quantizers."""

import torch
from torch import Tensor

from bitwright.graph import Graph
from bitwright.prepared.integers import without_autocast
from bitwright.prepared.layer import Layer
from bitwright.walk import compute


class FloatGraph:
    """Computes a float graph, captured or fused, in float32 on the CPU, whatever autocast says."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._layers = {
            node.name: Layer(node, None, None, axis=graph.values[node.name].axis).eval() for node in graph.nodes
        }

    @torch.no_grad()
    def __call__(self, *xs: Tensor) -> Tensor:
        """The graph's output for its inputs, in their order: a classifier's logits for normalised images [N, C, H, W]."""
        given = dict(zip(self.graph.inputs, xs, strict=True))
        with without_autocast(xs[0]):
            return compute(self.graph, given, lambda node, xs: self._layers[node.name](xs, quantized=False))
