"""`decisions`: what became of a model's answers, image by image: flips, damage of classes, calibration, margins.

ECE    = sum_b n_b / n |accuracy_b - confidence_b|     over bins of equal width, Guo et al. 2017 (arXiv 1706.04599), eq. 5
margin = y[k] - max_{j != k} y[j]                      k: the float model's best class, for both models
divergence = KL(p_float || p_integer) in nats
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bitwright.audit.decision_records import (
    Bin,
    ClassDamage,
    DecisionAudit,
    Flip,
    MarginShift,
    Reliability,
    Share,
)
from bitwright.budget.drop import drop_between
from bitwright.chance import exact_interval, mcnemar
from bitwright.prediction import class_logits, log_probabilities

BINS = 10
MOST_FLIPS = 20
"""The most images in each list of the record."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Answers:
    """What one model says of n images, by its logits [n, outputs]."""

    logits: npt.NDArray[np.float32]

    @cached_property
    def of_classes(self) -> Floats:
        found: Floats = class_logits(self.logits).astype(np.float64)
        return found

    @cached_property
    def log_p(self) -> Floats:
        return log_probabilities(self.logits)

    @cached_property
    def classes(self) -> Classes:
        found: Classes = self.of_classes.argmax(axis=1).astype(np.int64)
        return found

    @cached_property
    def confidence(self) -> Floats:
        """The probability of the class that it chose, in percent."""
        found: Floats = 100 * np.exp(self.log_p.max(axis=1))
        return found

    def margins(self, classes: Classes) -> Floats:
        """How much the logit of each image's class exceeds all others."""
        rows = np.arange(len(classes))
        others = self.of_classes.copy()
        others[rows, classes] = -np.inf
        found: Floats = self.of_classes[rows, classes] - others.max(axis=1)
        return found


def decisions(
    float_logits: npt.NDArray[np.float32],
    integer_logits: npt.NDArray[np.float32],
    labels: Classes | None,
    class_names: Sequence[str],
    image_names: Sequence[str],
) -> DecisionAudit:
    """Compare what two models say of the same n images, from their logits [n, outputs].

    Args:
        float_logits: of the float model.
        integer_logits: of the integer model.
        labels: the class of each image, int64 [n]; None where nobody knows.
        class_names: of all classes, in the order of the logits.
        image_names: of the images.
    """
    one, other = Answers(float_logits), Answers(integer_logits)
    changed = one.classes != other.classes
    divergence = (np.exp(one.log_p) * (one.log_p - other.log_p)).sum(axis=1)
    kinds = _kinds(one.classes, other.classes, labels)
    drop = drop_between(other.classes, one.classes, labels)
    count = len(changed)

    def flip(i: int) -> Flip:
        return Flip(
            image=image_names[i],
            label=None if labels is None else class_names[labels[i]],
            float_class=class_names[one.classes[i]],
            integer_class=class_names[other.classes[i]],
            float_confidence=float(one.confidence[i]),
            integer_confidence=float(other.confidence[i]),
            divergence=float(divergence[i]),
            kind=kinds[i],
        )

    sure = one.confidence * other.confidence
    flipped = sorted(np.flatnonzero(changed).tolist(), key=lambda i: -sure[i])
    return DecisionAudit(
        images=count,
        agreement=share(int((~changed).sum()), count),
        float_top1=None if labels is None else share(int((one.classes == labels).sum()), count),
        integer_top1=None if labels is None else share(int((other.classes == labels).sum()), count),
        drop=None if labels is None else drop.points,
        drop_interval=None if labels is None else drop.interval(),
        lost=kinds.count("lost"),
        gained=kinds.count("gained"),
        moved=kinds.count("moved"),
        mcnemar_p=None if labels is None else mcnemar(drop.lost, drop.gained),
        classes=() if labels is None else damage(one.classes, other.classes, labels, class_names),
        float_reliability=None if labels is None else reliability(one.confidence, one.classes == labels),
        integer_reliability=None if labels is None else reliability(other.confidence, other.classes == labels),
        margin=margin_shift(one, other),
        flips=tuple(map(flip, flipped[:MOST_FLIPS])),
        disagreeing=tuple(map(flip, np.argsort(-divergence, kind="stable")[:MOST_FLIPS].tolist())),
    )


def _kinds(one: Classes, other: Classes, labels: Classes | None) -> list[str]:
    changed = one != other
    if labels is None:
        return ["moved" if c else "kept" for c in changed]
    found = np.where(changed, "moved", "kept").astype(object)
    found[changed & (one == labels)] = "lost"
    found[changed & (other == labels)] = "gained"
    kinds: list[str] = found.tolist()
    return kinds


def share(count: int, images: int) -> Share:
    """A share of images in percent, with its exact interval."""
    lo, hi = exact_interval(count, images)
    return Share(count, images, 100 * count / images, (100 * lo, 100 * hi))


def damage(one: Classes, other: Classes, labels: Classes, names: Sequence[str]) -> tuple[ClassDamage, ...]:
    """What each class that has images lost, the greatest drop first."""
    found = []
    for k in np.unique(labels).tolist():
        mine = labels == k
        right, float_right = other[mine] == k, one[mine] == k
        lost, gained = int((float_right & ~right).sum()), int((right & ~float_right).sum())
        images = int(mine.sum())
        found.append(
            ClassDamage(
                name=names[k],
                images=images,
                float_right=int(float_right.sum()),
                integer_right=int(right.sum()),
                lost=lost,
                gained=gained,
                drop=100 * (lost - gained) / images,
                lost_share=share(lost, images),
                p=mcnemar(lost, gained),
            )
        )
    return tuple(sorted(found, key=lambda each: -each.drop))


def reliability(confidence: Floats, right: Mask) -> Reliability:
    """How far confidences, in percent, are from how often they are right."""
    places = np.minimum((confidence * BINS / 100).astype(int), BINS - 1)
    bins, ece = [], 0.0
    for k in range(BINS):
        mine = places == k
        images = int(mine.sum())
        said = float(confidence[mine].mean()) if images else None
        was = 100 * float(right[mine].mean()) if images else None
        if said is not None and was is not None:
            ece += images / len(right) * abs(was - said)
        bins.append(Bin(100 * k / BINS, 100 * (k + 1) / BINS, images, said, was))
    return Reliability(ece, float(confidence.mean()), tuple(bins))


def margin_shift(one: Answers, other: Answers) -> MarginShift:
    """How the margin of the float model's classes moved."""
    before, after = one.margins(one.classes), other.margins(one.classes)
    return MarginShift(
        float_median=float(np.median(before)),
        integer_median=float(np.median(after)),
        quantiles=tuple(np.quantile(after - before, QUANTILES).tolist()),
        eroded=100 * float((after < before / 2).mean()),
    )
