"""Channels of one layer scaled up and the layers that read them scaled down: what `equalize` and `smooth` share.

Scales are powers of 2**(1/4), so the float model stays what it was but for the last bit of its weights; `Layer.equalized`
remembers them. Powers of two would leave every bit, but half an octave of a channel's codes unused: 0.9 dB of MobileNetV2.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from bitwright.graph import Node
from bitwright.ops import float_op, roles_of, source
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.ops.op import along

LARGEST = 2.0**6
"""A channel that is quieter than that on all images keeps room: the greatest number that was seen is no bound."""

STEPS = 4
"""Scales an octave: as good as any number, and far enough apart for `audit` to tell a scale from an error of rounding."""


def commutes(node: Node) -> bool:
    """Whether a node's clamp clips the same values when channels grow, though none beyond the greatest one.

    It does at zero, in [0, hi] and in [-hi, hi], where a channel that is clipped is a greatest one; elsewhere it may not.
    """
    lo, hi = node.attrs.get("clamp", (None, None))
    return (not lo and not hi) or (hi is not None and lo is not None and lo in (0, -hi))


def is_channelwise(reader: Layer) -> bool:
    """Whether each channel it reads has output channels, and so scales, of its own: a depthwise layer, or a batch norm."""
    return float_op(reader.node).affine or bool(reader.node.attrs.get("groups", 1) > 1)


def rescale(layer: Layer, readers: Iterable[Layer], scale: Tensor) -> None:
    """Let the channels of `layer` be `scale` [C] times those of the original model, and undo it in the readers."""
    factor = scale / layer.equalized
    multiply(layer, factor)
    layer.equalized.copy_(scale)
    divide(readers, layer.node.name, factor)


def multiply(layer: Layer, factor: Tensor) -> None:
    """Multiply the channels that a layer writes by `factor` [C]."""
    tensors = layer.tensors()
    if "value" in tensors:
        value = tensors["value"]
        value.mul_(along(factor, layer.axis - 1, value.dim()))
    for name in layer.gain_and_shift:
        if name in tensors:
            tensors[name].mul_(factor.reshape(-1, *(1,) * (tensors[name].dim() - 1)))


def divide(readers: Iterable[Layer], name: str, factor: Tensor) -> None:
    """Let these layers divide the channels of the value called `name`, which they read, by `factor` [C]."""
    for reader in readers:
        if "reads" in reader.names:
            reader.tensors()["reads"].div_(factor)
            continue
        if "factors" in reader.names:
            rows = [i for i, value in enumerate(reader.node.inputs) if value == name]
            reader.tensors()["factors"][rows] /= factor
            continue
        if float_op(reader.node).affine:
            _divide_norm(reader, factor)
            continue
        weight = reader.tensors()["weight"]
        if is_channelwise(reader):
            weight.div_(factor.repeat_interleave(len(weight) // len(factor)).reshape(-1, 1, 1, 1))
        else:
            weight.div_(factor.reshape(1, -1, *(1,) * (weight.dim() - 2)))


def _divide_norm(reader: Layer, factor: Tensor) -> None:
    """Let a batch norm read channels `factor` times as large: its statistics are theirs, whether stored or a batch's."""
    tensors, eps = reader.tensors(), reader.node.attrs["eps"]
    before = tensors["bn_var"].add(eps).rsqrt()
    tensors["bn_mean"].mul_(factor)
    tensors["bn_var"].mul_(factor.square())
    tensors["bn_weight"].mul_(before / (factor * tensors["bn_var"].add(eps).rsqrt()))


def takes_factors(reader: Layer) -> bool:
    """Whether it has a factor for each channel that it reads, apart from any weight: a norm of a sum, a function of tokens."""
    return "factors" in reader.names or "reads" in reader.names


def reading(prepared: PreparedModel, name: str) -> list[tuple[Node, set[str]]]:
    """The nodes that read a value, directly or in codes of another type, and the roles in which they do."""
    consumers = prepared.graph.consumers()
    found, names = list[tuple[Node, set[str]]](), [name]
    while names:
        name = names.pop()
        for reader in consumers[name]:
            if float_op(reader).requantizes and reader.name not in prepared.graph.outputs:
                names.append(reader.name)
            else:
                found.append((reader, roles_of(reader, name)))
    return found


def weighs(prepared: PreparedModel, reader: Node, roles: set[str]) -> bool:
    """Whether a node multiplies each channel that it reads by weights of its own, or is a batch norm."""
    grouped = reader.attrs.get("groups", 1) not in (1, prepared.graph.values[source(reader)].channels)
    op = float_op(reader)
    return (op.weighted or op.affine) and roles == {"codes"} and not grouped


def readers_of(prepared: PreparedModel, name: str) -> list[Layer]:
    """The layers that weigh a value's channels; none if anything else reads them."""
    readers = reading(prepared, name)
    alone = all(weighs(prepared, *reader) for reader in readers)
    return [prepared.layer(reader.name) for reader, _ in readers] if alone else []


def scaled_with(prepared: PreparedModel, name: str) -> list[Layer]:
    """The layers that undo the scales of a value's channels, where residual connections may add it to what has the same ones;
    none if anything else reads it."""
    readers = reading(prepared, name)
    undoing = [
        reader
        for reader, roles in readers
        if weighs(prepared, reader, roles) or takes_factors(prepared.layer(reader.name))
    ]
    alone = all(reader in undoing or roles == {"residual"} for reader, roles in readers)
    return [prepared.layer(reader.name) for reader in undoing] if alone else []


def steps_down(scale: Tensor) -> Tensor:
    """The greatest scale that is used and is not above each of these."""
    return torch.exp2(torch.floor(STEPS * torch.log2(scale)) / STEPS)


def nearest_step(scale: Tensor) -> Tensor:
    """The nearest scale that is used."""
    return torch.exp2(torch.round(STEPS * torch.log2(scale)) / STEPS)
