"""Assigns a quantized type to every value: which values of a fused graph share one, where types change, what is float32.

- An op that only moves codes (a pool by maximum, a reshape, a concat) gives its input's type to its result.
- A concat's input takes the concat's type where it is read by concats alone; else a `quantize` node changes its type.
- The image keeps its pixels for convolutions; anything else reads it through a `quantize` node.
- A convolution or linear layer whose recipe says in which scheme it reads its codes (`inputs`) gets them so: by the type of
  the value itself where all its readers want that, else through one `quantize` node for each value and scheme.
- What nothing multiplies, since a norm or a function of one number alone reads it, has 8 bits, unless a rule of the recipe says
  else of the layer that writes it: fewer would cost accuracy and save nothing.
- The op that computes the logits writes float32; where it cannot, a `dequantize` node follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from bitwright.graph import Graph, Node
from bitwright.ops import float_op, roles_of, source
from bitwright.qtensor import QType
from bitwright.recipe import ONE_BIT, Recipe

WIDEST = "uint8"
"""The scheme of what is looked up or normed, and not multiplied: 8 bits there cost no more than fewer."""


@dataclass(frozen=True)
class TypedGraph:
    """A graph with its changes of type made explicit.

    For each value of codes, the name of the value that owns its type; for each owner, the scheme of that type, and the layer
    whose rule in the recipe says what is written there.
    """

    graph: Graph
    owner: Mapping[str, str]
    schemes: Mapping[str, str]
    ruled_by: Mapping[str, str]


@dataclass(frozen=True)
class FirstAndLast:
    """The first and the last layer that have weights."""

    first: str
    last: str

    def of(self, name: str) -> dict[str, bool]:
        """The position of a layer, as keyword arguments of the recipe's methods."""
        return {"first": name == self.first, "last": name == self.last}


def first_and_last(graph: Graph) -> FirstAndLast:
    weighted = [node.name for node in graph.nodes if float_op(node).weighted]
    return FirstAndLast(weighted[0], weighted[-1]) if weighted else FirstAndLast("", "")


def assign_types(
    graph: Graph, recipe: Recipe | None = None, given: Mapping[str, QType] = MappingProxyType({})
) -> TypedGraph:
    """Decide where types are and of which scheme, for a fused graph; `given` are types of values that are settled."""
    recipe = recipe or Recipe()
    graph = _quantize_image(graph)
    graph = _end_in_float(graph)
    graph = _quantize_concat_inputs(graph)
    owner = _owners(graph)
    ruled_by = _ruled_by(graph, owner)
    written = _written(graph, owner, ruled_by, recipe)
    written |= {owner[name]: type_.scheme for name, type_ in given.items() if name in owner}
    return _quantize_inputs(graph, owner, written, ruled_by, recipe)


def _owners(graph: Graph) -> dict[str, str]:
    floats = _float_values(graph)
    owner: dict[str, str] = {}
    for node in graph.nodes:
        if node.name not in floats:
            owner[node.name] = node.name
    for node in graph.nodes:
        if node.name in owner and float_op(node).passes_type:
            for name in node.inputs:
                _unite(owner, owner[name], owner[node.name])
    return owner


def _ruled_by(graph: Graph, owner: Mapping[str, str]) -> dict[str, str]:
    """For each owner the layer whose rule it follows: its producer, but for what the last layer reads the last layer."""
    last = first_and_last(graph).last
    logits = _float_chain(graph, graph.output)[0]
    read_by_last = {owner.get(source(graph[name])) for name in (last, logits) if name}
    return {name: last if name in read_by_last and last else name for name in dict.fromkeys(owner.values())}


