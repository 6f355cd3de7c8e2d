"""Faults to plant in an artifact, each as it happens to people: in the file, in a range, in a recipe, in front of the model."""

from dataclasses import replace
from typing import Any

import numpy as np

from bitwright.artifact import Artifact, from_bytes
from bitwright.graph import Node


def with_node(artifact: Artifact, name: str, **tensors: Any) -> Artifact:
    """The artifact with other tensors in one node, read back from its bytes."""
    nodes = tuple(changed(node, tensors) if node.name == name else node for node in artifact.graph.nodes)
    return from_bytes(replace(artifact, graph=replace(artifact.graph, nodes=nodes)).data)


def changed(node: Node, tensors: dict[str, Any]) -> Node:
    return replace(node, tensors={**node.tensors, **tensors})


def damaged(artifact: Artifact, layer: str, channels: slice = slice(3, 6)) -> Artifact:
    """A block of a layer's weights has other bytes: three whole output channels."""
    weight = artifact.graph[layer].tensors["weight"].copy()
    weight[channels] = np.random.default_rng(0).integers(-127, 128, weight[channels].shape)
    return with_node(artifact, layer, weight=weight)


def dead(artifact: Artifact, layer: str, channels: slice) -> Artifact:
    """Channels that give their zero point whatever they read."""
    node, type_ = artifact.graph[layer], artifact.graph.values[layer].type
    assert type_ is not None
    m, b = node.tensors["m"].copy(), node.tensors["b"].copy()
    m[channels], b[channels] = 0, type_.one_shift
    return with_node(artifact, layer, m=m, b=b)


def multiplied(artifact: Artifact, layer: str, factor: float, channels: slice = slice(None)) -> Artifact:
    """Multipliers that are not the right ones; where they are too large, codes pile up at the greatest."""
    m = artifact.graph[layer].tensors["m"].copy()
    m[channels] *= np.float32(factor)
    return with_node(artifact, layer, m=m)


def shifted(artifact: Artifact, layer: str, codes: float, channels: slice) -> Artifact:
    """Biases that are off by so many codes."""
    b = artifact.graph[layer].tensors["b"].copy()
    b[channels] += np.float32(codes)
    return with_node(artifact, layer, b=b)


def without_biases(artifact: Artifact, layer: str) -> Artifact:
    """Biases that somebody forgot to write."""
    return with_node(artifact, layer, b=np.zeros_like(artifact.graph[layer].tensors["b"]))


def shuffled(artifact: Artifact, count: int, seed: int = 0) -> Artifact:
    """The names of the first `count` classes in another order."""
    assert artifact.classes is not None
    order = [*np.random.default_rng(seed).permutation(count), *range(count, len(artifact.classes))]
    return replace(artifact, classes=tuple(artifact.classes[i] for i in order))
