"""The intermediate representation: a graph of ops over values, one output a node, in topological order.

The float graph (captured, fused) and the integer graph (in an artifact) are the same type; the integer graph has a type
for every value: a `QType` for codes, `None` for float32. Shapes and axes leave the batch out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from bitwright.errors import GraphError
from bitwright.qtensor import QType

INPUT = "input"
"""What the input of a graph that has only one is called, unless its maker calls it something else."""
LOGITS = "logits"
"""What the one output of a model that gives it no name is called."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """What is known of a value: its shape per image, in an integer graph its type, and which axis of the shape is the channel.

    Planes are [C, H, W] with channel 0, tokens [T, D] with channel 1. What there is one of for each channel (multipliers of an
    epilogue, batch norms, tables) lies along that axis, and in the engine's memory a value is pixels of channels.
    """

    shape: Shape
    type: QType | None = None
    channel: int = 0

    @property
    def channels(self) -> int:
        return self.shape[self.channel]

    @property
    def axis(self) -> int:
        """The channel axis of a batch [N, ...] of this value."""
        return self.channel + 1

    @property
    def pixels(self) -> int:
        """How many numbers each channel has in one image."""
        return math.prod(self.shape) // self.channels

    @property
    def column(self) -> Shape:
        """The shape in which one number for each channel broadcasts over a batch of this value."""
        return tuple(-1 if axis == self.axis else 1 for axis in range(len(self.shape) + 1))

    def at(self, channel: int) -> "Value":
        """The same value with another axis as its channel."""
        return replace(self, channel=channel)


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
    """Nodes in topological order. `values` holds every value by name.

    `output` is the value that a classifier's logits are, and `output_name` what one asks for it by. `others` are more
    outputs, by such names.
    `inputs` are the values that no node computes: what is given for each image. A classifier has one, its image
    (`graph_check.check_classifier`).
    """

    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    output: str
    others: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = (INPUT,)
    output_name: str = LOGITS

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise GraphError(f"the graph has no node {name!r}")

    @property
    def input(self) -> str:
        """The one input of a graph that has only one, such as a classifier's image. GraphError where it has several."""
        if len(self.inputs) != 1:
            raise GraphError(f"expected a graph with one input, found {len(self.inputs)}: {self.inputs!r:.200}")
        return self.inputs[0]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The values that are outputs: `output`, then the others."""
        return (self.output, *self.others.values())

    @property
    def named_outputs(self) -> dict[str, str]:
        """The values that are outputs by the names that one asks for them with, in the order of `outputs`."""
        return {self.output_name: self.output, **self.others}

    def ending(self, renamed: Mapping[str, str]) -> "Graph":
        """The same graph with other values as its outputs: each that is a key here gives way to the value of the new name."""
        others = {name: renamed.get(value, value) for name, value in self.others.items()}
        return replace(self, output=renamed.get(self.output, self.output), others=others)

    def pruned(self) -> "Graph":
        """The same graph without nodes that no output depends on."""
        nodes = live(self.nodes, self.outputs)
        names = {*self.inputs, *(node.name for node in nodes)}
        return replace(self, nodes=nodes, values={name: value for name, value in self.values.items() if name in names})

    @property
    def constants(self) -> dict[str, Node]:
        """The nodes whose values belong to the model and not to the image, by name."""
        return {node.name: node for node in self.nodes if not node.inputs}

    def consumers(self) -> dict[str, list[Node]]:
        """For every value, the nodes that read it (a node that reads it twice is listed once)."""
        found: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    def inputs_of(self, node: Node) -> list[Value]:
        return [self.values[name] for name in node.inputs]


def live(nodes: Iterable[Node], outputs: Iterable[str]) -> tuple[Node, ...]:
    """The nodes that the outputs depend on, in the order given."""
    needed, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
