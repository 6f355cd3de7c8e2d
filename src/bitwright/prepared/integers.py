"""`Integers`: the integer graph of one moment as plain torch operations, so that it can be traced, exported and compiled.

Everything that depends on weights is worked out when it is made; what runs afterwards sees constants alone.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from bitwright.graph import Graph, Node
from bitwright.images.preprocess import Preprocess
from bitwright.ops import integer_op, source
from bitwright.ops.op import codes_of, worst_case
from bitwright.prepared.image import encode
from bitwright.prepared.ops import integer_function
from bitwright.prepared.ops.op import IntegerCall
from bitwright.walk import compute, steps


class Integers:
    """Runs an integer graph."""

    def __init__(self, graph: Graph, preprocess: Preprocess, device: torch.device) -> None:
        self.graph, self._preprocess = graph, preprocess
        self._tensors = {
            node.name: {k: torch.from_numpy(np.array(v, np.float32)).to(device) for k, v in node.tensors.items()}
            for node in graph.nodes
        }
        self._bounds = {
            node.name: worst_case(node.tensors["weight"], codes_of(graph.values[source(node)]))
            for node in graph.nodes
            if integer_op(node).weighted
        }
        self._inputs = {node.name: graph.inputs_of(node) for node in graph.nodes}
        self._steps = list(steps(graph))

    def __call__(self, pixels: Tensor, trace: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """Logits of pixel codes [N, C, H, W], whole numbers in float32; `trace` sees every value. Autocast changes nothing."""
        with torch.no_grad(), without_autocast(pixels):

            def run(node: Node, xs: list[Tensor]) -> Tensor:
                name = node.name
                call = IntegerCall(
                    node, self._tensors[name], self._inputs[name], self.graph.values[name], xs, self._bounds.get(name)
                )
                found = integer_function(node.op)(call)
                if trace is not None:
                    trace(name, found.expand(len(pixels), *found.shape[1:]))  # a constant is there once for all images
                return found

            codes = encode(pixels.float(), self._preprocess)
            return compute(self.graph, {self.graph.input: codes}, run, self._steps)


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on the device of x; it does nothing where autocast is off."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
