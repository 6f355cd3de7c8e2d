"""Where the codes are: which values of a fused graph share a type, where types change, and which value is float32.

- An op that only moves codes (a pool by maximum, a reshape, a concat) gives its input's type to its result.
- A concat's input takes the concat's type where it is read by concats alone; else a `quantize` node changes its type.
- The image keeps its pixels for convolutions; anything else reads it through a `quantize` node.
- The op that computes the logits writes float32; where it cannot, a `dequantize` node follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bitwright.graph import INPUT, Graph, Node, Value
from bitwright.ops import FLOAT_OPS


@dataclass(frozen=True)
class Edges:
    """A graph with its changes of type made explicit; for each value of codes, the name of the value that owns its type."""

    graph: Graph
    owner: Mapping[str, str]


def place(graph: Graph) -> Edges:
    """Decide where types are, for a fused graph."""
    graph = _quantize_image(graph)
    graph = _end_in_float(graph)
    graph = _quantize_concat_inputs(graph)
    floats = _float_values(graph)
    owner: dict[str, str] = {}
    for node in graph.nodes:
        if node.name not in floats:
            owner[node.name] = node.name
    for node in graph.nodes:
        if node.name in owner and FLOAT_OPS[node.op].passes_type:
            for name in node.inputs:
                _unite(owner, owner[name], owner[node.name])
    return Edges(graph, owner)


def _unite(owner: dict[str, str], first: str, second: str) -> None:
    for name, current in owner.items():
        if current == second:
            owner[name] = first


def _free(graph: Graph, name: str) -> str:
    """`name`, or with underscores behind it until nothing else is called so."""
    while name in graph.values:
        name += "_"
    return name


def _insert(graph: Graph, new: Node, before: str, readers: Mapping[str, set[int]]) -> Graph:
    """Put a node of the shape of its input in front of node `before`; these inputs of these readers now read it."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name == before:
            nodes.append(new)
        positions = readers.get(node.name, set())
        inputs = tuple(new.name if i in positions else name for i, name in enumerate(node.inputs))
        nodes.append(replace(node, inputs=inputs))
    return Graph(tuple(nodes), {**graph.values, new.name: Value(graph.values[new.inputs[0]].shape)}, graph.output)


def _quantize_image(graph: Graph) -> Graph:
    readers = {
        node.name: {i for i, name in enumerate(node.inputs) if name == INPUT}
        for node in graph.nodes
        if INPUT in node.inputs and (node.op != "conv2d" or INPUT in node.inputs[1:])
    }
    if not readers:
        return graph
    return _insert(graph, Node(_free(graph, f"{INPUT}.quantize"), "quantize", (INPUT,)), next(iter(readers)), readers)


def _float_values(graph: Graph) -> set[str]:
    """The output, and what it is reshaped from."""
    floats, name = set(), graph.output
    while True:
        floats.add(name)
        node = graph[name]
        if node.op != "reshape":
            return floats
        name = node.inputs[0]


def _end_in_float(graph: Graph) -> Graph:
    floats = _float_values(graph)
    consumers = graph.consumers()
    first = next(node for node in graph.nodes if node.name in floats)
    alone = all(reader.name in floats for name in floats for reader in consumers[name])
    if FLOAT_OPS[first.op].writes_float and "clamp" not in first.attrs and alone:
        return graph
    end = Node(_free(graph, "logits"), "dequantize", (graph.output,))
    return Graph((*graph.nodes, end), {**graph.values, end.name: graph.values[graph.output]}, end.name)


def _quantize_concat_inputs(graph: Graph) -> Graph:
    producers = {node.name: node for node in graph.nodes}
    consumers = graph.consumers()

    def only_concats(name: str) -> bool:
        moves = [reader for reader in consumers[name] if FLOAT_OPS[reader.op].passes_type]
        return len(moves) == len(consumers[name]) and all(r.op == "concat" or only_concats(r.name) for r in moves)

    def root(name: str) -> str:
        node = producers.get(name)
        moves = node is not None and FLOAT_OPS[node.op].passes_type and node.op != "concat"
        return root(node.inputs[0]) if node is not None and moves else name

    for node in [n for n in graph.nodes if n.op == "concat"]:
        for i, name in enumerate(node.inputs):
            if not only_concats(root(name)):
                change = Node(_free(graph, f"{node.name}.quantize_{i}"), "quantize", (name,), origin=node.origin)
                graph = _insert(graph, change, node.name, {node.name: {i}})
    return graph
