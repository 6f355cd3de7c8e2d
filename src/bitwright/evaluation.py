"""`evaluate`: how well a model classifies a set of images. For an artifact every figure is measured on the integers."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.chance import at_chance, broken_remark, chance_remark, order_remark
from bitwright.class_files import class_names
from bitwright.classes import ClassNames, named_anew
from bitwright.engine import Engine
from bitwright.errors import BitwrightError, ModelError
from bitwright.images.mode_hint import mode_hint
from bitwright.images.preprocess import Preprocess, expect_preprocess
from bitwright.images.sources import BadImage, ImageSource, as_source
from bitwright.labels import By, Fitted, fit_labels
from bitwright.prediction import class_count, class_logits, classes_of
from bitwright.progress import SILENT, Progress
from bitwright.ranks import ALONE, Ranks, gather_json, share
from bitwright.records import Measured

if TYPE_CHECKING:
    from bitwright.models.float_models import FloatModel, FloatModelLike

Logits = npt.NDArray[np.float32]
Predictor = Callable[[npt.NDArray[np.uint8]], Logits]
BATCH = 64
COUNTED = ("images", "top1", "top5", "agreed", "reference_top1", "reference_top5", "beyond_probability")


@dataclass(frozen=True)
class ClassAccuracy:
    """How many images of one class were seen, and how many of these were classified right."""

    name: str
    images: int
    correct: int


@dataclass(frozen=True)
class Evaluation:
    """What was measured; `reference_*` is the float model's own accuracy.

    Percentages are of the images that could be read; None is what could not be measured. `confusion` counts (label,
    prediction) pairs: the ones that occur, in order. `labels_by` is what labels were taken by: "name", "index" or "order".
    `at_chance` says whether guessing among the `classes` could have been right as often (`bitwright.chance`). `remarks` are
    sentences that whoever reads the figures has to know.
    """

    images: int
    classes: int
    labels_by: str | None
    top1: float | None
    top5: float | None
    at_chance: bool | None
    agreement: float | None
    reference_top1: float | None
    reference_top5: float | None
    reference_at_chance: bool | None
    per_class: tuple[ClassAccuracy, ...]
    confusion: tuple[tuple[int, int, int], ...]
    artifact_bytes: int | None
    float_bytes: int | None
    bad: tuple[BadImage, ...]
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return asdict(self)

    def measured(self, data: str, reference: str | None = None) -> Measured:
        """What an artifact's provenance keeps of it: measured on `data`, against a float model that may be said."""
        return Measured(
            data=data,
            images=self.images,
            bad=len(self.bad),
            top1=self.top1,
            top5=self.top5,
            agreement=self.agreement,
            float_top1=self.reference_top1,
            float_top5=self.reference_top5,
            float_at_chance=self.reference_at_chance,
            labels_by=self.labels_by,
            reference=reference,
        )


