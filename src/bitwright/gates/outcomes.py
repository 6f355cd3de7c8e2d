"""`Outcomes`: what an integer model and its float model make of the same images, image by image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.budget.drop import Drop, drop_between
from bitwright.chance import at_chance, order_remark
from bitwright.classes import ClassNames
from bitwright.engine import Engine
from bitwright.errors import ModelError, SourceError
from bitwright.evaluation import BATCH, Predictor, float_predictor, known_classes, outputs_of
from bitwright.images.sources import BadImage, ImageSource
from bitwright.labels import By, fit_labels
from bitwright.prediction import class_count, class_logits, classes_of, probabilities
from bitwright.progress import SILENT, Progress
from bitwright.tally import BEST

if TYPE_CHECKING:
    from bitwright.models.float_models import FloatModelLike

Classes = npt.NDArray[np.int64]
Confidences = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model says of n images: the class of each, int64 [n], how sure it is, 0 to 1, and whether the label is in its
    first five (None without labels)."""

    classes: Classes
    confidences: Confidences
    in_best_five: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Everything that was counted, image by image.

    Attributes:
        source: the images; labels are the model's classes.
        names: of the classes, in the order of the logits.
        indices: of the images that could be read, int64 [n], into the source.
        labels: int64 [n], or None.
        integer: what the integer model says.
        float_: what the float model says.
        peers: what others say that ran beside them.
        bad: the images that could not be read.
        remark: what was taken for granted about the labels.
    """

    source: ImageSource
    names: tuple[str, ...]
    indices: Classes
    labels: Classes | None
    integer: Answers
    float_: Answers
    peers: dict[str, Answers]
    bad: tuple[BadImage, ...]
    remark: str | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def drop(self) -> Drop:
        """How much accuracy the integer model lost; without labels, against the float model's classes."""
        return drop_between(self.integer.classes, self.float_.classes, self.labels)

    @property
    def agreed(self) -> int:
        """The number of images that both put in the same class."""
        return int((self.integer.classes == self.float_.classes).sum())

    @cached_property
    def class_drops(self) -> dict[int, Drop]:
        """The drop of each class that an image has, by its label, else by the float model's class."""
        of = self.float_.classes if self.labels is None else self.labels
        drops = {}
        for k in np.unique(of).tolist():
            here = of == k
            labels = None if self.labels is None else self.labels[here]
            drops[k] = drop_between(self.integer.classes[here], self.float_.classes[here], labels)
        return drops

    @property
    def doubt(self) -> str | None:
        """Why nothing can be concluded from these labels, as a sentence; None where something can."""
        if self.labels is None:
            return None
        right = int((self.float_.classes == self.labels).sum())
        if at_chance(right, len(self), len(self.names)):
            return (
                f"the float model itself is right on {100 * right / len(self):.1f} % of {len(self):,} images, no better than "
                "guessing, so no drop can be measured; are labels, mean and std right?"
            )
        pairs, counts = np.unique(np.stack([self.labels, self.float_.classes], axis=1), axis=0, return_counts=True)
        return order_remark({(int(a), int(b)): int(n) for (a, b), n in zip(pairs, counts, strict=True)})


def outcomes_of(
    artifact: Artifact,
    reference: "FloatModelLike",
    source: ImageSource,
    *,
    classes: ClassNames | None = None,
    labels: By = "name",
    limit: int | None = None,
    peers: dict[str, Predictor] | None = None,
    progress: Progress = SILENT,
) -> Outcomes:
    """Run both models on the images, and `peers`, which take uint8 images, beside them.

    Raises:
        LabelError: labels do not fit the model; before any image is read.
        ModelError: the float model has other classes.
        SourceError: no image can be read.
    """
    found = outputs_of(reference, artifact.preprocess)
    if class_count(found) != class_count(artifact.outputs):
        raise ModelError(
            f"the float model has {class_count(found):,} classes and the artifact {class_count(artifact.outputs):,}; "
            "expected the float model that the artifact was made of"
        )
    fitted = fit_labels(
        source, known_classes(artifact.known_classes, classes, artifact.outputs), artifact.outputs, labels
    )
    source = fitted.source if limit is None else fitted.source.head(limit)
    models: dict[str, Predictor] = {
        "integer": Engine(artifact),
        "float": float_predictor(reference, artifact.preprocess),
        **(peers or {}),
    }
    collected, indices, bad = _run(models, source, artifact, progress)
    if not len(indices):
        raise SourceError(f"{source.where}: none of the {len(source):,} images could be read")
    integer, float_, *others = collected.values()
    return Outcomes(
        source,
        artifact.class_names if classes is None else classes.names,
        indices,
        None if source.labels is None else source.labels[indices],
        integer,
        float_,
        dict(zip(list(models)[2:], others, strict=True)),
        bad,
        fitted.remark,
    )


def _run(
    models: dict[str, Predictor], source: ImageSource, artifact: Artifact, progress: Progress
) -> tuple[dict[str, Answers], Classes, tuple[BadImage, ...]]:
    batches, done = source.batches(artifact.preprocess, BATCH), 0
    parts: dict[str, list[Answers]] = {name: [] for name in models}
    indices = [np.empty(0, np.int64)]
    for batch in batches:
        indices.append(batch.indices)
        for name, predict in models.items():
            parts[name].append(_answers(predict, batch.images, batch.labels))
        done += len(batch.images)
        progress.at("comparing", done, len(source))
    return {name: _joined(part) for name, part in parts.items()}, np.concatenate(indices), tuple(batches.bad)


def _answers(predict: Callable[..., Any], images: npt.NDArray[np.uint8], labels: Classes | None) -> Answers:
    logits = predict(images)
    best = None
    each = class_logits(logits)
    if labels is not None and each.shape[1] > BEST:
        first = np.argsort(-each, axis=1, kind="stable")[:, :BEST]
        best = (first == labels[:, None]).any(axis=1)
    return Answers(classes_of(logits), probabilities(logits).max(axis=1), best)


def _joined(parts: list[Answers]) -> Answers:
    if not parts:
        return Answers(np.empty(0, np.int64), np.empty(0))
    best = [part.in_best_five for part in parts if part.in_best_five is not None]
    return Answers(
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.confidences for part in parts]),
        np.concatenate(best) if best else None,
    )
