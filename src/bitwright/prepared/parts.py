"""A value in two parts of 8 bits: some channels in coarse steps, and what these leave of them beside all other channels.

    part = -(the layer's channels in question, 0 elsewhere)       y = layer + part       y - part in every norm that reads y

`part` is one more linear layer, whose rows are those of the layer or 0. The layer adds it as its residual, so that it writes
what rounding to the part's steps has left of these channels; and norms, which read sums, subtract it again. All of it is made
of ops that are there. A few tokens of a transformer hold numbers in one or two channels that are hundreds of times the rest
(Sun et al. 2024, "Massive Activations in Large Language Models"), and no step of one size is right for both.
"""

from dataclasses import replace

import torch
from torch import nn

from bitwright.graph import Node
from bitwright.prepared.layer import Layer
from bitwright.prepared.model import PreparedModel, key_of
from bitwright.prepared.quantizers import ActivationQuantizer

SUFFIX = ".large"


@torch.no_grad()
def split(prepared: PreparedModel, name: str, channels: torch.Tensor) -> str:
    """Write these channels [C] (bool) of a linear layer, which only norms of sums read, in two parts; the new one's name."""
    layer, graph = prepared.layer(name), prepared.graph
    assert layer.quantizer is not None
    part = name + SUFFIX
    node = graph[name]
    tensors = {key: -tensor.where(_column(channels, tensor), 0.0) for key, tensor in layer.tensors().items()}
    new = Node(part, node.op, node.inputs, node.attrs, {k: t.numpy() for k, t in tensors.items()}, node.origin)
    nodes: list[Node] = []
    for old in graph.nodes:
        if old.name == name:
            nodes += [new, replace(old, inputs=(*old.inputs, part))]
        else:
            nodes.append(replace(old, inputs=(*old.inputs, part)) if name in old.inputs else old)
    prepared.graph = replace(graph, nodes=tuple(nodes), values={**graph.values, part: graph.values[name]})
    layers = dict(prepared.layers.items())
    groups = layer.quantizer.scale.shape[1] if layer.quantizer.scale.dim() > 1 else 1
    layers[key_of(part)] = Layer(new, layer.quantizer.scheme, None, groups, layer.axis)
    prepared.layers = nn.ModuleDict({key_of(node.name): layers[key_of(node.name)] for node in nodes})
    for node in nodes:
        _renew(prepared.layer(node.name), node, part)
    scheme = prepared.quantizers[key_of(prepared.owner[name])].scheme
    prepared.quantizers[key_of(part)] = ActivationQuantizer(part, str(scheme))
    prepared.owner[part], prepared.ruled_by[part] = part, prepared.ruled_by[prepared.owner[name]]
    prepared.parts[name] = part
    return part


def _renew(layer: Layer, node: Node, part: str) -> None:
    """Let a layer know of one more operand, and a norm subtract it."""
    if layer.node.inputs == node.inputs:
        return
    layer.node = replace(layer.node, inputs=node.inputs)
    if "factors" in layer.names:
        factors = layer.tensors()["factors"]
        layer.factors = torch.cat([factors, -torch.ones_like(factors[:1])])


def _column(channels: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    return channels.reshape(-1, *(1,) * (tensor.dim() - 1))
