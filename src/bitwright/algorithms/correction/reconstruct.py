"""`reconstruct`: learn the rounding of a whole block at once, with the scales of the activations in it and its corrections.

    minimise  (mean s * (block(x) - float block(x))**2 + decay * start * mean (1 - |2 h - 1|**beta)) / signal
    weight = step * (floor(w / step) + h),  h = clip(1.2 * sigmoid(v) - 0.1, 0, 1),  beta falls from 20 to 2
by Adam over v, scales and corrections on batches of cached inputs, from what `adaround` finds; `start` is the error so far,
s how much a place matters to the logits (importance.py).
Every number in a block is rounded with a chance of one half only, and else left as it is, which makes for flat minima.
Li et al. 2021, "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction"; Wei et al. 2022, "QDrop:
Randomly Dropping Quantization for Extremely Low-bit Post-Training Quantization"; scales as in Esser et al. 2020, "LSQ".
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from bitwright.algorithms.correction.adaround import up_or_down
from bitwright.algorithms.correction.blocks import blocks
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.clock import Span, parts
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.drop_round import Masks
from bitwright.algorithms.correction.importance import Importance
from bitwright.algorithms.correction.learning import (
    restore,
    run_nodes,
    run_with,
    shared_parameters,
    state_of,
    weighted,
)
from bitwright.algorithms.correction.moments import round_layers
from bitwright.algorithms.correction.path import Path
from bitwright.graph import Node
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.schemes import SCHEMES

STEPS = 300
BATCH = 32
RATE = 0.05
SCALE_RATE = 0.002
DECAY = 100.0
FREE = 0.2
"""The share of the steps without the term that drives h to 0 or 1."""
ROUNDED = 0.5
"""The share of the numbers that are rounded while learning."""
FIRST = 0.8
"""How near to the codes that it starts from h is, on the way from the float weight."""
JUDGED = 8
"""How many batches tell whether a block is better for what was learned."""
BEGUN = 0.3
"""The share of the work that finding those takes."""


class Reconstruct(Correction):
    name = "reconstruct"
    rounds = True
    most_images = 1024

    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        span = calibration.span
        begin = replace(calibration, progress=lambda share: calibration.progress(BEGUN * share))
        found = blocks(prepared.graph)
        names = {nodes[-1].name for nodes in found} | {
            node.name for node in prepared.graph.nodes if prepared.layer(node.name).quantizer
        }
        importance = Importance(prepared, calibration, self.most_images, names)
        with torch.no_grad():
            round_layers(prepared, begin, self.most_images, importance, up_or_down)
        exact, rounded = (
            Path(prepared, calibration, self.most_images, quantized=quantized) for quantized in (False, True)
        )
        generator = calibration.generator()
        sizes = [float(sum(_macs(prepared, layer) for layer in weighted(prepared, nodes))) for nodes in found]
        for i, nodes in enumerate(found):
            exact.compute(nodes)
            if sizes[i] and span.left:
                _learn_or_leave(prepared, nodes, exact, rounded, importance, generator, parts(span, sizes, i))
            exact.drop(nodes)
            rounded.advance(nodes)
            calibration.progress(BEGUN + (1 - BEGUN) * (i + 1) / len(found))


def _macs(prepared: PreparedModel, layer: Layer) -> int:
    """Multiply-adds of a layer for one image."""
    weight, shape = layer.tensors()["weight"], prepared.graph.values[layer.node.name].shape
    return weight[0].numel() * prod(shape)


class Soft:
    """A layer whose weight may lie between two numbers of its scheme."""

    def __init__(self, layer: Layer) -> None:
        assert layer.quantizer is not None
        self.layer, self.numbers = layer, SCHEMES[layer.quantizer.scheme]
        weight = layer.tensors()["weight"].detach()
        self.step = self.numbers.step * layer.quantizer.step(weight)
        last = (self.numbers.hi - self.numbers.lo) // self.numbers.step
        index = weight / self.step - self.numbers.lo / self.numbers.step
        codes = (layer.codes() - self.numbers.lo) / self.numbers.step
        self.floor = index.floor().clamp(0, last - 1)
        h = torch.lerp(index - self.floor, codes - self.floor, FIRST).clamp(0.01, 0.99)
        inside = (h + 0.1) / 1.2
        self.v = (inside / (1 - inside)).log().requires_grad_()

    def h(self) -> Tensor:
        return (1.2 * self.v.sigmoid() - 0.1).clamp(0, 1)

    def __call__(self, xs: list[Tensor]) -> Tensor:
        weight = self.step * (self.numbers.lo / self.numbers.step + self.floor + self.h())
        return run_with(self.layer, weight, xs)

    def undecided(self, beta: float) -> Tensor:
        """sum (1 - |2 h - 1|**beta)"""
        return (1 - (2 * self.h() - 1).abs().pow(beta)).sum()

    def settle(self) -> None:
        """Give the layer the nearest codes."""
        self.layer.set_codes(self.numbers.lo + self.numbers.step * (self.floor + self.h().detach().round()))


def _learn_or_leave(
    prepared: PreparedModel,
    nodes: Sequence[Node],
    exact: Path,
    rounded: Path,
    importance: Importance,
    generator: torch.Generator,
    span: Span,
) -> None:
    """Learn, and go back to the start if the block is no better for it."""
    before, error = state_of(prepared, nodes), _error(prepared, nodes, exact, rounded, importance)
    _learn(prepared, nodes, exact, rounded, importance, generator, span)
    if _error(prepared, nodes, exact, rounded, importance) >= error:
        restore(prepared, nodes, before)


@torch.no_grad()
def _error(prepared: PreparedModel, nodes: Sequence[Node], exact: Path, rounded: Path, importance: Importance) -> float:
    """The mean squared error of the block's result, with everything rounded."""
    output, errors = nodes[-1].name, []
    axis = prepared.graph.values[output].axis
    for rows in exact.rows[:JUDGED]:
        found = rounded.run(nodes, rows)[output]
        errors.append(importance.error(output, found, exact.read(output, rows), rows, axis).item() * len(found))
    return sum(errors)


