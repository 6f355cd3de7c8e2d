"""Faults in front of the first layer: class names in another order than the model's, pixels that mean something else.

Both are found by the float model's answers, so that rounding plays no part.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.audit.faults import Fault
from bitwright.audit.subject import Subject
from bitwright.chance import mcnemar
from bitwright.errors import BitwrightError
from bitwright.evaluation import float_predictor
from bitwright.images.preprocess import Preprocess
from bitwright.prediction import class_count, classes_of
from bitwright.prepared.image import image_type

SURE = 1e-3
"""The p value below which a difference is no chance."""
PROBED = 256
"""Images that a preprocessing is tried on, if it has more of the first `GLANCED` right than the artifact's has."""
GLANCED = 48
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
USUAL = (
    IMAGENET,
    {"mean": 0.5, "std": 0.5},
    {"mean": 0.0, "std": 1.0},
    {"mean": (0.4914, 0.4822, 0.4465), "std": (0.247, 0.2435, 0.2616)},
    {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.201)},
    {"mean": 0.1307, "std": 0.3081},
    {"mean": 0.0, "std": 1.0, "scale": 1.0},
    {"mean": 127.0, "std": 128.0, "scale": 1.0},
)
"""What most models were trained with, for one of which nobody knows."""
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shuffled:
    """Class names in a wrong order: `order[k]` is the class that is called what class k really is."""

    order: tuple[int, ...]
    fault: Fault


@dataclass(frozen=True)
class WrongPixels:
    """A preprocessing that the float model does better with than with the artifact's."""

    preprocess: Preprocess
    fault: Fault


def shuffled_names(subject: Subject) -> Shuffled | None:
    """Whether the labels, matched by the artifact's names, are the float model's classes in another order.

    The order is read off half of the images and has to hold on the others.
    """
    if subject.labels is None:
        return None
    labels, guesses = subject.labels, subject.float_classes
    count = class_count(subject.artifact.outputs)
    order = _best_order(labels[::2], guesses[::2], count)
    moved = [k for k in range(count) if order[k] != k]
    if not moved:
        return None
    held, seen = labels[1::2], guesses[1::2]
    right, before = order[held] == seen, held == seen
    lost, gained = int((before & ~right).sum()), int((right & ~before).sum())
    if gained <= lost or mcnemar(lost, gained) > SURE:
        return None
    names = subject.artifact.class_names
    some = ", ".join(f"{names[k]!r} are taken for {names[order[k]]!r}" for k in moved[:3])
    text = (
        f"class names are in another order than the model's outputs: images of {some}{', ...' if len(moved) > 3 else ''} by "
        f"the float model itself; with {len(moved)} names put right it has {gained} more of {len(held)} images right"
    )
    inverse = np.empty(count, int)
    inverse[order] = np.arange(count)
    return Shuffled(tuple(inverse.tolist()), Fault("names", None, text))


def _best_order(labels: Classes, guesses: Classes, count: int) -> Classes:
    """One class for each label, each but once, by how often they meet: the most frequent pairs first; int64 [classes]."""
    pairs = np.zeros((count, count), np.int64)
    np.add.at(pairs, (labels, guesses), 1)
    order, free = np.full(count, -1), np.ones(count, bool)
    rows, columns = np.unravel_index(np.argsort(-pairs, axis=None, kind="stable"), pairs.shape)
    for label, guess in zip(rows.tolist(), columns.tolist(), strict=True):
        if order[label] < 0 and free[guess] and pairs[label, guess] >= 2:
            order[label], free[guess] = guess, False
    for label in np.flatnonzero(order < 0):  # whose images say nothing: its own place where that is free
        if free[label]:
            order[label], free[label] = label, False
    left = np.flatnonzero(free)
    order[order < 0] = left
    return order


def put_right(subject: Subject, found: Shuffled) -> Subject:
    """The subject with its artifact's names, and so the labels, in the model's order."""
    names, labels = subject.artifact.classes, subject.labels
    assert labels is not None
    order = np.empty(len(found.order), np.int64)
    order[np.array(found.order)] = np.arange(len(found.order))
    right = subject.with_labels(order[labels])
    if names is None:
        return right
    renamed = tuple(names[found.order[k]] for k in range(len(names)))
    return replace(right, artifact=replace(subject.artifact, classes=renamed))


def wrong_pixels(subject: Subject) -> WrongPixels | None:
    """Whether the float model does better with its own preprocessing, or with a usual one, than with the artifact's.

    By labels where there are some; without any, by the classes that it gives with what is known to be its own.
    """
    artifact = subject.artifact.preprocess
    own = replace(subject.preprocess, encoder=artifact.encoder)
    if own != artifact:
        told = _compare(subject, own)
        return None if told is None else WrongPixels(own, told)
    if subject.labels is None:
        return None
    best = None
    for candidate in _usual(artifact):
        if best is None and _is_better_at_a_glance(subject, candidate):
            told = _compare(subject, candidate, only_better=True)
            best = None if told is None else WrongPixels(candidate, told)
    return best


