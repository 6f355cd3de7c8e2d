"""The one loop that computes a graph: node after node, dropping values after their last use."""

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor

from bitwright.graph import Graph, Node


def walk(
    graph: Graph,
    values: dict[str, Tensor],
    run: Callable[[Node, list[Tensor]], Tensor],
    order: Iterable[tuple[Node, list[str]]] | None = None,
) -> Tensor:
    """Compute every node by `run(node, inputs)`, from the values that are there; returns the output.

    `order` is what `steps` says, for one who has asked before.
    """
    for node, done in steps(graph) if order is None else order:
        values[node.name] = run(node, [values[name] for name in node.inputs])
        for name in done:
            del values[name]
    return values[graph.output]


def steps(graph: Graph) -> Iterator[tuple[Node, list[str]]]:
    """Every node in order, each with the values that nothing reads after it; outputs are kept."""
    last_use = {name: node.name for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        read = [name for name in dict.fromkeys(node.inputs) if name not in graph.outputs]
        yield node, [name for name in read if last_use[name] == node.name]
