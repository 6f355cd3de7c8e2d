"""Scales for the channels of tokens: the part of `equalize` that is for transformers.

    y[c] *= s[c], undone in every reader,    s[c] = (max |y| / max |y[c]|)**p, down to a power of 2**(1/4)

| y | undone in | p |
| --- | --- | --- |
| what a layer or a constant adds to a stream that norms read | the norms' factors for that summand | 1 |
| what a linear layer writes for a function of one number (GELU) | the function, then one table for each channel | 1 |
| such a function | the columns of the linear layers that read it | 1/2 |
| a layer norm | the columns of the linear layers that read it | 1 |

A summand may reach the norms through moves, as a class token beside patches does; then all that is moved there shares s.
Factors cost a stream and a table no precision, so they take all of s. Columns of weights lose what activations gain. A norm's
channels differ by its gain, which rows of weights see anyway, so that here the columns become alike; RepQ-ViT does that, too.
Li et al. 2023, "RepQ-ViT: Scale Reparameterization for Post-Training Quantization of Vision Transformers".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bitwright.algorithms.correction.channels import (
    LARGEST,
    commutes,
    divide,
    multiply,
    reading,
    steps_down,
    takes_factors,
    weighs,
)
from bitwright.graph import Node, Value
from bitwright.ops import float_op, operand
from bitwright.prepared import PreparedModel
from bitwright.prepared.ops.op import along


@dataclass(frozen=True)
class Move:
    """A value whose channels can be scaled, the layers that write them, and how much of what they differ by."""

    name: str
    writers: tuple[str, ...]
    share: float


def moves(prepared: PreparedModel) -> Iterator[Move]:
    """Every value over tokens whose channels can be scaled."""
    for node in prepared.graph.nodes:
        if not prepared.graph.values[node.name].channel or node.name in prepared.graph.outputs:
            continue
        readers = reading(prepared, node.name)
        if not readers:
            continue
        weighing = all(weighs(prepared, *reader) for reader in readers)
        if all(takes_factors(prepared.layer(reader.name)) and node.name in reader.inputs for reader, _ in readers):
            if writers := _writers(prepared, node):
                yield Move(node.name, writers, 1.0)
        elif weighing and commutes(node) and "writes" in prepared.layer(node.name).names:
            yield Move(node.name, (node.name,), 0.5)
        elif weighing and commutes(node) and float_op(node).smoothable and not float_op(node).weighted:
            yield Move(node.name, (node.name,), 1.0)


def _writers(prepared: PreparedModel, node: Node) -> tuple[str, ...]:
    """The layers and constants that write a value's channels, behind any moves; none where one of them cannot be scaled."""
    op, graph = float_op(node), prepared.graph
    part = operand(node, "residual")
    if part is not None and prepared.parts.get(node.name) == part:
        return node.name, part
    scales = op.weighted and part is None and not node.attrs.get("constant") and commutes(node)
    if not node.inputs or scales:
        return (node.name,)
    if not op.moves or not _keeps_channels(prepared, node):
        return ()
    found: list[str] = []
    for name in node.inputs:
        if name in graph.inputs or name in graph.outputs or len(graph.consumers()[name]) > 1:
            return ()
        writers = _writers(prepared, graph[name])
        if not writers:
            return ()
        found += writers
    return tuple(found)


def _keeps_channels(prepared: PreparedModel, node: Node) -> bool:
    """Whether a move leaves every number in its channel: found by moving the numbers of the channels."""

    def numbers(value: Value) -> Tensor:
        of_channels = torch.arange(1.0, value.channels + 1)
        return along(of_channels, value.axis, len(value.shape) + 1).expand(1, *value.shape)

    graph = prepared.graph
    moved = prepared.layer(node.name)([numbers(value) for value in graph.inputs_of(node)], quantized=False)
    return bool(torch.equal(moved, numbers(graph.values[node.name])))


def apply(prepared: PreparedModel, move: Move, size: Tensor) -> None:
    """Scale the channels of a value, given the greatest |y| of each channel in the original model."""
    ratio = (size.max() / size.clamp_min(1e-20)).clamp(1, LARGEST)
    scale_channels(prepared, move, steps_down(ratio**move.share))


@torch.no_grad()
def scale_channels(prepared: PreparedModel, move: Move, scale: Tensor) -> None:
    """Let a value's channels be `scale` [C] times those of the original model, and undo it in its readers."""
    writers = [prepared.layer(name) for name in move.writers]
    factor = scale / writers[0].equalized
    for writer in writers:
        multiply(writer, factor)
        writer.equalized.copy_(scale)
    readers = [reader for reader, _ in reading(prepared, move.name)]
    for name in dict.fromkeys((move.name, *move.writers)):  # a part is read where the value is
        divide([prepared.layer(reader.name) for reader in readers if name in reader.inputs], name, factor)
