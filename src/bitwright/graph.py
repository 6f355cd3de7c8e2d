"""The intermediate representation: a graph of ops over values, one output a node, in topological order.

The float graph (captured, fused) and the integer graph (in an artifact) are the same type; the integer graph has a type
for every value: a `QType` for codes, `None` for float32. Shapes leave the batch out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.qtensor import QType

INPUT = "input"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """What is known of a value: its shape per image (C, H, W or F) and, in an integer graph, its type."""

    shape: Shape
    type: QType | None = None


@dataclass(frozen=True)
class Node:
    """One op applied to values; its name is also the name of the value that it computes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    origin: str = ""

    def with_attrs(self, **attrs: Any) -> "Node":
        return replace(self, attrs={**self.attrs, **attrs})


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order. `values` holds every value by name, the input's among them."""

    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    output: str

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise GraphError(f"the graph has no node {name!r}")

    def consumers(self) -> dict[str, list[Node]]:
        """For every value, the nodes that read it (a node that reads it twice is listed once)."""
        found: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    def inputs_of(self, node: Node) -> list[Value]:
        return [self.values[name] for name in node.inputs]


def live(nodes: Iterable[Node], output: str) -> tuple[Node, ...]:
    """The nodes that `output` depends on, in the order given."""
    needed, kept = {output}, []
    for node in reversed(list(nodes)):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
