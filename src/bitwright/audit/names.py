"""A fault behind the last layer: class names in another order than the model's outputs.

It is found by the float model's answers, so that rounding plays no part.

    order    of each label the class that its images get: the most frequent pairs first, each class but once
    crossed  read off every second image of each label, it has to hold on the others, and the other way round (McNemar)

Where each label has one picture alone, no order can be read and proved. But a model that is sure of its answers and never
right has other names than the labels: P(X <= right), X ~ B(images, half of its mean confidence).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitwright.audit.faults import Fault
from bitwright.audit.subject import Classes, Subject
from bitwright.chance import at_chance, at_least, mcnemar
from bitwright.prediction import class_count, probabilities

SURE = 1e-3
"""The p value below which a difference is no chance."""


@dataclass(frozen=True)
class Shuffled:
    """Class names in a wrong order: `order[k]` is the class that is called what class k really is.

    `labels` [N] are what the images' own become by an order that was read off other images.
    """

    order: tuple[int, ...]
    labels: Classes
    fault: Fault


def shuffled_names(subject: Subject) -> Shuffled | None:
    """Whether the labels, matched by the artifact's names, are the float model's classes in another order."""
    if subject.labels is None:
        return None
    labels, guesses = subject.labels, subject.float_classes
    count, other = class_count(subject.artifact.outputs), _halves(subject.labels)
    crossed = np.where(
        other,
        _best_order(labels[~other], guesses[~other], count)[labels],
        _best_order(labels[other], guesses[other], count)[labels],
    )
    right, before = crossed == guesses, labels == guesses
    lost, gained = int((before & ~right).sum()), int((right & ~before).sum())
    if gained <= lost or mcnemar(lost, gained) > SURE:
        return None
    order = _best_order(labels, guesses, count)
    names, moved = subject.artifact.class_names, [k for k in range(count) if order[k] != k]
    some = ", ".join(f"{names[k]!r} are taken for {names[order[k]]!r}" for k in moved[:3])
    text = (
        f"class names are in another order than the model's outputs: images of {some}{', ...' if len(moved) > 3 else ''} by "
        f"the float model itself; with {len(moved)} names put right, as other images tell, it has {gained - lost} more of "
        f"{len(labels)} images right"
    )
    inverse = np.empty(count, int)
    inverse[order] = np.arange(count)
    return Shuffled(tuple(inverse.tolist()), crossed, Fault("names", None, text))


def _halves(labels: Classes) -> npt.NDArray[np.bool_]:
    """Every second image of each label, [N]."""
    ordered = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[ordered], labels)
    places = np.empty(len(labels), np.int64)
    places[ordered] = np.arange(len(labels))
    found: npt.NDArray[np.bool_] = (places - starts) % 2 == 1
    return found


def _best_order(labels: Classes, guesses: Classes, count: int) -> Classes:
    """One class for each label, each but once, by how often they meet: the most frequent pairs first; int64 [classes].

    One image tells a label's class only where it is the only one that the label has; of two pairs that meet as often, that
    comes first which leaves a label in its place.
    """
    pairs = np.zeros((count, count), np.int64)
    np.add.at(pairs, (labels, guesses), 1)
    images = pairs.sum(axis=1)
    order, free = np.full(count, -1), np.ones(count, bool)
    rows, columns = np.nonzero(pairs)
    ranked = np.lexsort((rows != columns, -pairs[rows, columns]))
    for label, guess in zip(rows[ranked].tolist(), columns[ranked].tolist(), strict=True):
        if order[label] < 0 and free[guess] and (pairs[label, guess] >= 2 or images[label] == 1):
            order[label], free[guess] = guess, False
    for label in np.flatnonzero(order < 0):  # whose images say nothing: its own place where that is free
        if free[label]:
            order[label], free[label] = label, False
    left = np.flatnonzero(free)
    order[order < 0] = left
    return order


def put_right(subject: Subject, found: Shuffled) -> Subject:
    """The subject with its artifact's names, and so the labels, in the model's order."""
    names = subject.artifact.classes
    right = subject.with_labels(found.labels)
    if names is None:
        return right
    renamed = tuple(names[found.order[k]] for k in range(len(names)))
    return replace(right, artifact=replace(subject.artifact, classes=renamed))


def unknown_order(subject: Subject) -> Fault | None:
    """Whether the labels cannot be the float model's classes, though nobody can tell in which order these are."""
    if subject.labels is None:
        return None
    images, right = len(subject.labels), int((subject.float_classes == subject.labels).sum())
    sure = float(probabilities(subject.float_logits).max(axis=1).mean())
    wrong_by_chance = at_least(images - right, images, 1 - sure / 2)
    if not at_chance(right, images, class_count(subject.artifact.outputs)) or wrong_by_chance > SURE:
        return None
    text = (
        f"class names, or labels, are not the model's outputs in their order: the float model is {100 * sure:.0f} % sure of "
        f"its answers, and right on {right} of {images} images; four images of each class, or more, would tell the order"
    )
    return Fault("names", None, text)
