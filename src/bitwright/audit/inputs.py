"""A fault in front of the first layer: pixels that mean something else than the float model takes them for.

It is found by the float model's answers, so that rounding plays no part.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from bitwright.artifact import Artifact
from bitwright.audit.faults import Fault
from bitwright.audit.subject import Classes, Logits, Subject
from bitwright.chance import mcnemar
from bitwright.errors import BitwrightError
from bitwright.evaluation import float_predictor
from bitwright.images.preprocess import Preprocess
from bitwright.prediction import classes_of, log_probabilities
from bitwright.prepared.image import image_type

SURE = 1e-3
"""The p value below which a difference is no chance."""
PROBED = 256
"""Images that a preprocessing is tried on, if it has more of the first `GLANCED` right than the artifact's has."""
GLANCED = 48
LEAST_NATS = 0.01
"""How much less likely, on average, the labels have to be by another preprocessing before that is a fault."""
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


@dataclass(frozen=True)
class WrongPixels:
    """A preprocessing that the float model does better with than with the artifact's."""

    preprocess: Preprocess
    fault: Fault


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
    changed = int((with_own != classes_of(_with_artifacts(subject, count))).sum())
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
    before = classes_of(_with_artifacts(subject, len(labels))) == labels
    return int(right.sum()) > int(before.sum())


def _with_artifacts(subject: Subject, count: int) -> Logits:
    """The float model's logits of the first so many images as the artifact's preprocessing makes them."""
    artifact = subject.artifact.preprocess
    if replace(artifact, encoder=None) == replace(subject.preprocess, encoder=None):
        return subject.float_logits[:count]
    return float_predictor(subject.model, artifact)(subject.seen.pixels[:count])


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
    """The fault of the artifact's preprocessing, where the float model does better with the other; None where it does not.

    With `only_better` nobody says that the other is its own; then answers have to be right that were not. Else it is enough
    that most labels become more likely, which few images tell, too.
    """
    artifact, count = subject.artifact.preprocess, min(PROBED, len(subject.seen.pixels))
    with_own = float_predictor(subject.model, other)(subject.pixels_for(other)[:count])
    with_artifacts = _with_artifacts(subject, count)
    if subject.labels is None:
        changed = int((classes_of(with_own) != classes_of(with_artifacts)).sum())
        what = f"changes the float model's class of {changed} of {count} images" if changed > 0.02 * count else None
    else:
        what = _costs(with_own, with_artifacts, subject.labels[:count], not only_better)
    if what is None:
        return None
    whose = "a usual one" if only_better else "its own"
    differences = _differences(artifact, other)
    return Fault("preprocess", None, f"the artifact's preprocessing is not {whose}: {differences}; that {what}")


def _costs(own: Logits, artifacts: Logits, labels: Classes, by_likelihood: bool) -> str | None:
    """What it costs the float model to see images as the artifact's preprocessing makes them; None where that may be chance."""
    count = len(labels)
    right, before = classes_of(own) == labels, classes_of(artifacts) == labels
    lost, gained = int((before & ~right).sum()), int((right & ~before).sum())
    if gained > lost and mcnemar(lost, gained) <= SURE:
        return f"costs the float model itself {100 * (gained - lost) / count:.1f} points on {count} images"
    gain = (log_probabilities(own) - log_probabilities(artifacts))[np.arange(count), labels]
    better, worse = int((gain > 0).sum()), int((gain < 0).sum())
    if not by_likelihood or better <= worse or gain.mean() < LEAST_NATS or mcnemar(worse, better) > SURE:
        return None
    return f"makes the label less likely for the float model on {better} of {count} images, {gain.mean():.2g} nats on average"


def _differences(artifact: Preprocess, other: Preprocess) -> str:
    """In which fields the artifact's preprocessing differs from another; empty where in none."""
    return ", ".join(
        f"{name} {getattr(artifact, name)} and not {getattr(other, name)}"
        for name in ("size", "resize", "mean", "std", "scale", "mode", "interpolation", "background")
        if getattr(artifact, name) != getattr(other, name)
    )
