"""`compare`: two artifacts side by side: bytes, layers, latency in one run, and answers on the same images. Needs no torch."""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.budget.drop import Drop, drop_between
from bitwright.budget.race import Latency, race
from bitwright.chance import exact_interval, mcnemar, order_remark
from bitwright.classes import ClassNames, named_anew, some
from bitwright.engine import Engine
from bitwright.errors import LabelError, SourceError
from bitwright.images.sources import BadImage, ImageSource
from bitwright.labels import By, fit_labels
from bitwright.prediction import class_count, classes_of
from bitwright.progress import SILENT, Progress
from bitwright.records import LayerSummary, ModelSummary
from bitwright.summary import model_summary

Classes = npt.NDArray[np.int64]
BATCH = 64


@dataclass(frozen=True)
class LayerChange:
    """A layer whose schemes differ: "int8 weights, uint8" of each model; None where a model has no such layer.

    `second_name` is what the second model calls it, where that is another name.
    """

    name: str
    first: str | None
    second: str | None
    second_name: str | None = None


@dataclass(frozen=True)
class Answers:
    """What both models make of the same images.

    Attributes:
        first_top1, second_top1: in percent; None without labels.
        drop: the images that only the first model has right (`lost`) and that only the second has (`gained`); without labels
            the ones that they put in different classes are the lost ones.
        agreed: images that both put in the same class.
        p: of McNemar's exact test, that models which are equally good differ so much; None without labels.
        bad: the images that could not be read, of the first model's preprocessing.
        remark: what was taken for granted about the labels.
        doubt: why the labels, or the names of the classes, mean something else, as the answers show; None where they do not.
        is_same: whether the two are one model, but for the record of how they were made: no image can tell them apart, so that
            the intervals have no width.
    """

    first_top1: float | None
    second_top1: float | None
    drop: Drop
    agreed: int
    p: float | None
    bad: tuple[BadImage, ...]
    remark: str | None
    doubt: str | None
    is_same: bool = False

    @property
    def drop_interval(self) -> tuple[float, float]:
        """The interval that holds the true drop with 95 % confidence, in points."""
        return (0.0, 0.0) if self.is_same else self.drop.interval()

    @property
    def agreement(self) -> float:
        """Percent of the images that both put in the same class."""
        return 100 * self.agreed / self.drop.images

    @property
    def agreement_interval(self) -> tuple[float, float]:
        """The interval that holds the true agreement with 95 % confidence, in percent."""
        if self.is_same:
            return 100.0, 100.0
        lo, hi = exact_interval(self.agreed, self.drop.images)
        return 100 * lo, 100 * hi

    def to_json(self) -> dict[str, Any]:
        """The record as plain data, with the intervals."""
        return {
            **asdict(self),
            "drop": {**self.drop.to_json(), "interval": list(self.drop_interval)},
            "agreement": self.agreement,
            "agreement_interval": list(self.agreement_interval),
        }


@dataclass(frozen=True)
class Comparison:
    """Two artifacts.

    Attributes:
        first, second: what is in them.
        changes: the layers whose schemes differ.
        latencies: of the first and of the second, in turns; ratios are to the first. None where they were not timed.
        answers: None without images.
        renamed: the names of the layers that the two call otherwise, and that their place, op and shape tell to be the same.
        is_same: whether the two are one model, but for the record of how they were made.
        isa, threads: the instruction set and the threads of the engines that were timed; None where they were not.
    """

    first: ModelSummary
    second: ModelSummary
    changes: tuple[LayerChange, ...]
    latencies: tuple[Latency, Latency] | None
    answers: Answers | None
    renamed: tuple[tuple[str, str], ...] = ()
    is_same: bool = False
    isa: str | None = None
    threads: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data; of the models only what tells them apart."""
        latencies = None if self.latencies is None else [asdict(latency) for latency in self.latencies]
        sizes = [
            {k: getattr(m, k) for k in ("bytes", "weight_bytes", "macs", "sha256")} for m in (self.first, self.second)
        ]
        return {
            "first": sizes[0],
            "second": sizes[1],
            "changes": [asdict(change) for change in self.changes],
            "latencies": latencies,
            "answers": None if self.answers is None else self.answers.to_json(),
            "renamed": [list(names) for names in self.renamed],
            "is_same": self.is_same,
            "isa": self.isa,
            "threads": self.threads,
        }


def compare(
    first: Artifact,
    second: Artifact,
    source: ImageSource | None = None,
    *,
    classes: ClassNames | None = None,
    labels: By = "name",
    limit: int | None = None,
    threads: int | None = None,
    timed: bool = True,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare two artifacts; on images each gets its own preprocessing.

    Args:
        first, second: the models. Ratios and drops are the second's to the first's.
        source: the images; None: none are run.
        classes: what classes are called, in place of the first model's names.
        labels: how labels are matched with classes.
        limit: only so many images, the first ones.
        threads: of the engines; None: all that this process may use.
        timed: whether to measure latency.
        progress: hears how far the work is.

    Raises:
        LabelError: the models have different classes, or labels do not fit them; before any image is read.
        SourceError: no image can be read.
        EngineError: latency is wanted, and the native engine was not built.
    """
    answers = None if source is None else _answers(first, second, source, classes, labels, limit, threads, progress)
    is_same = first is second or _unrecorded(first) == _unrecorded(second)
    times, isa = None, None
    if timed:
        one, *others = race([first] if is_same else [first, second], threads)
        times = (one, *(others or [one]))
        from bitwright import _native  # there, now that engines ran

        isa, threads = _native.chosen_isa(), threads or _native.available_threads()
    before, after = (model_summary(artifact, artifact.data) for artifact in (first, second))
    return Comparison(
        first=before,
        second=after,
        changes=layer_changes(before.layers, after.layers),
        latencies=None if times is None else (times[0], times[1]),
        answers=None if answers is None else replace(answers, is_same=is_same),
        renamed=renamed_layers(before.layers, after.layers),
        is_same=is_same,
        isa=isa,
        threads=None if isa is None else threads,
    )


