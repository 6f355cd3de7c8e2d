"""`fuse`: convolutions take in the padding before them and the batch norm, residual sum and clamp after them; a prelu the
shifts around it.

A value is absorbed only where nothing else reads it. What is left over stays an op of its own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from bitwright.capture.chains import fold_moves
from bitwright.capture.channel_order import fold_orders
from bitwright.capture.given import GIVEN
from bitwright.graph import Graph, Node, Value
from bitwright.ops import float_op, operand
from bitwright.ops.epilogue import has_batch_norm

Rule = Callable[[Node, Node, int, Graph], Node | None]


def fuse(graph: Graph) -> Graph:
    """Put orders of channels into weights and chains of moves into fewer, then apply every rule in turn.

    Names of convolutions stay; what they absorb disappears.
    """
    graph = parts_side_by_side(sums_into_norms(fold_moves(fold_orders(graph))))
    for rule in RULES:
        graph = _merge(graph, rule)
    return graph


def sums_into_norms(graph: Graph) -> Graph:
    """Norms that can read sums read what is added up: each block of a transformer adds to what all later norms read."""
    nodes = {node.name: node for node in graph.nodes}

    def adds(name: str) -> bool:
        return name in nodes and float_op(nodes[name]).sums and "clamp" not in nodes[name].attrs

    for node in graph.nodes:
        op, parts = float_op(node), list(node.inputs)
        while "summand" in op.roles and len(parts) < op.arity[1]:
            sums = [i for i, name in enumerate(parts) if adds(name)]
            if not sums:
                break
            parts[sums[0] : sums[0] + 1] = nodes[parts[sums[0]]].inputs
        if graph_input(graph) not in parts:
            nodes[node.name] = replace(node, inputs=tuple(parts))
    return replace(graph, nodes=tuple(nodes.values())).pruned()


def parts_side_by_side(graph: Graph) -> Graph:
    """A concat of concats along one axis, which nothing else reads, is one of all their parts, each rounded once."""
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update(graph.outputs)
    nodes: dict[str, Node] = {}

    def parts(node: Node, name: str) -> tuple[str, ...]:
        inner = nodes.get(name)
        if inner is None or not float_op(inner).joins or reads[name] > 1 or inner.attrs != node.attrs:
            return (name,)
        return inner.inputs

    for node in graph.nodes:
        if float_op(node).joins:
            node = replace(node, inputs=tuple(part for name in node.inputs for part in parts(node, name)))
        nodes[node.name] = node
    return replace(graph, nodes=tuple(nodes.values())).pruned()


def pad_into_conv(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """pad -> an op with a weight and a padding of its own, where the padding is of planes and not of channels."""
    takes_padding = float_op(second).weighted and "padding" in second.attrs
    if not (float_op(first).needs_zero and takes_padding) or len(first.attrs["padding"]) != 3:
        return None
    channel, rows, columns = first.attrs["padding"]
    if any(channel):
        return None
    more = (rows[0], columns[0], rows[1], columns[1])
    padding = tuple(a + b for a, b in zip(second.attrs["padding"], more, strict=True))
    return replace(second.with_attrs(padding=padding), inputs=first.inputs)


def two_into_one(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """permute -> permute, of which the second may be there only to give the value another channel."""
    return float_op(first).compose(first, second) if first.op == second.op else None


def norm_into_weight(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """conv2d or linear -> batch_norm."""
    if not (float_op(first).weighted and float_op(second).affine) or has_batch_norm(first):
        return None
    return replace(first.with_attrs(**second.attrs), tensors={**first.tensors, **second.tensors})


def shift_into_norm(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """Anything that ends in a batch norm -> shift: the bias of the norm takes it."""
    if "bn_bias" not in first.tensors or "clamp" in first.attrs or not is_shift(second):
        return None
    learns = tuple(dict.fromkeys((*first.attrs.get("learns", ()), *second.attrs.get("learns", ()))))
    merged = first.with_attrs(learns=learns) if learns and first.attrs.get("constant") else first
    return replace(merged, tensors={**first.tensors, "bn_bias": first.tensors["bn_bias"] + second.tensors["bn_bias"]})


def shift_into_prelu(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """shift -> prelu, and prelu -> shift."""
    if is_shift(first) and float_op(second).takes_shifts and "before" not in second.tensors:
        return replace(second, inputs=first.inputs, tensors={**second.tensors, "before": first.tensors["bn_bias"]})
    if float_op(first).takes_shifts and is_shift(second) and "after" not in first.tensors:
        return replace(first, tensors={**first.tensors, "after": second.tensors["bn_bias"]})
    return None


def is_shift(node: Node) -> bool:
    """True for the addition of a constant for each channel, and nothing more."""
    plain = float_op(node).affine and node.attrs.get("constant") and "clamp" not in node.attrs
    return bool(plain and (node.tensors["bn_weight"] == 1).all() and "bn_weight" not in node.attrs.get("learns", ()))


def add_into_weight(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """conv2d or linear -> add: the other summand becomes its residual."""
    op = float_op(first)
    if "residual" not in op.roles or operand(first, "residual") is not None or not float_op(second).sums:
        return None
    (other,) = (name for i, name in enumerate(second.inputs) if i != index)
    if other == graph_input(graph):
        return None
    return replace(first, inputs=(*first.inputs, other))


def graph_input(graph: Graph) -> str:
    """The name of the image, which has a zero point per channel and so cannot be a residual."""
    return next(iter(graph.values))


def clamp_into_bounds(first: Node, second: Node, index: int, graph: Graph) -> Node | None:
    """Any op with an epilogue -> clamp; a second one where it stands for a rounding to codes of a type that is given."""
    given = second.attrs.get(GIVEN)
    if not (float_op(first).has_epilogue and float_op(second).clamps) or GIVEN in first.attrs:
        return None
    if given is None:
        return None if "clamp" in first.attrs else first.with_attrs(clamp=second.attrs["clamp"])
    lo, hi = second.attrs["clamp"]
    before = first.attrs.get("clamp", (None, None))
    bounds = tuple(end if one is None else min(max(one, lo), hi) for one, end in zip(before, (lo, hi), strict=True))
    return first.with_attrs(clamp=bounds, given=given)


RULES = (
    two_into_one,
    pad_into_conv,
    norm_into_weight,
    add_into_weight,
    shift_into_norm,
    shift_into_prelu,
    clamp_into_bounds,
)


def _merge(graph: Graph, rule: Rule) -> Graph:
    """Replace each pair (producer, node) that a rule accepts, where the node is the producer's one reader."""
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    reads.update(graph.outputs)
    names: dict[str, str] = {}
    kept: dict[str, Node] = {}
    values: dict[str, Value] = dict(graph.values)
    for node in graph.nodes:
        node = replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
        order = {name: position for position, name in enumerate(kept)}
        merged = None
        for index in sorted(range(len(node.inputs)), key=lambda i: -order.get(node.inputs[i], -1)):
            first = kept.get(node.inputs[index])
            if first is not None and reads[first.name] == 1:
                merged = rule(first, node, index, graph)
            if merged is not None:
                break
        if merged is None:
            kept[node.name] = node
            continue
        assert first is not None
        del kept[first.name]
        result, count = values.pop(node.name), reads[node.name]
        values.pop(first.name)
        kept[merged.name], values[merged.name], reads[merged.name] = merged, result, count
        names[node.name] = merged.name
    return replace(graph, nodes=tuple(kept.values()), values=values).ending(names)