def told_apart(subject: Subject) -> str | None:
    """What to say where the artifact's preprocessing is not what the model is known to have, whatever that costs; else None."""
    artifact, own = (
        subject.artifact.preprocess,
        replace(subject.preprocess, encoder=subject.artifact.preprocess.encoder),
    )
    if not (differences := _differences(artifact, own)):
        return None
    count = min(PROBED, len(subject.seen.pixels))
    with_own = classes_of(float_predictor(subject.model, own)(subject.pixels_for(own)[:count]))
    changed = int((with_own != _with_artifacts(subject, count)).sum())
    return (
        f"the artifact's preprocessing is not the model's own: {differences}; on {count} images that changes {changed} of the "
        "float model's answers"
    )


def other_pixels(artifact: Artifact) -> str | None:
    """What to say where the integers were made for pixels that mean something else than the artifact's preprocessing says."""
    found, expected = artifact.graph.values[artifact.graph.input].type, image_type(artifact.preprocess)
    if found is None or (
        found.zero_point == expected.zero_point and np.allclose(found.scale, expected.scale, rtol=1e-3)
    ):
        return None
    return (
        "the integers were made for another mean or std than the artifact's preprocessing says: a pixel's scale is "
        f"{_some(found.scale)} and its zero point {_some(found.zero_point)}, where {_some(expected.scale)} and "
        f"{_some(expected.zero_point)} belong to it; somebody changed one of the two"
    )


def _some(numbers: object) -> str:
    return ", ".join(f"{number:.4g}" for number in np.ravel(np.array(numbers))[:3].tolist())


def _is_better_at_a_glance(subject: Subject, other: Preprocess) -> bool:
    assert subject.labels is not None
    pixels, labels = subject.pixels_for(other)[:GLANCED], subject.labels[:GLANCED]
    right = classes_of(float_predictor(subject.model, other)(pixels)) == labels
    before = _with_artifacts(subject, len(labels)) == labels
    return int(right.sum()) > int(before.sum())


def _with_artifacts(subject: Subject, count: int) -> Classes:
    """The float model's classes of the first so many images as the artifact's preprocessing makes them."""
    artifact = subject.artifact.preprocess
    if replace(artifact, encoder=None) == replace(subject.preprocess, encoder=None):
        return subject.float_classes[:count]
    return classes_of(float_predictor(subject.model, artifact)(subject.seen.pixels[:count]))


def _usual(preprocess: Preprocess) -> Iterable[Preprocess]:
    for change in USUAL:
        try:
            candidate = replace(preprocess, **{"scale": 1 / 255, **change})  # type: ignore[arg-type]
        except BitwrightError:
            continue  # three means for grey pixels
        if candidate != preprocess:
            yield candidate
    if preprocess.mode in ("RGB", "BGR"):
        yield replace(preprocess, mode="BGR" if preprocess.mode == "RGB" else "RGB")


def _compare(subject: Subject, other: Preprocess, only_better: bool = False) -> Fault | None:
    artifact, count = subject.artifact.preprocess, min(PROBED, len(subject.seen.pixels))
    pixels = subject.pixels_for(other)[:count]
    with_own = classes_of(float_predictor(subject.model, other)(pixels))
    with_artifacts = _with_artifacts(subject, count)
    differences = _differences(artifact, other)
    if subject.labels is None:
        changed = int((with_own != with_artifacts).sum())
        if changed <= 0.02 * count:
            return None
        what = f"changes the float model's class of {changed} of {count} images"
    else:
        labels = subject.labels[:count]
        right, before = with_own == labels, with_artifacts == labels
        lost, gained = int((before & ~right).sum()), int((right & ~before).sum())
        if gained <= lost or mcnemar(lost, gained) > SURE:
            return None
        what = f"costs the float model itself {100 * (gained - lost) / count:.1f} points on {count} images"
    whose = "a usual one" if only_better else "its own"
    return Fault("preprocess", None, f"the artifact's preprocessing is not {whose}: {differences}; that {what}")


def _differences(artifact: Preprocess, other: Preprocess) -> str:
    """In which fields the artifact's preprocessing differs from another; empty where in none."""
    return ", ".join(
        f"{name} {getattr(artifact, name)} and not {getattr(other, name)}"
        for name in ("size", "resize", "mean", "std", "scale", "mode", "interpolation", "background")
        if getattr(artifact, name) != getattr(other, name)
    )