def evaluate(
    model: "Artifact | Engine | str | os.PathLike[str] | FloatModelLike",
    source: ImageSource | str | os.PathLike[str],
    *,
    reference: "FloatModelLike | None" = None,
    preprocess: Preprocess | None = None,
    classes: ClassNames | str | os.PathLike[str] | Iterable[str] | None = None,
    labels: By = "name",
    limit: int | None = None,
    strict: bool = False,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Classify a source's images, and compare with its labels and with a float `reference`.

    An artifact is measured by its integers.

    Args:
        model: an artifact, its path, an engine, or a float model (which needs `preprocess`).
        source: the images; an image source, or what `open_source` takes.
        reference: a float model of the same classes; gives `agreement` and `reference_top1`.
        preprocess: what the images of a float model go through; an artifact has its own.
        classes: names of the model's classes, or a file of them, in place of the artifact's.
        labels: how the source's labels are matched with the classes: by "name", by "index", or "none"
            (`bitwright.labels`).
        limit: only so many images, the first ones.
        strict: raise ImageError for an image that cannot be read; else it is reported in `bad` and counts nowhere.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).
        ranks: processes that call this with equal arguments and share the images; each returns the figures of all.

    Raises:
        LabelError: labels do not fit the model; before any image is read.
        SourceError: the images cannot be opened.
        ImageError: with `strict`, an image cannot be read.
        BitwrightError: a float model is given without `preprocess`.
    """
    source = as_source(source)
    if isinstance(model, Artifact | str | os.PathLike):
        model = Engine(model)
    artifact = model.artifact if isinstance(model, Engine) else None
    preprocess = artifact.preprocess if artifact is not None else preprocess
    if preprocess is not None:
        expect_preprocess(preprocess)
    if preprocess is None:
        if not isinstance(model, Engine):
            _float_model(model)  # raises where it is no model at all
        raise BitwrightError("a float model needs preprocess=bitwright.Preprocess(...) to be evaluated")
    outputs = model.artifact.outputs if isinstance(model, Engine) else outputs_of(model, preprocess)
    known = known_classes(None if artifact is None else artifact.known_classes, classes, outputs)
    fitted = fit_labels(source, known, outputs, labels)
    if reference is not None:
        _expect_classes(outputs_of(reference, preprocess), outputs)
    source = fitted.source if limit is None else fitted.source.head(limit)
    predict: Predictor = model if isinstance(model, Engine) else float_predictor(model, preprocess)
    refer = None if reference is None else float_predictor(reference, preprocess)
    tally = Tally(class_count(outputs), source.labels is not None, refer is not None)
    batches, done = source.batches(preprocess, BATCH, strict=strict), 0
    if ranks.size > 1:
        batches.only(share(len(source), BATCH, ranks))
    for batch in batches:
        tally.add(predict(batch.images), batch.labels, None if refer is None else refer(batch.images))
        done += len(batch.images) * ranks.size
        progress.at("evaluating", min(done, len(source)), len(source))
    if ranks.size > 1:
        found, tally = gather_json(ranks, tally.to_json()), tally.empty()
        for counted in found:
            tally.add_json(counted)
        batches.merge(ranks)
    float_bytes = _float_bytes(reference if isinstance(model, Engine) else model)
    return tally.evaluation(fitted, artifact, float_bytes, batches.bad)


def known_classes(
    own: ClassNames | None, given: ClassNames | str | os.PathLike[str] | Iterable[str] | None, outputs: int
) -> ClassNames | None:
    """What the classes of a model are called: as `given`, else by names of its `own`; None where nobody says."""
    return own if given is None else named_anew(own, class_names(given), class_count(outputs))


def outputs_of(model: "FloatModelLike", preprocess: Preprocess) -> int:
    """How many logits a float model gives an image, found by running it on black ones.

    Raises ModelError where it cannot run on images like these.
    """
    try:
        logits = float_predictor(model, preprocess)(np.zeros((2, *preprocess.shape), np.uint8))
    except BitwrightError:
        raise
    except Exception as error:  # somebody else's code raises what it likes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = mode_hint(str(error), preprocess)
        raise ModelError(f"the float model cannot run on these images: {first}{hint}") from error
    return int(logits.shape[1])


def _expect_classes(reference: int, outputs: int) -> None:
    if class_count(reference) != class_count(outputs):
        raise ModelError(
            f"the reference has {class_count(reference):,} classes and the model {class_count(outputs):,}: nothing can be "
            "said of their agreement; expected a reference for the same classes"
        )


def float_predictor(model: "FloatModelLike", preprocess: Preprocess) -> Predictor:
    """Run a float model on uint8 images [N, H, W, C], normalised as `preprocess` says. ModelError for anything else."""
    runs = _float_model(model)
    return lambda images: runs.predict(preprocess.normalise(images))


def _float_model(model: "FloatModelLike") -> "FloatModel":
    from bitwright.models import float_model  # which needs torch, as an artifact does not

    return float_model(model)


def _float_bytes(model: "FloatModelLike | None") -> int | None:
    """The bytes of a float model's parameters and buffers, as far as it tells."""
    return None if model is None else getattr(_float_model(model), "float_bytes", None)


def _in_best_five(logits: Logits, labels: npt.NDArray[np.int64]) -> int:
    best = np.argsort(-class_logits(logits), axis=1, kind="stable")[:, :5]
    return int((best == labels[:, None]).any(axis=1).sum())