def _unrecorded(artifact: Artifact) -> bytes:
    """The file without the record of how it was made."""
    return replace(artifact, provenance={}).data


def layer_changes(first: tuple[LayerSummary, ...], second: tuple[LayerSummary, ...]) -> tuple[LayerChange, ...]:
    """The layers whose schemes differ, in the order of the first model; what only the second has comes last.

    Layers are matched by name, and those whose names only one model has by `renamed_layers`.
    """
    renamed = dict(renamed_layers(first, second))
    before, after = ({layer.name: _schemes(layer) for layer in layers} for layers in (first, second))
    names = [*before, *(name for name in after if name not in before and name not in renamed.values())]
    found = (
        LayerChange(name, before.get(name), after.get(renamed.get(name, name)), renamed.get(name)) for name in names
    )
    return tuple(change for change in found if change.first != change.second)


def renamed_layers(first: tuple[LayerSummary, ...], second: tuple[LayerSummary, ...]) -> tuple[tuple[str, str], ...]:
    """What both models call each layer whose name only one of them has: matched in order, by op and shape."""
    names = [{layer.name for layer in layers} for layers in (first, second)]
    left = [layer for layer in first if layer.name not in names[1]]
    right = [layer for layer in second if layer.name not in names[0]]
    ours, theirs = ([(layer.op, layer.shape) for layer in layers] for layers in (left, right))
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return tuple((left[a + i].name, right[b + i].name) for a, b, length in blocks for i in range(length))


def _schemes(layer: LayerSummary) -> str:
    return layer.activations if layer.weights is None else f"{layer.weights} weights, {layer.activations}"


def _answers(
    first: Artifact,
    second: Artifact,
    source: ImageSource,
    classes: ClassNames | None,
    by: By,
    limit: int | None,
    threads: int | None,
    progress: Progress,
) -> Answers:
    order = _order(first, second)
    own = first.known_classes or second.known_classes
    known = own if classes is None else named_anew(own, classes, class_count(first.outputs))
    fitted = fit_labels(source, known, first.outputs, by)
    images = fitted.source if limit is None else fitted.source.head(limit)
    ours, bad = _classes(first, images, threads, "the first model", progress)
    theirs, _ = _classes(second, images, threads, "the second model", progress)
    both = np.array(sorted(ours.keys() & theirs.keys()), np.int64)
    if not len(both):
        raise SourceError(f"{images.where}: none of the {len(images):,} images could be read")
    a, b = np.array([ours[i] for i in both.tolist()]), order[[theirs[i] for i in both.tolist()]]
    truth = None if images.labels is None else images.labels[both]
    drop = drop_between(b, a, truth)
    return Answers(
        first_top1=None if truth is None else 100 * int((a == truth).sum()) / len(both),
        second_top1=None if truth is None else 100 * int((b == truth).sum()) / len(both),
        drop=drop,
        agreed=int((a == b).sum()),
        p=None if truth is None else mcnemar(drop.lost, drop.gained),
        bad=bad,
        remark=fitted.remark,
        doubt=_doubt(truth, a, b),
    )


def _doubt(truth: Classes | None, first: Classes, second: Classes) -> str | None:
    """What to say of labels that are not the models' classes, or of classes that the two models call by each other's names."""
    pairs = [("", truth, first), ("the second model: ", truth, second)]
    if truth is None:
        pairs = [("with the first model's classes for labels, the second model: ", first, second)]
    for who, labels, guesses in pairs:
        assert labels is not None
        remark = order_remark(Counter(zip(labels.tolist(), guesses.tolist(), strict=True)))
        if remark is not None:
            return who + remark
    return None


def _order(first: Artifact, second: Artifact) -> Classes:
    """For each class of the second model, its number in the first. LabelError where they have different classes."""
    counts = [class_count(artifact.outputs) for artifact in (first, second)]
    if counts[0] != counts[1]:
        raise LabelError(f"expected two models of the same classes, found {counts[0]:,} and {counts[1]:,}")
    if first.classes is None or second.classes is None:
        return np.arange(counts[0])
    place = {name: i for i, name in enumerate(first.class_names)}
    if set(second.class_names) != place.keys():
        raise LabelError(
            "expected two models of the same classes; the first has "
            f"{some(first.class_names)}, the second {some(second.class_names)}; rename them with `with_classes`"
        )
    return np.array([place[name] for name in second.class_names])


def _classes(
    artifact: Artifact, source: ImageSource, threads: int | None, what: str, progress: Progress
) -> tuple[dict[int, int], tuple[BadImage, ...]]:
    """The class of each image that can be read, by its place in the source; and those that cannot."""
    engine, found, batches = (
        Engine(artifact, threads=threads),
        dict[int, int](),
        source.batches(artifact.preprocess, BATCH),
    )
    for batch in batches:
        found |= dict(zip(batch.indices.tolist(), classes_of(engine(batch.images)).tolist(), strict=True))
        progress.at(what, len(found), len(source))
    return found, tuple(batches.bad)
