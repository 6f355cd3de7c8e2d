"""A correction may never make it worse: each one's effect is measured on the integers, and what does not help is undone.

    KL   = mean over images of sum p log(p / p_q),    p the float model's probabilities of the classes, p_q the integer model's
    SQNR = 10 log10 (sum y**2 / sum (y - y_q)**2) dB,    y the float model's logits, y_q the integer model's
on images that no correction has seen. The gain is that of both, in dB:
    gain = SQNR after - SQNR before + 10 log10 ((KL before + 0.01) / (KL after + 0.01))
The SQNR alone is made by the largest logits, also those of classes that are never likely; the KL alone by the few images that
the float model is not certain of, so that it counts only where it is large enough to change answers.

Corrections that are quick are not judged one after the other: one may help only beside another (equalize makes the errors of
channels alike, and bias_correct then finds them). Every choice among them is measured, and the best is kept, where each
correction that it has costs LEAST_GAIN_DB: of choices that are alike, the one with fewer corrections is taken.
The slow correction that follows them is tried beside that choice and beside all of them, and the best of all is kept: what it
makes good for (the rounding of weights whose columns equalize has made unlike) is not to be seen without it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.algorithms.correction.calibration import Calibration, batch_of
from bitwright.algorithms.correction.clock import Span
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.extremes import Extremes
from bitwright.algorithms.correction.sample import Picked
from bitwright.algorithms.ranges import Range
from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.graph import Node
from bitwright.ops import float_op
from bitwright.prepared import PreparedModel
from bitwright.prepared.class_logits import class_logits
from bitwright.prepared.histogram import Histogram
from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.prepared.value_types import first_and_last
from bitwright.progress import SILENT, Progress
from bitwright.records import correction_words

LEAST_KL = 0.01
"""Nats; a divergence well below that is of a model that answers as the float one does, but for one image in a hundred."""
LEAST_GAIN_DB = 0.2
"""Less is chance: on LeNet `equalize` gains 0.15 dB on the images that judge it, and loses 0.5 on a thousand others."""
MOST_DB = 200.0
"""Stands for any SQNR that is higher: that of models that agree to the bit is infinite."""


@dataclass(frozen=True)
class Distance:
    """How far an integer model is from the float one: the divergence of its classes in nats, and its logits' SQNR in dB."""

    kl: float
    db: float

    def gain_db(self, after: "Distance") -> float:
        """How much nearer the integer model has come."""
        return after.db - self.db + 10 * math.log10((self.kl + LEAST_KL) / (after.kl + LEAST_KL))


@dataclass(frozen=True)
class Verdict:
    """What a correction did to the distance from the float model, and so whether it was kept."""

    name: str
    before: Distance
    after: Distance
    kept: bool

    def __str__(self) -> str:
        return correction_words(self.to_json())

    @property
    def text(self) -> str:
        """The same as files have it: before and after."""
        before, after = self.before, self.after
        if after == before:
            return f"{self.name}: changed nothing"
        told = f"{before.db:.1f} -> {after.db:.1f} dB, KL {before.kl:.2g} -> {after.kl:.2g}"
        return f"{self.name}: {told}" + ("" if self.kept else ", undone")

    def to_json(self) -> dict[str, Any]:
        """Plain data: dB to a hundredth, KL in nats to four digits."""
        ends = {"before": self.before, "after": self.after}
        found = {f"{end}_{unit}": value for end, at in ends.items() for unit, value in _rounded(at)}
        return {"name": self.name, **found, "kept": self.kept, "text": self.text}


def _rounded(distance: Distance) -> list[tuple[str, float]]:
    return [("db", round(distance.db, 2)), ("kl", float(f"{distance.kl:.4g}"))]


@dataclass(frozen=True)
class Yardstick:
    """Images [N, H, W, C] with the float model's logits [N, classes]; says how near to these the integer model comes."""

    images: Picked
    logits: Tensor

    def distance(self, prepared: PreparedModel) -> Distance:
        """The distance of the integer model of this moment, as the engine runs it."""
        engine = Engine(Artifact(prepared.lower(), prepared.preprocess))
        batches = [slice(start, start + 32) for start in range(0, len(self.images), 32)]
        found = torch.cat([torch.from_numpy(engine(self.images[rows].numpy())) for rows in batches]).double()
        wanted = self.logits.double()
        signal, noise = float(wanted.square().sum()), float((found - wanted).square().sum())
        db = min(10 * math.log10(signal / noise), MOST_DB) if noise > 0 and signal > 0 else MOST_DB
        p_q, p = (class_logits(logits).log_softmax(1) for logits in (found, wanted))
        return Distance(float(F.kl_div(p_q, p, reduction="batchmean", log_target=True)), db)


