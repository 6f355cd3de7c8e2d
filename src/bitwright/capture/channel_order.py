"""`fold_orders`: channels in another order, in the weights of the convolutions that read them.

Capture writes `x[:, [2, 1, 0]]`, `x.flip(1)` and the like as slices and a concat. Those in front of convolutions go: to read
channels in another order is to read them as they are, with the weight's input channels in another order,

    conv(x[:, order], W) = conv(x, W')    with W'[:, c] = sum of W[:, i] over the i with order[i] = c

so a model that turns RGB into BGR costs nothing. A batch norm, padding or clamp in between changes places with the order first.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.graph import Graph, Node, Value
from bitwright.ops import float_op, operand, source

CHANNEL = 0
"""The axis of channels in a shape per image."""


@dataclass(frozen=True)
class _Order:
    """The concat that gives the channels of `source` in another order, and that order."""

    concat: Node
    source: str
    positions: list[int]


def fold_orders(graph: Graph) -> Graph:
    """Move the order of channels into the weights of the convolutions that read it, wherever nothing else does."""
    done: set[str] = set()
    while (found := _next(graph, done)) is not None:
        readers = graph.consumers()[found.concat.name]
        if readers and found.concat.name != graph.output and all(_takes_order(node) for node in readers):
            graph = _into_weights(graph, found, {node.name for node in readers})
        elif len(readers) == 1 and _changes_places(readers[0], found):
            graph = _behind(graph, found, readers[0])
        else:
            done.add(found.concat.name)
    return graph


def _next(graph: Graph, done: set[str]) -> _Order | None:
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        by_channel = float_op(node).joins and node.attrs["axis"] == graph.values[node.name].channel == CHANNEL
        if not by_channel or node.name in done:
            continue
        parts = [nodes.get(name) for name in node.inputs]
        # By name, as `_emit` writes them: no trait says which positions a node reads.
        slices = [p for p in parts if p is not None and p.op == "slice" and p.attrs["axis"] == CHANNEL]
        sources = {source(part) for part in slices}
        if len(slices) < len(parts) or len(sources) != 1:
            continue
        positions = [i for part in slices for i in range(part.attrs["start"], part.attrs["stop"], part.attrs["step"])]
        return _Order(node, sources.pop(), positions)
    return None


def _takes_order(node: Node) -> bool:
    """True where each of its weights reads every channel of planes, and it alone reads them, not a residual."""
    mixes = float_op(node).weighted and node.attrs.get("groups") == 1
    return mixes and operand(node, "residual") is None


def _into_weights(graph: Graph, order: _Order, readers: set[str]) -> Graph:
    channels = graph.values[order.source].shape[CHANNEL]
    nodes = [
        replace(
            node,
            inputs=(order.source,),
            tensors={**node.tensors, "weight": _reordered(node.tensors["weight"], order.positions, channels)},
        )
        if node.name in readers
        else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes)).pruned()


def _reordered(weight: npt.NDArray[Any], positions: list[int], channels: int) -> npt.NDArray[Any]:
    """The weight [O, I, ...] of channels as they are, from that of channels at these positions."""
    shape = (len(weight), channels, *weight.shape[2:])
    whole = np.zeros(shape, weight.dtype)
    for i, position in enumerate(positions):
        whole[:, position] += weight[:, i]
    return whole


def _changes_places(node: Node, order: _Order) -> bool:
    """True where the order can come behind the node as well: it treats each channel by itself and all are there once."""
    if sorted(order.positions) != list(range(len(order.positions))):
        return False
    if float_op(node).needs_zero:
        return len(node.attrs["padding"]) == 3 and not any(node.attrs["padding"][CHANNEL])
    return float_op(node).affine or float_op(node).clamps


def _behind(graph: Graph, order: _Order, node: Node) -> Graph:
    """order -> node becomes node -> order; what has one value per channel is put in the order of the source."""
    inverse = np.argsort(order.positions)
    values, shape = dict(graph.values), graph.values[node.name].shape
    moved = replace(node, inputs=(order.source,), tensors={key: t[inverse] for key, t in node.tensors.items()})
    parts = [replace(graph[name], name=f"{name}.behind", inputs=(node.name,)) for name in order.concat.inputs]
    whole = replace(order.concat, name=f"{order.concat.name}.behind", inputs=tuple(part.name for part in parts))
    values |= {
        part.name: Value((graph.values[part.name.removesuffix(".behind")].shape[0], *shape[1:])) for part in parts
    }
    values[whole.name] = Value(shape)
    nodes: list[Node] = []
    for other in graph.nodes:
        if other.name == node.name:
            nodes += [moved, *parts, whole]
        else:
            inputs = tuple(whole.name if name == node.name else name for name in other.inputs)
            nodes.append(replace(other, inputs=inputs))
    return replace(graph, nodes=tuple(nodes), values=values).ending({node.name: whole.name}).pruned()
