"""`Integers`: the integer graph of one moment as plain torch operations, so that it can be traced, exported and compiled.

Everything that depends on weights is worked out when it is made; what runs afterwards sees constants alone.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from bitwright.graph import INPUT, Graph
from bitwright.images.preprocess import Preprocess
from bitwright.ops import integer_op, source
from bitwright.ops.op import codes_of, worst_case
from bitwright.prepared.image import encode
from bitwright.prepared.ops import integer_function
from bitwright.prepared.ops.op import IntegerCall
from bitwright.prepared.walk import steps


class Integers:
    """Runs an integer graph, which was lowered from the tensors `state`."""

    def __init__(self, graph: Graph, preprocess: Preprocess, device: torch.device, state: Iterable[Tensor]) -> None:
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
        self._state = [(t.data_ptr(), t._version, t.detach().clone()) for t in state]

    def follow(self, state: Iterable[Tensor]) -> bool:
        """Whether these tensors are still what the graph was lowered from.

        A tensor's version and its place tell of most changes. Not of all (`.data`, statistics of batches), so the numbers
        are compared, too; that takes a small part of what running the graph does.
        """
        state = list(state)
        if [(t.data_ptr(), t._version) for t in state] != [(place, version) for place, version, _ in self._state]:
            return False
        return all(torch.equal(t.detach(), kept) for t, (_, _, kept) in zip(state, self._state, strict=True))

    def __call__(self, pixels: Tensor, trace: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """Logits of pixel codes [N, C, H, W], whole numbers in float32; `trace` sees every value. Autocast changes nothing."""
        with torch.no_grad(), without_autocast(pixels):
            values = {INPUT: encode(pixels.float(), self._preprocess)}
            for node, done in self._steps:
                name, xs = node.name, [values[name] for name in node.inputs]
                call = IntegerCall(
                    node, self._tensors[name], self._inputs[name], self.graph.values[name], xs, self._bounds.get(name)
                )
                values[name] = integer_function(node.op)(call)
                if trace is not None:
                    found = values[name]
                    trace(name, found.expand(len(pixels), *found.shape[1:]))  # a constant is there once for all images
                for gone in done:
                    del values[gone]
            return values[self.graph.output]


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Where autocast is on for the device of x: off."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
