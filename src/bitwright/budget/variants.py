"""Variants: the integer model with one layer's weights, or one value's codes, at another width and all else as it was.

A variant is a few integer nodes that take the place of the base's, so that measuring it needs no torch.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bitwright.algorithms.ranges import range_algorithm
from bitwright.budget.probe import Task, Variant
from bitwright.graph import Graph, Node
from bitwright.ops import float_op
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.walk import walk

Wanted = Mapping[tuple[str, str], tuple[int, ...]]
"""The widths to measure of each (layer, "weights" or "activations")."""


@dataclass(frozen=True)
class Base:
    """A calibrated model, and its integers."""

    prepared: PreparedModel
    graph: Graph


def tasks(base: Base, wanted: Wanted, images: Tensor, compared: int) -> Iterator[Task]:
    """What to measure, layer by layer, in one walk through the float model on `images`, uint8 [N, H, W, C].

    A layer's result on the first `compared` images goes along, to compare with. Weights get back the mean of their layer's
    result on all of `images`, where the recipe corrects means.
    """
    prepared = base.prepared

    @torch.no_grad()
    def run(node: Node, xs: list[Tensor]) -> Tensor:
        value: Tensor = prepared.layer(node.name)(xs, quantized=False)
        return value

    for node, xs, result in walk(prepared.steps(), {prepared.graph.input: prepared.real_input(images)}, run):
        y = result[:compared].numpy().copy()
        if bits := wanted.get((node.name, "weights")):
            layer = prepared.layer(node.name)
            yield Task(node.name, "weights", node.name, y, [_weights(base, layer, b, xs) for b in bits])
        for rule, values in rules(prepared).items():
            if values[-1] == node.name and (bits := wanted.get((rule, "activations"))):
                yield Task(rule, "activations", node.name, y, [_activations(base, values, b) for b in bits])


def rules(prepared: PreparedModel) -> dict[str, list[str]]:
    """The values whose quantizers each layer's rule gives a scheme to, in order."""
    found: dict[str, list[str]] = {}
    for value, rule in prepared.ruled_by.items():
        found.setdefault(rule, []).append(value)
    return found


@torch.no_grad()
def _weights(base: Base, layer: Layer, bits: int, xs: list[Tensor]) -> Variant:
    prepared, changed = base.prepared, copy.deepcopy(layer)
    algorithm = prepared.calibrator.range_for(layer.node.name, range_algorithm(prepared.recipe.range))
    assert changed.quantizer is not None
    changed.quantizer.scheme = f"int{bits}"
    changed.quantizer.choose_range(algorithm, changed.tensors()["weight"])
    if "bias_correct" in prepared.recipe.algorithms:
        moved = layer(xs, quantized=True, clamped=False) - changed(xs, quantized=True, clamped=False)
        changed.correction.add_(moved.double().mean([axis for axis in range(moved.dim()) if axis != layer.axis]))
    node, values = changed.float_node(), base.graph.values
    lowered = float_op(node).lower(node, [values[name] for name in node.inputs], values[node.name])
    return Variant(bits, (lowered,), {})


def _activations(base: Base, owners: list[str], bits: int) -> Variant:
    prepared, usual = base.prepared, range_algorithm(base.prepared.recipe.range)
    types = {}
    for name in owners:
        quantizer = copy.deepcopy(prepared.quantizer(name))
        assert isinstance(quantizer, ActivationQuantizer)
        quantizer.scheme = f"uint{bits}"
        algorithm = prepared.calibrator.range_for_codes(name, usual)
        quantizer.choose_range(algorithm, prepared.calibrator.read_through(name))
        types[name] = quantizer.qtype
    changed = {
        name: replace(value, type=types[prepared.owner[name]])
        for name, value in base.graph.values.items()
        if prepared.owner.get(name) in types
    }
    values, nodes = {**base.graph.values, **changed}, []
    for node in prepared.graph.nodes:
        if node.name in changed or changed.keys() & set(node.inputs):
            inputs = [values[name] for name in node.inputs]
            nodes.append(float_op(node).lower(prepared.layer(node.name).float_node(), inputs, values[node.name]))
    return Variant(bits, tuple(nodes), changed)
