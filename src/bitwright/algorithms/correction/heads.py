"""Scales for the channels of queries, keys and values: the part of `equalize` that is for attention.

    q[c] *= s[c],  k[c] /= s[c]              scores stay what they are;  s[c] = (max |k[c]| / max |q[c]|)**(1/2)
    v[c] *= s[c],  W[:, c] /= s[c]           in the linear layers that read the result, whose channel c is a mean of v[c];
                                             s[c] = (max |v| / max |v[c]|)**(1/2), times what makes max |v| that of q and k
to steps of 2**(1/4). So each head, and each channel of it, uses as much of the codes as others, with one scale for the value:
queries, keys and values are often parts of one linear layer's result, and have one type then. Nothing of it is in the artifact.
Only layers of which nothing else is read are scaled, and a key that several heads share is left alone.
Xiao et al. 2023, "SmoothQuant", which scales one operand and undoes it in the other, for weights.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bitwright.algorithms.correction.channels import LARGEST, commutes, multiply, nearest_step, steps_down
from bitwright.graph import Node
from bitwright.ops import float_op, operand, roles_of, source
from bitwright.prepared import PreparedModel
from bitwright.prepared.ops.op import along

TINY = 1e-20


@dataclass(frozen=True)
class Written:
    """An operand of an attention: the layer that writes it, and which of that layer's channels each of its own is, [C]."""

    writer: str
    channels: Tensor


@dataclass(frozen=True)
class Heads:
    """An attention of which operands can be scaled: both queries and keys or neither, and the values or not.

    Fields:
        name: of the attention.
        query, key, value: its operands; None where one cannot be scaled.
        readers: of the value's scales: each layer that reads the result, and which of the writer's channels the means in its
            columns are of, [I].
    """

    name: str
    query: Written | None
    key: Written | None
    value: Written | None
    readers: tuple[tuple[str, Tensor], ...]

    @property
    def writers(self) -> list[str]:
        """The layers whose channels are scaled."""
        return list(dict.fromkeys(part.writer for part in (self.query, self.key, self.value) if part is not None))


def heads(prepared: PreparedModel) -> Iterator[Heads]:
    """Every attention of which operands can be scaled."""
    for node in prepared.graph.nodes:
        op = float_op(node)
        if op.carries is None:
            continue
        parts = {op.role(i): _written(prepared, node, name) for i, name in enumerate(node.inputs)}
        query, key, value = parts["codes"], parts["keys"], parts[op.carries]
        if query is None or key is None or not _paired(query, key):
            query = key = None
        readers = _readers(prepared, node, value) if value is not None and commutes(node) else ()
        if query is not None or readers:
            yield Heads(node.name, query, key, value if readers else None, readers)


def _written(prepared: PreparedModel, attention: Node, name: str) -> Written | None:
    """The layer that writes an operand, behind moves; None where it cannot be scaled for this attention alone."""
    graph, chain = prepared.graph, list[Node]()
    while name not in graph.inputs and _moves_one(graph[name]):
        chain.insert(0, graph[name])
        name = source(graph[name])
    if name in graph.inputs or not float_op(graph[name]).weighted:
        return None
    node = graph[name]
    fixed = bool(node.attrs.get("constant")) or operand(node, "residual") is not None or not commutes(node)
    if fixed or {reader.name for reader, _ in _behind_moves(prepared, name)} != {attention.name}:
        return None
    channels = _followed(prepared, name, torch.arange(graph.values[name].channels), chain)
    return None if channels is None else Written(name, channels)


def _readers(prepared: PreparedModel, attention: Node, value: Written) -> tuple[tuple[str, Tensor], ...]:
    """The layers that undo the scales of an attention's result; none where something else reads it."""
    found = []
    for reader, chain in _behind_moves(prepared, attention.name):
        columns = _followed(prepared, attention.name, value.channels, chain)
        read = chain[-1].name if chain else attention.name
        mixes = float_op(reader).weighted and reader.attrs.get("groups", 1) == 1
        if reader is attention or columns is None or not mixes or roles_of(reader, read) != {"codes"}:
            return ()
        found.append((reader.name, columns))
    return tuple(found)