def _learn(
    prepared: PreparedModel,
    nodes: Sequence[Node],
    exact: Path,
    rounded: Path,
    importance: Importance,
    generator: torch.Generator,
    span: Span,
) -> None:
    made, output = {node.name for node in nodes}, nodes[-1].name
    inputs = list(dict.fromkeys(name for node in nodes for name in node.inputs if name not in made))
    soft = {layer.node.name: Soft(layer) for layer in weighted(prepared, nodes)}
    batch = min(BATCH, exact.count)
    shapes = [prepared.graph.values[name].shape for name in (*inputs, *made)]
    masks = Masks(ROUNDED, batch * max(map(prod, shapes)), generator)
    weights = sum(layer.v.numel() for layer in soft.values())
    axis = prepared.graph.values[output].axis
    signal = exact.read(output, exact.rows[0]).var().item() + 1e-12
    start, free = 0.0, 0
    with shared_parameters(prepared, nodes, SCALE_RATE) as groups:
        optimizer = torch.optim.Adam([{"params": [layer.v for layer in soft.values()], "lr": RATE}, *groups])
        for step in range(1, STEPS + 1):
            rows = torch.randint(exact.count, (batch,), generator=generator)
            values = {}
            for name in inputs:
                q = rounded.read(name, rows)
                values[name] = torch.lerp(exact.read(name, rows), q, masks.like(q))
            y = run_nodes(prepared, nodes, values, soft, masks)
            loss = importance.error(output, y, exact.read(output, rows), rows, axis) / signal
            done = span.progress(step / STEPS)
            progress = (done - FREE) / (1 - FREE)
            if progress <= 0:
                start, free = start + loss.item() / (FREE * STEPS), free + 1
            else:
                undecided = sum(layer.undecided(20 - 18 * progress) for layer in soft.values())
                mean = start * (FREE * STEPS / max(free, 1))
                loss = loss + DECAY * mean / weights * undecided
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if done >= 1:
                break
    for layer in soft.values():
        layer.settle()
