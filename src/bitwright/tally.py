"""What an evaluation found, and the counts it is made of: whole numbers, which add up the same for any number of processes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.chance import at_chance, broken_remark, chance_remark, order_remark
from bitwright.images.sources import BadImage
from bitwright.labels import Fitted
from bitwright.prediction import class_logits, classes_of
from bitwright.records import Measured

Logits = npt.NDArray[np.float32]
BEST = 5
"""Top-5 is None where there are no more classes: every one of them is among the best five."""
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
        both, ranked = self.labelled and self.compared, self.classes > BEST
        return {
            "images": self.images,
            "classes": self.classes,
            "top1": self._percent(self.top1, self.labelled),
            "top5": self._percent(self.top5, self.labelled and ranked),
            "at_chance": at_chance(self.top1, self.images, self.classes) if self.labelled else None,
            "agreement": self._percent(self.agreed, self.compared),
            "reference_top1": self._percent(self.reference_top1, both),
            "reference_top5": self._percent(self.reference_top5, both and ranked),
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