def _behind_moves(prepared: PreparedModel, name: str) -> list[tuple[Node, list[Node]]]:
    """What reads a value, directly or behind moves, which come with it; an output reads itself."""
    graph, consumers = prepared.graph, prepared.graph.consumers()
    found = list[tuple[Node, list[Node]]]()
    waiting: list[tuple[str, list[Node]]] = [(name, [])]
    while waiting:
        name, chain = waiting.pop()
        if name in graph.outputs:
            found.append((graph[name], chain))
        for reader in consumers[name]:
            if _moves_one(reader):
                waiting.append((reader.name, [*chain, reader]))
            else:
                found.append((reader, chain))
    return found


def _moves_one(node: Node) -> bool:
    return float_op(node).moves and not float_op(node).joins


def _followed(prepared: PreparedModel, name: str, labels: Tensor, chain: list[Node]) -> Tensor | None:
    """The labels of a value's channels [C] behind these moves, one for each channel; None where one holds several of them."""
    value = prepared.graph.values[name]
    numbers = along(labels.float(), value.axis, len(value.shape) + 1).expand(1, *value.shape)
    for node in chain:
        numbers = prepared.layer(node.name)([numbers], quantized=False)
        value = prepared.graph.values[node.name]
    by_channel = numbers.movedim(value.axis, 0).flatten(1)
    return by_channel[:, 0].long() if bool((by_channel == by_channel[:, :1]).all()) else None


def _paired(query: Written, key: Written) -> bool:
    """Whether each channel of the queries meets one of the keys alone, wherever it does."""
    pairs = torch.stack([query.channels, key.channels]).unique(dim=1)
    return all(len(side.unique()) == pairs.shape[1] for side in pairs)


def apply(prepared: PreparedModel, of: Heads, largest: Mapping[str, Tensor]) -> None:
    """Scale the channels, given the greatest number of each channel of the writers in the original model."""
    scales = {name: torch.ones_like(largest[name]) for name in of.writers}
    met = 0.0
    if of.query is not None and of.key is not None:
        q, k = (largest[part.writer][part.channels].clamp_min(TINY) for part in (of.query, of.key))
        scale = nearest_step((k / q).sqrt().clamp(1 / LARGEST, LARGEST))
        scales[of.query.writer][of.query.channels] = scale
        scales[of.key.writer][of.key.channels] = 1 / scale
        met = float(torch.maximum(q * scale, k / scale).max())
    if of.value is not None:
        v = largest[of.value.writer][of.value.channels].clamp_min(TINY)
        shared = of.query is not None and prepared.owner[of.query.writer] == prepared.owner[of.value.writer]
        alike = met / float(v.max()) if shared else 1.0
        wanted = alike * (v.max() / v).clamp_max(LARGEST).sqrt()
        scales[of.value.writer][of.value.channels] = steps_down(wanted.clamp(1 / LARGEST, LARGEST))
    scale_heads(prepared, of, scales)


@torch.no_grad()
def scale_heads(prepared: PreparedModel, of: Heads, scales: Mapping[str, Tensor]) -> None:
    """Let the writers' channels be `scales` [O] times those of the original model, and undo it behind the values."""
    for name, scale in scales.items():
        layer = prepared.layer(name)
        factor = scale.to(layer.equalized) / layer.equalized
        multiply(layer, factor)
        layer.equalized.copy_(scale)
        if of.value is not None and of.value.writer == name:
            for reader, columns in of.readers:
                weight = prepared.layer(reader).tensors()["weight"]
                weight.div_(factor[columns].reshape(1, -1, *(1,) * (weight.dim() - 2)))


def undo(prepared: PreparedModel) -> bool:
    """Give the channels the size that they had in the original model; whether any had another."""
    scaled = False
    for of in heads(prepared):
        now = {name: prepared.layer(name).equalized for name in of.writers}
        if any(bool((scale != 1).any()) for scale in now.values()):
            scale_heads(prepared, of, {name: torch.ones_like(scale) for name, scale in now.items()})
            scaled = True
    return scaled
