"""`FloatGraph`: a float graph that runs as it is, without quantizers."""

import torch
from torch import Tensor

from bitwright.graph import INPUT, Graph
from bitwright.prepared.integers import without_autocast
from bitwright.prepared.layer import Layer
from bitwright.prepared.walk import walk


class FloatGraph:
    """Computes a float graph, captured or fused, in float32 on the CPU, whatever autocast says."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._layers = {
            node.name: Layer(node, None, None, axis=graph.values[node.name].axis).eval() for node in graph.nodes
        }

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The logits of normalised images [N, C, H, W]."""
        with without_autocast(x):
            return walk(self.graph, {INPUT: x}, lambda node, xs: self._layers[node.name](xs, quantized=False))