class State:
    """Parameters, scales and histograms of a prepared model as they are now."""

    def __init__(self, prepared: PreparedModel) -> None:
        self._prepared = prepared
        self._tensors = {name: tensor.detach().clone() for name, tensor in prepared.state_dict().items()}
        self._histograms = [quantizer.histogram for quantizer in _quantizers(prepared)]

    def changed(self, suffix: str) -> set[str]:
        """The layers whose tensor of that name has changed since."""
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

    def is_current(self) -> bool:
        """Whether nothing has been changed since."""
        tensors = self._prepared.state_dict()
        return all(torch.equal(tensors[name], tensor) for name, tensor in self._tensors.items())

    def restore_layer(self, name: str) -> None:
        """Make the tensors of one layer what they were."""
        index = [node.name for node in self._prepared.graph.nodes].index(name)
        prefix = f"layers.{list(self._prepared.layers)[index]}."
        own = {key.removeprefix(prefix): tensor for key, tensor in self._tensors.items() if key.startswith(prefix)}
        self._prepared.layer(name).load_state_dict(own)

    def restore(self) -> None:
        """Make it what it was, to the bit."""
        self._prepared.load_state_dict(self._tensors)
        for quantizer, histogram in zip(_quantizers(self._prepared), self._histograms, strict=True):
            quantizer.histogram = histogram


@dataclass
class Tries:
    """The distance of every choice among some corrections, by the names of those applied, and the model at the best of them."""

    distances: dict[tuple[str, ...], Distance]
    best: tuple[str, ...]
    state: State

    def add(self, applied: tuple[str, ...], distance: Distance, prepared: PreparedModel) -> None:
        """Note a choice. The first one stays the best among equally good ones."""
        self.distances[applied] = distance
        more = len(applied) - len(self.best)
        if self.distances[self.best].gain_db(distance) > LEAST_GAIN_DB * more:
            self.best, self.state = applied, State(prepared)

    def add_the_same(self, applied: tuple[str, ...], name: str) -> None:
        """One more correction changed nothing, so what was measured beside these holds with it as well."""
        n = len(applied)
        measured = [(c[n:], distance) for c, distance in self.distances.items() if c[:n] == applied]
        self.distances |= {(*applied, name, *beside): distance for beside, distance in measured}

    def verdict(self, name: str) -> Verdict:
        """What this correction does beside the others of the best choice, or of the nearest one that it was measured beside."""
        measured = {frozenset(choice): distance for choice, distance in self.distances.items()}
        beside = [choice for choice in measured if name not in choice and choice | {name} in measured]
        others = min(beside, key=lambda choice: len(choice ^ (set(self.best) - {name})))
        return Verdict(name, measured[others], measured[others | {name}], name in self.best)


def _judged_together(corrections: Sequence[Correction]) -> list[tuple[list[Correction], Correction | None]]:
    """Neighbours that are quick, of which every choice is tried, and the slow one that follows them, if one does."""
    groups: list[tuple[list[Correction], Correction | None]] = []
    for correction in corrections:
        if not groups or groups[-1][1] is not None:
            groups.append(([], None))
        if correction.quick:
            groups[-1][0].append(correction)
        else:
            groups[-1] = (groups[-1][0], correction)
    return groups