class Tally:
    """Counts over the stream of batches. `beyond_probability` is how many images' logits cannot be a probability."""

    def __init__(self, classes: int, labelled: bool, compared: bool) -> None:
        self.classes, self.labelled, self.compared = classes, labelled, compared
        self.images = self.top1 = self.top5 = self.agreed = self.reference_top1 = self.reference_top5 = 0
        self.confusion: Counter[tuple[int, int]] = Counter()
        self.beyond_probability = 0

    def add(self, logits: Logits, labels: npt.NDArray[np.int64] | None, reference: Logits | None) -> None:
        """Count a batch: its logits, its labels if it has any, and the reference's logits if there is one."""
        self.images += len(logits)
        guesses = classes_of(logits)
        self.beyond_probability += (
            int(((logits < 0) | (logits > 1)).any(axis=1).sum()) if logits.shape[1] == 1 else len(logits)
        )
        if reference is not None:
            self.agreed += int((guesses == classes_of(reference)).sum())
        if labels is None:
            return
        self.top1 += int((guesses == labels).sum())
        self.top5 += _in_best_five(logits, labels)
        if reference is not None:
            self.reference_top1 += int((classes_of(reference) == labels).sum())
            self.reference_top5 += _in_best_five(reference, labels)
        self.confusion.update(zip(labels.tolist(), guesses.tolist(), strict=True))

    def empty(self) -> "Tally":
        """One like it, of no images."""
        return Tally(self.classes, self.labelled, self.compared)

    def to_json(self) -> dict[str, Any]:
        """What was counted, as plain data."""
        confusion = [(label, guess, n) for (label, guess), n in sorted(self.confusion.items())]
        return {"confusion": confusion, **{name: int(getattr(self, name)) for name in COUNTED}}

    def add_json(self, found: Mapping[str, Any]) -> None:
        """Count what another one of the same images' model has counted."""
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + found[name])
        self.confusion.update({(label, guess): n for label, guess, n in found["confusion"]})

    def evaluation(
        self, fitted: Fitted, artifact: Artifact | None, float_bytes: int | None, bad: Iterable[BadImage]
    ) -> Evaluation:
        """The record of a model, an artifact or a float one, on images whose labels were fitted."""
        who = "the model" if artifact else "the float model itself"
        return Evaluation(
            **self.figures(),
            labels_by=fitted.by,
            per_class=self.per_class(fitted.source.classes),
            confusion=tuple((label, guess, n) for (label, guess), n in sorted(self.confusion.items())),
            artifact_bytes=None if artifact is None else len(artifact.data),
            float_bytes=float_bytes,
            bad=tuple(bad),
            remarks=(*filter(None, [fitted.remark]), *self.remarks(who)),
        )

    def figures(self) -> dict[str, Any]:
        """The figures of an Evaluation that are counted; None for those that were not to be had."""
        both = self.labelled and self.compared
        return {
            "images": self.images,
            "classes": self.classes,
            "top1": self._percent(self.top1, self.labelled),
            "top5": self._percent(self.top5, self.labelled),
            "at_chance": at_chance(self.top1, self.images, self.classes) if self.labelled else None,
            "agreement": self._percent(self.agreed, self.compared),
            "reference_top1": self._percent(self.reference_top1, both),
            "reference_top5": self._percent(self.reference_top5, both),
            "reference_at_chance": at_chance(self.reference_top1, self.images, self.classes) if both else None,
        }

    def remarks(self, who: str) -> list[str]:
        """Sentences about a model at chance level (the reference, else the model, called `who`), labels in disorder, or one
        output that looks like a probability."""
        said = []
        if self.images > 1 and not self.beyond_probability:
            said.append(
                f"the single output of {who.removesuffix(' itself')} is between 0 and 1 for all {self.images:,} images, as a "
                "probability is; its class is told by its sign, so it has to be the logit in front of the sigmoid"
            )
        if not self.labelled:
            return said
        right = self.reference_top1 if self.compared else self.top1
        if at_chance(right, self.images, self.classes):
            who = "the float model itself" if self.compared else who
            said.append(chance_remark(who, right, self.images, self.classes))
        elif self.compared and at_chance(self.top1, self.images, self.classes):
            said.append(broken_remark(self.top1, right, self.images, self.classes))
        return [*said, *filter(None, [order_remark(self.confusion)])]

    def per_class(self, names: tuple[str, ...] | None) -> tuple[ClassAccuracy, ...]:
        """The accuracy of each class that an image has."""
        seen: Counter[int] = Counter()
        for (label, _), n in self.confusion.items():
            seen[label] += n
        return tuple(
            ClassAccuracy(names[k] if names is not None else str(k), seen[k], self.confusion[k, k])
            for k in sorted(seen)
        )

    def _percent(self, count: int, measured: bool) -> float | None:
        if not measured:
            return None
        return 100 * count / self.images if self.images else 0.0
