"""The only loop that computes the nodes of a graph, whatever computes a node: PyTorch or NumPy, in float or in integers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from bitwright.graph import Graph, Node

T = TypeVar("T")
Step = tuple[Node, Sequence[str]]
"""A node, and the values that nothing reads after it."""
Run = Callable[[Node, list[T]], T]
"""Computes a node from its inputs."""


def steps(graph: Graph) -> Iterator[Step]:
    """Every node of a graph in order. The graph's outputs are never among the values to drop."""
    last_use = {name: node.name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        read = [name for name in dict.fromkeys(node.inputs) if name not in graph.outputs]
        yield node, [name for name in read if last_use[name] == node.name]


def walk(order: Iterable[Step], values: dict[str, T], run: Run[T]) -> Iterator[tuple[Node, list[T], T]]:
    """Compute node after node by `run`, from and into `values`; yields each with its inputs and its result.

    A value is dropped after its last use, when the next node is asked for.
    """
    for node, done in order:
        inputs = [values[name] for name in node.inputs]
        result = values[node.name] = run(node, inputs)
        yield node, inputs, result
        for name in done:
            del values[name]


def compute(graph: Graph, values: dict[str, T], run: Run[T], order: Iterable[Step] | None = None) -> T:
    """Walk through a whole graph from the values of its inputs; returns the value of its output.

    `order` is what `steps` says of the graph, for callers that walk through it many times.
    """
    for _ in walk(steps(graph) if order is None else order, values, run):
        pass
    return values[graph.output]


def compute_all(nodes: Iterable[Node], values: dict[str, T], run: Run[T]) -> dict[str, T]:
    """Compute these nodes, which are a part of a graph, into `values`, which is returned; nothing is dropped."""
    for _ in walk(((node, ()) for node in nodes), values, run):
        pass
    return values