def _written(graph: Graph, owner: Mapping[str, str], ruled_by: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """For each owner the scheme that the recipe has its producer write; 8 bits where nothing multiplies what is written."""
    found, outer = {}, first_and_last(graph)
    multiplied = {
        owner[name]
        for node in graph.nodes
        for name in node.inputs
        if name in owner and float_op(node).multiplies and owner.get(node.name) != owner[name]
    }
    for name, rule in ruled_by.items():
        at_end = {"last": True} if rule == outer.last else {"first": name == outer.first}
        scheme = recipe.schemes(rule, **at_end)[1]
        affine = scheme.startswith("uint")
        wide = affine and name not in multiplied and not recipe.names_activations(rule, **at_end)
        found[name] = WIDEST if wide else scheme
    return found


def _quantize_inputs(
    graph: Graph, owner: dict[str, str], written: dict[str, str], ruled_by: dict[str, str], recipe: Recipe
) -> TypedGraph:
    """Give each convolution and linear layer its codes in the scheme that it wants to read."""
    wanted = {
        node.name: scheme
        for node in graph.nodes
        if float_op(node).weighted and (scheme := _wanted(graph, node, owner, recipe))
    }
    schemes = dict(written)
    for name in written:
        members = [value for value in owner if owner[value] == name]
        scheme = _agreed(graph, members, wanted)
        if scheme is not None:
            schemes[name] = scheme
    changed: dict[tuple[str, str], set[str]] = {}
    for reader, scheme in wanted.items():
        value = source(graph[reader])
        if schemes[owner[value]] != scheme:
            changed.setdefault((value, scheme), set()).add(reader)
    for (value, scheme), readers in changed.items():
        name = _free(graph, f"{value}.{scheme}")
        first = next(node.name for node in graph.nodes if node.name in readers)
        change = Node(name, "quantize", (value,), origin=graph[first].origin)
        graph = _insert(graph, change, first, {reader: _positions(graph[reader], value) for reader in readers})
        owner[name], schemes[name] = name, scheme
    return TypedGraph(graph, owner, schemes, ruled_by)


def _wanted(graph: Graph, node: Node, owner: Mapping[str, str], recipe: Recipe) -> str | None:
    """The scheme in which a layer wants to read its codes; None where it takes what comes, and for the image's pixels."""
    value = source(node)
    scheme = recipe.inputs_of(node.name, **first_and_last(graph).of(node.name)) if value in owner else None
    if scheme == ONE_BIT:
        return "bit" if never_negative(graph, value) else "binary"
    return scheme


def _agreed(graph: Graph, members: list[str], wanted: Mapping[str, str]) -> str | None:
    """The one scheme in which all readers of values of one type want them; None where they differ or one does not care."""
    inside, found = set(members), set()
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            op = float_op(node)
            if name in inside and not (node.name in inside and op.passes_type):
                found.add(wanted.get(node.name) if op.role(i) == "codes" else None)
    padded = any(float_op(graph[name]).needs_zero for name in members)
    agreed = found.pop() if len(found) == 1 else None
    return None if agreed == "binary" and padded else agreed  # `binary` has no code for zero


def never_negative(graph: Graph, name: str) -> bool:
    """True where a value of the float graph is known to be zero or more: behind a relu, and whatever keeps that."""
    if name in graph.inputs:
        return False
    node = graph[name]
    op, lo = float_op(node), node.attrs.get("clamp", (None, None))[0]
    if (lo is not None and lo >= 0) or op.never_negative(node):
        return True
    return op.keeps_sign and all(never_negative(graph, value) for value in node.inputs)


def _positions(node: Node, value: str) -> set[int]:
    """The operand positions at which a node computes with a value's codes."""
    return {i for i, name in enumerate(node.inputs) if name == value and float_op(node).role(i) == "codes"}


def _unite(owner: dict[str, str], first: str, second: str) -> None:
    for name, current in owner.items():
        if current == second:
            owner[name] = first


def _free(graph: Graph, name: str) -> str:
    """`name` with as many underscores behind it as it takes to be unused."""
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
    return replace(graph, nodes=tuple(nodes), values={**graph.values, new.name: graph.values[source(new)]})


def _quantize_image(graph: Graph) -> Graph:
    image = graph.input
    readers = {
        node.name: {i for i, name in enumerate(node.inputs) if name == image}
        for node in graph.nodes
        if image in node.inputs and not _reads_pixels(node, image)
    }
    if not readers:
        return graph
    return _insert(graph, Node(_free(graph, f"{image}.quantize"), "quantize", (image,)), next(iter(readers)), readers)


def _reads_pixels(node: Node, image: str) -> bool:
    """Whether a node reads the image's own codes: a layer that folds their scales, or a change of their type."""
    op = float_op(node)
    return op.requantizes or (op.folds_image and roles_of(node, image) == {"codes"})


def _float_chain(graph: Graph, output: str) -> list[str]:
    """An output, and what it is reshaped from: the op that computes it first."""
    chain = [output]
    while output not in graph.inputs and float_op(graph[output]).takes_float:
        output = source(graph[output])
        chain.insert(0, output)
    return chain


def _float_values(graph: Graph) -> set[str]:
    return {name for output in graph.outputs for name in _float_chain(graph, output)}


def _end_in_float(graph: Graph) -> Graph:
    """Let every output be float32: by the op that computes it where that can and nothing else reads it, else by one more op."""
    for output in dict.fromkeys(graph.outputs):
        chain, consumers = _float_chain(graph, output), graph.consumers()
        alone = all(reader.name in chain for name in chain for reader in consumers[name])
        first = graph[chain[0]] if chain[0] not in graph.inputs else None
        if first is not None and float_op(first).writes_float and "clamp" not in first.attrs and alone:
            continue
        name = graph.output_name if output == graph.output else f"{output}.float"
        end = Node(_free(graph, name), "dequantize", (output,))
        values = {**graph.values, end.name: graph.values[output]}
        graph = replace(graph, nodes=(*graph.nodes, end), values=values).ending({output: end.name})
    return graph


def _quantize_concat_inputs(graph: Graph) -> Graph:
    producers = {node.name: node for node in graph.nodes}
    consumers = graph.consumers()

    def only_concats(name: str) -> bool:
        moves = [reader for reader in consumers[name] if float_op(reader).passes_type]
        return len(moves) == len(consumers[name]) and all(float_op(r).joins or only_concats(r.name) for r in moves)

    def root(name: str) -> str:
        node = producers.get(name)
        moves = node is not None and float_op(node).passes_type and not float_op(node).joins
        return root(source(node)) if node is not None and moves else name

    for node in [n for n in graph.nodes if float_op(n).joins]:
        for i, name in enumerate(node.inputs):
            if not only_concats(root(name)):
                change = Node(_free(graph, f"{node.name}.quantize_{i}"), "quantize", (name,), origin=node.origin)
                graph = _insert(graph, change, node.name, {node.name: {i}})
    return graph
