"""What a quantized file says of its values and weights: scales and zero points that are kept, not chosen from images.

A frontend puts `GIVEN` on the clamp that stands for a value's rounding (its range is that of the codes), and tells the weights
in `Captured.file`. `kept` finds both again in the fused graph, whatever its nodes are called.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bitwright.given import GivenTypes, GivenWeight
from bitwright.graph import Graph, Node
from bitwright.ops import float_op, source
from bitwright.ops.unary import AS_ONNX
from bitwright.qtensor import QType
from bitwright.recipe import Recipe

GIVEN = "given"
"""The attribute of a float node: the type of what it writes."""


@dataclass(frozen=True)
class FileTypes:
    """All that a quantized file says: weights by `key_of` their real numbers, and (where, what) is not kept as it is."""

    weights: Mapping[bytes, GivenWeight] = field(default_factory=dict)
    differs: tuple[tuple[str, str], ...] = ()


def key_of(weight: npt.NDArray[np.generic]) -> bytes:
    """What a weight [O, ...] is found by: its real numbers."""
    return hashlib.sha256(f"{weight.shape}".encode() + np.ascontiguousarray(weight, np.float32).tobytes()).digest()


def is_plain(recipe: Recipe) -> bool:
    """Whether a recipe asks for 8 bits throughout, which a quantized file has answered already."""
    same = Recipe(name=recipe.name, range=recipe.range, algorithms=recipe.algorithms, training=recipe.training)
    return recipe == same


def kept(graph: Graph, file: FileTypes) -> tuple[Graph, GivenTypes, tuple[str, ...]]:
    """The fused graph with a node for every change of type, what is given of it, and notes of what differs."""
    graph, types = _settled(graph)
    weights, differs = dict[str, GivenWeight](), list(file.differs)
    found = set[str]()
    for node in [node for node in graph.nodes if float_op(node).weighted]:
        given = file.weights.get(key_of(node.tensors["weight"]))
        if given is None:
            continue
        found.add(given.name)
        if given.fault:
            differs.append((given.name, given.fault))
        else:
            weights[node.name] = given
    lost = {given.name for given in file.weights.values() if not given.fault} - found
    differs += [(name, "weights that are folded into others are rounded anew") for name in sorted(lost)]
    return graph, GivenTypes(types, weights), tuple(_told(differs))


def _told(differs: list[tuple[str, str]]) -> list[str]:
    """One note for each thing that differs, with all its places."""
    found: dict[str, dict[str, None]] = {}
    for where, what in differs:
        found.setdefault(what, {})[where] = None
    return [f"not as in the file: {what}: {', '.join(places)}" for what, places in found.items()]


def _settled(graph: Graph) -> tuple[Graph, dict[str, QType]]:
    """The types of values, off the nodes. A rounding that has not become part of an op gives its type to what it rounds, where
    nothing else reads that; else it is a change of type, an op of its own."""
    readers = graph.consumers()
    nodes: dict[str, Node] = {}
    types: dict[str, QType] = {}
    same: dict[str, str] = {}

    def takes(name: str, reader: str, given: QType) -> bool:
        """Give a type to a value without one that `reader` reads, and others that round alike; or to what it is moved from."""
        alike = (node.name == reader or _rounds_to(node, given) for node in readers[name])
        alone = all(alike) and name not in graph.outputs
        if name not in nodes or name in types or not alone:
            return False
        op = float_op(nodes[name])
        if op.passes_type and not op.joins and not takes(source(nodes[name]), name, given):
            return False
        types[name] = given
        return True

    for node in graph.nodes:
        node = replace(node, inputs=tuple(same.get(name, name) for name in node.inputs))
        given: QType | None = node.attrs.get(GIVEN)
        op = float_op(node)
        if given is not None and _rounds_to(node, given):
            (x,) = node.inputs
            if types.get(x) == given or takes(x, node.name, given):
                same[node.name] = x
                continue
            node = Node(node.name, "quantize", (x,), {}, {}, node.origin)
        nodes[node.name] = replace(node, attrs={key: value for key, value in node.attrs.items() if key != GIVEN})
        read = {types.get(name) for name in node.inputs} if op.passes_type else set()
        passed = read.pop() if len(read) == 1 else None
        if given is not None or passed is not None:
            types[node.name] = given or passed  # type: ignore[assignment]
    for name in types.keys() & nodes.keys():
        if float_op(nodes[name]).elementwise:
            nodes[name] = nodes[name].with_attrs(**{AS_ONNX: True})
    values = {name: value for name, value in graph.values.items() if name not in same}
    return _joined(replace(graph, nodes=tuple(nodes.values()), values=values).ending(same), types)


def _rounds_to(node: Node, given: QType) -> bool:
    """Whether a node only rounds to a type, and is not an op that a rounding has become part of."""
    return float_op(node).clamps and node.attrs.get(GIVEN) == given


def _joined(graph: Graph, types: dict[str, QType]) -> tuple[Graph, dict[str, QType]]:
    """A change of type in front of each operand of a concat that is given another type than the result."""
    nodes: list[Node] = []
    values = dict(graph.values)
    for node in graph.nodes:
        if float_op(node).joins:
            inputs = []
            for i, name in enumerate(node.inputs):
                if types.get(name) in (None, types.get(node.name)):
                    inputs.append(name)
                    continue
                change = f"{node.name}.given_{i}"
                nodes.append(Node(change, "quantize", (name,), {AS_ONNX: node.name in types}, {}, node.origin))
                values[change] = values[name]
                if node.name in types:
                    types[change] = types[node.name]
                inputs.append(change)
            node = replace(node, inputs=tuple(inputs))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), values=values), types
