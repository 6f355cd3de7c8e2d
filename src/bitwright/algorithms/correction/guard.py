"""A correction may never make it worse: each one's effect is measured on the integers, and what does not help is undone.

    SQNR = 10 log10 (sum y**2 / sum (y - y_q)**2) dB,    y the float model's logits, y_q the integer model's
on images that no correction has seen.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration, batch_of
from bitwright.algorithms.correction.channels import Extremes
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.sample import Picked
from bitwright.algorithms.ranges import Range
from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.ops import float_op
from bitwright.prepared import PreparedModel
from bitwright.prepared.histogram import Histogram
from bitwright.prepared.quantizers import Edge

MOST_DB = 200.0
"""Stands for any SQNR that is higher: that of models that agree to the bit is infinite."""


@dataclass(frozen=True)
class Verdict:
    """What a correction did to the SQNR of the logits, and whether it was kept."""

    name: str
    before_db: float
    after_db: float

    @property
    def kept(self) -> bool:
        return self.after_db > self.before_db

    def __str__(self) -> str:
        return f"{self.name}: {self.before_db:.1f} -> {self.after_db:.1f} dB" + ("" if self.kept else ", undone")

    def to_json(self) -> dict[str, Any]:
        """Plain data, to a hundredth of a dB."""
        before, after = round(self.before_db, 2), round(self.after_db, 2)
        return {"name": self.name, "before_db": before, "after_db": after, "kept": self.kept, "text": str(self)}


@dataclass(frozen=True)
class Yardstick:
    """Images [N, H, W, C] with the float model's logits [N, classes]; says how near to these the integer model comes."""

    images: Picked
    logits: Tensor

    def sqnr_db(self, prepared: PreparedModel) -> float:
        """The SQNR of the integer model of this moment, as the engine runs it."""
        engine = Engine(Artifact(prepared.lower(), prepared.preprocess))
        noise = 0.0
        for start in range(0, len(self.images), 32):
            rows = slice(start, start + 32)
            found = engine(self.images[rows].numpy())
            noise += float(np.square(found.astype(np.float64) - self.logits[rows].double().numpy()).sum())
        signal = float(self.logits.double().square().sum())
        return min(10 * math.log10(signal / noise), MOST_DB) if noise > 0 and signal > 0 else MOST_DB


class State:
    """Parameters, scales and histograms of a prepared model as they are now."""

    def __init__(self, prepared: PreparedModel) -> None:
        self._prepared = prepared
        self._tensors = {name: tensor.detach().clone() for name, tensor in prepared.state_dict().items()}
        self._histograms = [edge.histogram for edge in _edges(prepared)]

    def changed(self, suffix: str) -> set[str]:
        """The layers whose tensor of that name is another one now."""
        tensors = self._prepared.state_dict()
        names = {
            node.name: f"layers.{key}.{suffix}"
            for node, key in zip(self._prepared.graph.nodes, self._prepared.layers, strict=True)
        }
        return {
            node
            for node, name in names.items()
            if name in tensors and not torch.equal(tensors[name], self._tensors[name])
        }

    def restore(self) -> None:
        """Make it what it was, to the bit."""
        self._prepared.load_state_dict(self._tensors)
        for edge, histogram in zip(_edges(self._prepared), self._histograms, strict=True):
            edge.histogram = histogram


@dataclass(frozen=True)
class Corrector:
    """Runs corrections on a model whose ranges are chosen.

    Fields:
        again: images that changed values are observed on again; their extremes over all images are known.
        yardstick: judges the corrections; without one they are all kept.
    """

    prepared: PreparedModel
    calibration: Calibration
    algorithm: Range
    extremes: Extremes
    again: Picked
    yardstick: Yardstick | None
    stages: Callable[[str, float], None] | None = None

    def run(self, steps: Sequence[Correction]) -> list[Verdict]:
        """Apply these in turn, those that change the float parameters first; undo what does not help."""
        steps = sorted(steps, key=lambda step: not step.before_ranges)
        before = self.yardstick.sqnr_db(self.prepared) if self.yardstick is not None and steps else 0.0
        verdicts = []
        for step in steps:
            state = State(self.prepared)
            tell = partial(self.stages, step.name) if self.stages is not None else lambda share: None
            step.apply(self.prepared, replace(self.calibration, progress=tell))
            if step.before_ranges:
                self._choose_again(state)
            if self.yardstick is not None:
                verdict = Verdict(step.name, before, self.yardstick.sqnr_db(self.prepared))
                verdicts.append(verdict)
                if verdict.kept:
                    before = verdict.after_db
                else:
                    state.restore()
        return verdicts

    def _choose_again(self, before: State) -> None:
        """Choose the ranges of whatever a correction has scaled."""
        prepared = self.prepared
        scaled = {name: name for name in before.changed("equalized")}
        for node in prepared.graph.nodes:
            moves = float_op(node).requantizes or float_op(node).passes_type
            for name in node.inputs:
                if moves and name in scaled:
                    scaled[node.name] = scaled[name]
        edges = {prepared.owner[name] for name in scaled if name in prepared.owner}
        for name in edges:
            edge = prepared.edge(name)
            assert edge is not None
            edge.histogram = Histogram()
        size = batch_of(self.again.shape[1:])
        for start in range(0, len(self.again), size):
            images = self.again[slice(start, start + size)]
            prepared.observe(images.to(prepared.image_scale.device), edges=edges)
        for name, source in scaled.items():
            edge = prepared.edge(name)
            if edge is not None:
                edge.histogram.extend(*self.extremes.ends(source, prepared.layer(source).equalized))
        prepared.choose_ranges(self.algorithm, edges=edges, layers=before.changed("weight"))


def _edges(prepared: PreparedModel) -> list[Edge]:
    return [edge for edge in prepared.edges.values() if isinstance(edge, Edge)]
