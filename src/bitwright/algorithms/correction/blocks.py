"""Blocks of a network: its nodes in runs between the places where a single value holds all that is known so far.

A residual block is one, and a plain convolution; nodes without a weight go with what reads them, the last with what they read.
"""

from bitwright.graph import Graph, Node
from bitwright.ops import float_op


def blocks(graph: Graph) -> list[list[Node]]:
    """The nodes in order, cut into runs with at least one weight each (or one run without any)."""
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    made: list[str] = [next(iter(graph.values))]
    found: list[list[Node]] = [[]]
    for i, node in enumerate(graph.nodes):
        found[-1].append(node)
        made.append(node.name)
        made = [name for name in made if last_use.get(name, -1) > i]
        if made == [node.name] and any(float_op(node).weighted for node in found[-1]):
            found.append([])
    if len(found) > 1 and not any(float_op(node).weighted for node in found[-1]):
        rest = found.pop()
        found[-1] += rest
    return found
