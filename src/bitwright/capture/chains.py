"""`fold_moves`: reshapes, permutes and slices in a row that come to one slice, or to nothing at all.

Transformers part the channels of tokens into queries, keys and values, and these into heads; attention has heads side by side
in its channels, so what is left of `reshape, permute, select, permute, reshape` is a slice of channels, and none of it in the
other direction. What a chain does is seen from where it takes the numbers 0, 1, 2, ...
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitwright.graph import Graph, Node, Value
from bitwright.ops import float_op, integer_op, source

Indices = npt.NDArray[np.int64]


def fold_moves(graph: Graph) -> Graph:
    """Let what is the end of such a chain read where the longest one begins. Outputs keep their names."""
    nodes, names = {node.name: node for node in graph.nodes}, dict[str, str]()
    folded = list[Node]()
    for node in graph.nodes:
        node = replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
        if _moves(node):
            found = _as_one(graph.values, nodes, node)
            if isinstance(found, str) and node.name not in graph.outputs:
                names[node.name] = found
                continue
            node = found if isinstance(found, Node) else node
        folded.append(node)
    return replace(graph, nodes=tuple(folded)).pruned()


def _moves(node: Node) -> bool:
    op = float_op(node)
    return op.moves and op.arity == (1, 1) and not op.needs_zero


def _as_one(values: Mapping[str, Value], nodes: Mapping[str, Node], node: Node) -> Node | str | None:
    """A slice of what a chain that ends in this node begins with, or that itself, from as far as possible; else None."""
    chain, found = [node], None
    while True:
        begin = source(chain[-1])
        if len(chain) > 1 and len(values[begin].shape) == len(values[node.name].shape):
            found = _of(values, begin, chain[::-1]) or found
        if begin not in nodes or not _moves(nodes[begin]):
            return found
        chain.append(nodes[begin])


def _of(values: Mapping[str, Value], begin: str, chain: list[Node]) -> Node | str | None:
    """What a chain is of the value that it begins with: itself, a slice, or neither."""
    first, end = values[begin], values[chain[-1].name]
    if first.channel != end.channel:
        return None
    places: Indices = np.arange(np.prod(first.shape)).reshape(1, *first.shape)
    moved, value = places, first
    for node in chain:
        moved, value = integer_op(node).run(node, [moved], [value], values[node.name]), values[node.name]
    if moved.shape == places.shape:
        return begin if np.array_equal(moved, places) else None
    starts = [int(i) for i in np.unravel_index(int(moved.flat[0]), first.shape)]
    axis = next(i for i, (a, b) in enumerate(zip(first.shape, end.shape, strict=True)) if a != b)
    start, stop = starts[axis], starts[axis] + end.shape[axis]
    if not np.array_equal(moved, places.take(range(start, min(stop, first.shape[axis])), axis + 1)):
        return None
    attrs = {"axis": axis, "start": start, "stop": stop, "step": 1}
    return replace(chain[-1], op="slice", inputs=(begin,), attrs=attrs)