@dataclass(frozen=True)
class Corrector:
    """Runs corrections on a model whose ranges are chosen.

    Fields:
        again: images that changed values are observed on again; their extremes over all images are known.
        yardstick: judges the corrections; without one they are all kept.
        span: what slow corrections may take together; each of their runs gets an equal part of what is left.
    """

    prepared: PreparedModel
    calibration: Calibration
    algorithm: Range
    extremes: Extremes
    again: Picked
    yardstick: Yardstick | None
    progress: Progress = SILENT
    span: Span = field(default_factory=Span)

    def run(self, corrections: Sequence[Correction]) -> list[Verdict]:
        """Apply these in turn, those that change the float parameters first; undo what does not help."""
        corrections = sorted(corrections, key=lambda correction: not correction.before_ranges)
        if self.yardstick is None:
            for i, correction in enumerate(corrections):
                self._apply(correction, sum(not later.quick for later in corrections[i:]))
            return []
        verdicts = []
        before = self.yardstick.distance(self.prepared) if corrections else Distance(0, 0)
        groups = _judged_together(corrections)
        for i, (quick, slow) in enumerate(groups):
            tries = Tries({(): before}, (), State(self.prepared))
            self._try(quick, (), tries)
            if slow is not None:
                self._try_beside(quick, slow, tries, sum(later is not None for _, later in groups[i + 1 :]))
            tries.state.restore()
            verdicts += [tries.verdict(correction.name) for correction in (*quick, *([slow] if slow else []))]
            before = tries.distances[tries.best]
        return verdicts

    def _apply(self, correction: Correction, runs: int = 1) -> None:
        """Run a correction; if it is slow, in an equal part of the time that is left for `runs` of them."""
        state = State(self.prepared)
        tell = partial(self.progress.at, correction.name, total=1.0)
        span = Span() if correction.quick else self.span.part(1 / runs)
        correction.apply(self.prepared, replace(self.calibration, progress=tell, span=span))
        sides = first_and_last(self.prepared.graph)
        for node in self.prepared.graph.nodes:
            if correction.name in self.prepared.recipe.without(node.name, **sides.of(node.name)):
                state.restore_layer(node.name)
        if correction.before_ranges:
            self._choose_again(state)

    def _try(self, group: Sequence[Correction], applied: tuple[str, ...], tries: "Tries") -> None:
        """Measure every choice among these, beside what is applied; the model is left as the last one made it."""
        if not group:
            assert self.yardstick is not None
            if applied:
                tries.add(applied, self.yardstick.distance(self.prepared), self.prepared)
            return
        first, *rest = group
        state = State(self.prepared)
        self._try(rest, applied, tries)
        state.restore()
        self._apply(first)
        if state.is_current():
            tries.add_the_same(applied, first.name)
        else:
            self._try(rest, (*applied, first.name), tries)

    def _try_beside(self, quick: Sequence[Correction], slow: Correction, tries: "Tries", later: int) -> None:
        """Measure a slow correction beside the best choice of the quick ones, and beside all of them, which are applied now.

        So many slow ones come later.
        """
        assert self.yardstick is not None
        starts = {tries.best: tries.state}
        if not tries.state.is_current():
            starts[tuple(correction.name for correction in quick)] = State(self.prepared)
        for done, (applied, state) in enumerate(starts.items()):
            state.restore()
            self._apply(slow, len(starts) - done + later)
            if state.is_current():
                tries.distances[*applied, slow.name] = tries.distances[applied]
            else:
                tries.add((*applied, slow.name), self.yardstick.distance(self.prepared), self.prepared)

    def _choose_again(self, before: State) -> None:
        """Choose new ranges for the values that a correction has scaled."""
        prepared = self.prepared
        scaled = {name: name for name in before.changed("equalized")}
        for node in prepared.graph.nodes:
            moves = float_op(node).requantizes or float_op(node).passes_type
            for name in node.inputs:
                if moves and name in scaled:
                    scaled[node.name] = scaled[name]
        mixed = {node.name for node in prepared.graph.nodes if self._carries_scales(node, scaled)}
        quantizers = {prepared.owner[name] for name in (*scaled, *mixed) if name in prepared.owner}
        for name in quantizers:
            quantizer = prepared.quantizer(name)
            assert quantizer is not None
            quantizer.histogram = Histogram()
        size = batch_of(self.again.shape[1:])
        for start in range(0, len(self.again), size):
            images = self.again[slice(start, start + size)]
            prepared.calibrator.observe(images.to(prepared.image_scale.device), quantizers=quantizers)
        for name, source in scaled.items():
            quantizer = prepared.quantizer(name)
            seen = name if self.extremes.knows(name) else source
            if quantizer is not None and self.extremes.knows(seen):
                quantizer.histogram.extend(*self.extremes.ends(seen, prepared.layer(source).equalized))
        prepared.calibrator.choose_ranges(self.algorithm, quantizers=quantizers, layers=before.changed("weight"))

    def _carries_scales(self, node: Node, scaled: Mapping[str, str]) -> bool:
        """Whether the channels of a node's result have the scales of an operand's that a correction has scaled."""
        op = float_op(node)
        return op.carries is not None and op.find(op.carries, node.inputs) in scaled


def _quantizers(prepared: PreparedModel) -> list[ActivationQuantizer]:
    return [quantizer for quantizer in prepared.quantizers.values() if isinstance(quantizer, ActivationQuantizer)]
