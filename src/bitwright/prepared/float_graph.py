"""`FloatGraph`: a float graph that runs as it is, without quantizers."""

import torch
from torch import Tensor

from bitwright.graph import Graph
from bitwright.prepared.integers import without_autocast
from bitwright.prepared.layer import Layer
from bitwright.walk import compute


class FloatGraph:
    """Computes a float graph, captured or fused, on the CPU, in float32 or float64, whatever autocast says."""

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32) -> None:
        self.graph = graph
        self.dtype = dtype
        self._layers = {
            node.name: Layer(node, None, None, axis=graph.values[node.name].axis).eval().to(dtype)
            for node in graph.nodes
        }

    @torch.no_grad()
    def __call__(self, *xs: Tensor) -> Tensor:
        """The graph's output for its inputs, in their order: a classifier's logits for normalised images [N, C, H, W]."""
        given = {name: x.to(self.dtype) for name, x in zip(self.graph.inputs, xs, strict=True)}
        with without_autocast(xs[0]):
            return compute(self.graph, given, lambda node, xs: self._layers[node.name](xs, quantized=False))
