"""`examine`: audits an artifact: what is wrong with its inputs, its layers and its decisions, and which remedies help."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from bitwright.artifact import Artifact
from bitwright.audit.bit_flip_records import BitFlips
from bitwright.audit.bit_flips import bit_flips
from bitwright.audit.changes import Change
from bitwright.audit.decision_records import DecisionAudit, Robustness
from bitwright.audit.decisions import decisions
from bitwright.audit.faults import Fault, layer_faults
from bitwright.audit.inputs import other_pixels, told_apart, wrong_pixels
from bitwright.audit.layers import audit_layers, layer_images
from bitwright.audit.matching import matched
from bitwright.audit.names import put_right, shuffled_names, unknown_order
from bitwright.audit.records import USUAL_PARTS, Audit, Finding, LayerAudit, Remedy, expect_parts
from bitwright.audit.remedies import Trials, best_first
from bitwright.audit.robustness import robustness
from bitwright.audit.screen import screen
from bitwright.audit.subject import (
    Pixels,
    Subject,
    expect_same_classes,
    float_logits,
    labelled,
    look,
    same_pixels,
    seen_right,
    split,
)
from bitwright.capture import classifier, fuse
from bitwright.chance import doubts
from bitwright.classes import ClassNames
from bitwright.errors import AuditError
from bitwright.faithful import expect_faithful
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess, expect_preprocess
from bitwright.images.sources import ImageSource
from bitwright.labels import By
from bitwright.models.float_models import FloatModelLike, float_model
from bitwright.progress import SILENT, Progress
from bitwright.recipe import Recipe

FITTED = {"remedies", "robustness"}
"""The parts that quantize again, and so need images to fit on."""


@dataclass(frozen=True)
class Effort:
    """How much to do.

    Fields:
        images: that both models are judged on, at most.
        fit: that remedies are fitted on, at most.
        layer_images: that single layers are looked at with, at most.
        seconds: after which no further remedy is begun, and then once more so long for bits that flip.
        timed: whether the engine is timed.
    """

    images: int = 2000
    fit: int = 512
    layer_images: int = 64
    seconds: float = 120.0
    timed: bool = True

    def __post_init__(self) -> None:
        for name in ("images", "fit", "layer_images"):
            if (found := getattr(self, name)) < 1:
                raise AuditError(f"expected at least one image as {name!r} of an audit's effort, found {found!r}")


@own_gradients
def examine(
    artifact: Artifact,
    model: FloatModelLike,
    source: ImageSource,
    *,
    preprocess: Preprocess | None = None,
    calibration: ImageSource | None = None,
    labels: By = "name",
    classes: ClassNames | str | os.PathLike[str] | Iterable[str] | None = None,
    parts: Collection[str] = USUAL_PARTS,
    effort: Effort | None = None,
    threads: int | None = None,
    seed: int = 0,
    named: tuple[str, str, str] = ("artifact", "model", ""),
    progress: Progress = SILENT,
) -> Audit:
    """Look at what quantization did to a model, and try what would undo it.

    Args:
        artifact: the integer model.
        model: the float model that it was made of.
        source: images, with labels or without, to judge on; where there is no `calibration` some of them are fitted on.
        preprocess: what is known to be the float model's own; None: the artifact's is taken for it, unless labels say else.
        calibration: images to fit remedies on.
        labels: how labels are matched with the artifact's classes.
        classes: what these are called, in its order or by the names that it has; None: as it says.
        parts: what to look at, of `records.PARTS`.
        effort: how many images, and how long.
        threads: of the engine.
        seed: draws the images.
        named: what artifact, model and images are called in the record.
        progress: hears how far the work is.

    Raises:
        ModelError: the artifact was not made of this model.
        LabelError: the labels do not fit the artifact's classes, or the names do not.
        SourceError: no image can be read.
    """
    begin, effort = monotonic(), effort or Effort()
    expect_parts(parts)
    digest = artifact.digest
    if classes is not None:
        artifact = artifact.with_classes(classes)
    subject, remarks = _subject(
        artifact, model, source, preprocess, calibration, labels, parts, effort, threads, seed, progress
    )
    study = _Study(subject, effort, begin + effort.seconds, seed, frozenset(parts), progress)
    remarks += [] if (changed := other_pixels(study.subject.artifact)) is None else [changed]
    found = study.run()
    if not any(finding.kind == "preprocess" for finding in found["findings"]):
        remarks += [] if (differs := told_apart(subject)) is None else [differs]
    right = study.subject  # as far as its inputs could be put right
    if right.labels is not None:
        doubt = doubts("the float model", right.labels.tolist(), right.float_classes.tolist(), artifact.outputs)
        remarks += [] if doubt is None else [doubt]
    remarks += study.trials.remarks(effort.seconds)
    return Audit(
        artifact=named[0],
        digest=digest,
        model=named[1],
        data=named[2] or source.where,
        images=len(subject.seen.pixels),
        float_top1=study.subject.float_top1,
        before=study.before,
        remarks=tuple(remarks),
        seconds=monotonic() - begin,
        **found,
    )


def _subject(
    artifact: Artifact,
    model: FloatModelLike,
    source: ImageSource,
    preprocess: Preprocess | None,
    calibration: ImageSource | None,
    by: By,
    parts: Collection[str],
    effort: Effort,
    threads: int | None,
    seed: int,
    progress: Progress,
) -> tuple[Subject, list[str]]:
    preprocess = preprocess or replace(artifact.preprocess, encoder=None)
    expect_preprocess(preprocess)
    runs = float_model(model)
    expect_same_classes(artifact, runs, preprocess)
    height, width, channels = artifact.preprocess.shape
    captured = runs.capture((channels, height, width))
    graph = fuse(classifier(captured.graph))
    expect_faithful(runs, graph, (channels, height, width), captured.in_float32)
    fitted, remark = labelled(source, artifact, by)
    is_fitted = not FITTED.isdisjoint(parts)
    judged, fit = split(fitted, effort.images, effort.fit, seed, calibration if is_fitted else fitted)
    judged, seen = look(judged, artifact.preprocess, progress)
    if is_fitted:
        fit, _ = look(fit, artifact.preprocess, progress)
    same = same_pixels(preprocess, artifact.preprocess)
    logits = float_logits(runs, preprocess, seen.pixels if same else look(judged, preprocess)[1].pixels, progress)
    subject = Subject(artifact, runs, captured, preprocess, judged, fit, seen, logits, threads)
    return subject, [] if remark is None else [remark]


@dataclass
class _Study:
    """One audit on its way: the subject is put right as faults in its inputs are found."""

    subject: Subject
    effort: Effort
    deadline: float
    seed: int
    parts: frozenset[str]
    progress: Progress

    def run(self) -> dict[str, Any]:
        """The parts of the record that have to be measured."""
        timed = self.effort.timed
        self.before = self.subject.outcome(self.subject.artifact, timed)
        findings, remedies = [], []
        names = shuffled_names(self.subject)
        if names is not None:
            self.subject = put_right(self.subject, names)
        pixels = wrong_pixels(self.subject)
        preprocess = self.subject.artifact.preprocess if pixels is None else pixels.preprocess
        if pixels is not None:
            self.subject = seen_right(self.subject, replace(preprocess, encoder=None), self.progress)
            if names is None:
                self.before = self.subject.outcome(self.subject.artifact, timed)
        unknown = unknown_order(self.subject) if names is None and pixels is None else None
        if unknown is not None:
            self.subject = self.subject.with_labels(None)
            self.before = self.subject.outcome(self.subject.artifact, timed)
        self.trials = Trials(self.subject, self.before, self.deadline, self.seed, timed, self.progress)
        if names is not None:
            change = Change("names", "put the class names into the model's order", None, {}, Recipe())
            remedies.append(self.trials.remedy(change, self.subject.artifact))
            findings.append(_finding(names.fault, tuple(remedies)))
        if unknown is not None:
            findings.append(_finding(unknown, ()))
        layers = self._layers() if {"layers", "remedies", "screen"} & self.parts else ()
        faults = [
            *([] if pixels is None else [pixels.fault]),
            *(layer_faults(layers, pixels is not None) if layers else []),
        ]
        recipe = None
        if "remedies" in self.parts:
            tried = self.trials.of_each(faults, layers, preprocess, not findings)
            if not findings and (stale := self.trials.stale(faults)) is not None:
                findings.append(stale)
            findings += map(_finding, faults, tried)
            ranked = best_first(iter([*remedies, *self.trials.tried.values()]))
            recipe = self.trials.together(ranked, preprocess)
            ranked = best_first(iter([*remedies, *self.trials.tried.values()]))
        else:
            findings += [_finding(fault, ()) for fault in faults]
            ranked = tuple(remedies)
        return {
            "findings": tuple(findings),
            "layers": layers,
            "layer_images": len(self._seen_by_layers()) if layers else 0,
            "remedies": ranked,
            "recipe": None if recipe is None else recipe.to_json(),
            "decisions": self._decisions() if "decisions" in self.parts else None,
            "robustness": self._robustness() if "robustness" in self.parts else None,
            "screen": screen(self.subject, layers) if "screen" in self.parts else None,
            "bit_flips": self._bit_flips() if "bit_flips" in self.parts else None,
        }

    def _decisions(self) -> DecisionAudit:
        subject, names = self.subject, self.subject.artifact.class_names
        return decisions(subject.float_logits, subject.logits, subject.labels, names, subject.seen.names)

    def _robustness(self) -> Robustness:
        return robustness(self.subject, self.seed, self.progress)

    def _bit_flips(self) -> BitFlips:
        prepared = matched(self.subject.captured, self.subject.artifact)
        pixels = self._seen_by_layers()
        return bit_flips(self.subject, prepared, pixels, self.effort.seconds, self.seed, self.progress)

    def _seen_by_layers(self) -> Pixels:
        wanted = min(self.effort.layer_images, len(self.subject.seen.pixels))
        return self.subject.seen.pixels[: layer_images(self.subject.artifact, wanted)]

    def _layers(self) -> tuple[LayerAudit, ...]:
        artifact = self.subject.artifact
        prepared = matched(self.subject.captured, artifact)
        return audit_layers(prepared, artifact, self._seen_by_layers(), timed=self.effort.timed, progress=self.progress)


def _finding(fault: Fault, remedies: tuple[Remedy, ...]) -> Finding:
    return Finding(fault.kind, fault.layer, fault.text, fault.is_fault, remedies)
