"""`with_int32_biases`: an artifact whose biases are whole units of its accumulators, as runtimes of QDQ hold them.

    b' = z + m * rint((b - z) / m)          z the zero point of the result over its step; m, b float32, computed in float64

An exported layer adds `rint((b - z) / m)` to its int32 accumulator. The half unit that this rounds away moves one code in a
hundred or so, each layer passes that on, and a deep network ends up with another rounding noise altogether. With b' there is
nothing to round away: the artifact and the exported model differ by roundings of float32 alone.
"""

from dataclasses import replace

import numpy as np

from bitwright.artifact import Artifact
from bitwright.export.ops import LARGEST
from bitwright.graph import Graph, Node
from bitwright.ops.op import float32


def with_int32_biases(artifact: Artifact) -> Artifact:
    """The artifact with such biases; its provenance says so (`biases`)."""
    nodes = tuple(_rounded(artifact.graph, node) for node in artifact.graph.nodes)
    graph = replace(artifact.graph, nodes=nodes)
    return Artifact(graph, artifact.preprocess, artifact.classes, {**artifact.provenance, "biases": "int32"})


def _rounded(graph: Graph, node: Node) -> Node:
    m, b = (node.tensors.get(key) for key in ("m", "b"))
    if "weight" not in node.tensors or m is None or b is None or m.ndim != 1:
        return node
    value = graph.values[node.name]
    zero = 0.0 if value.type is None else value.type.one_shift
    gain, shift = m.astype(np.float64), b.astype(np.float64) - zero
    units = np.rint(np.divide(shift, gain, out=np.zeros_like(shift), where=gain != 0))
    if np.abs(units).max(initial=0) > LARGEST:
        return node  # exported as float32
    rounded = np.where(gain != 0, zero + units * gain, b)
    return replace(node, tensors={**node.tensors, "b": float32(rounded)})
