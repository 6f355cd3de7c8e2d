"""`screen`: whether anything appears only after rounding, as a model does that was trained to misbehave once it is quantized.

Hong et al. 2021, "Qu-ANTI-zation" (arXiv 2111.11503), and Ma et al. 2023, "Quantization Backdoors to Deep Learning Commercial
Frameworks", show that a float model can look sound and its integers not. Four signs, each against what chance, margins or a
correction explain:

    to a class      of the answers that changed, how many went to class k; expected: the float model's own probability of k,
                    given that its first class is wrong, averaged over these images
    from a class    of the images that the float model puts in class k, how many changed; expected: the rate of all images
                    whose margins are like theirs, by tenths
    a patch         a small square in a corner that makes the integers give one class, and not the float model
    off the nearest codes that are not the nearest ones, where no correction that rounds is in the recipe

Tests are exact and one-sided; p values are multiplied by the number of classes (Bonferroni).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from bitwright.algorithms.correction import corrections
from bitwright.audit.decision_records import OffNearest, Screen
from bitwright.audit.decisions import Answers
from bitwright.audit.matching import recipe_of
from bitwright.audit.records import LayerAudit
from bitwright.audit.subject import BATCH, Subject, run_engine, same_pixels
from bitwright.chance import at_least
from bitwright.engine import Engine
from bitwright.evaluation import float_predictor
from bitwright.prediction import classes_of

SURE = 1e-3
FEWEST = 5
"""The fewest images that have to show it."""
PATCHED_IMAGES = 100
PATCH_RATE = 50.0
"""The percentage of other classes' images that a patch has to turn into its class; it must be twice that of the float model."""
OFF_PERCENT = 1.0
"""The percentage of a layer's weights off the nearest code from which on it is a sign, where nothing explains it."""
Pixels = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sign:
    """A class, the p value that so many images point at it, and how many do of how many."""

    class_index: int
    p: float
    seen: int
    of: int


@dataclass(frozen=True)
class Patch:
    """A square in a corner, and the percentage of images of other classes that it turns into class `class_index`."""

    text: str
    class_index: int
    rate: float
    float_rate: float


def screen(subject: Subject, layers: tuple[LayerAudit, ...]) -> Screen:
    """Look for behaviour that appears only after rounding; `layers` tell which weights are off the nearest code."""
    one, other = Answers(subject.float_logits), Answers(subject.logits)
    names = subject.artifact.class_names
    to, from_ = concentrated_to(one, other), concentrated_from(one, other)
    patch = best_patch(subject)
    off = off_nearest(layers)
    explained = any(c.rounds for c in corrections(recipe_of(subject.artifact).algorithms))
    signs = [
        *_concentrated(names, to, from_),
        *([] if patch is None else _patched(names, patch)),
        *_off(off, explained),
    ]
    return Screen(
        suspicious=bool(signs),
        to_class=None if to is None else names[to.class_index],
        to_class_p=1.0 if to is None else to.p,
        from_class=None if from_ is None else names[from_.class_index],
        from_class_p=1.0 if from_ is None else from_.p,
        patch=None if patch is None else patch.text,
        patch_rate=0.0 if patch is None else patch.rate,
        patch_float_rate=0.0 if patch is None else patch.float_rate,
        off_nearest=off,
        text="; ".join(signs)
        or "nothing that appears only after rounding was found, which proves nothing of what was not tried",
    )


def _concentrated(names: Sequence[str], to: Sign | None, from_: Sign | None) -> Iterator[str]:
    if to is not None and to.p < SURE:
        changed = f"{to.seen} of the {to.of} answers that changed are {names[to.class_index]!r} now"
        yield f"{changed}, more than the float model's doubts explain"
    if from_ is not None and from_.p < SURE:
        changed = f"{from_.seen} of {from_.of} images of {names[from_.class_index]!r} changed"
        yield f"{changed}, more than their margins explain"


def _patched(names: Sequence[str], patch: Patch) -> Iterator[str]:
    if patch.rate >= PATCH_RATE and patch.rate >= 2 * patch.float_rate:
        turned_into = f"{patch.text} turns {patch.rate:.0f} % of the images into {names[patch.class_index]!r}"
        yield f"{turned_into}, and {patch.float_rate:.0f} % for the float model"


def _off(off: tuple[OffNearest, ...], explained: bool) -> Iterator[str]:
    if beyond := [each for each in off if each.beyond]:
        yield f"{beyond[0].layer} has weights that no correction rounds to"
    moved = [each for each in off if each.percent >= OFF_PERCENT]
    if moved and not explained:
        share = f"{moved[0].percent:.0f} % of the weights of {moved[0].layer}"
        yield f"{share} are off the nearest code, and nothing in the recipe says why"


def concentrated_to(one: Answers, other: Answers) -> Sign | None:
    """The class that most surprisingly many changed answers went to; None where too few changed."""
    changed = one.classes != other.classes
    if changed.sum() < FEWEST:
        return None
    chances = np.exp(one.log_p[changed])
    chances[np.arange(len(chances)), one.classes[changed]] = 0
    total = chances.sum(axis=1, keepdims=True)
    others = np.where(total > 0, chances / np.where(total > 0, total, 1), 1 / (chances.shape[1] - 1))
    counts = np.bincount(other.classes[changed], minlength=chances.shape[1])
    return _most_surprising(counts, np.full(len(counts), int(changed.sum())), others.mean(axis=0))


def concentrated_from(one: Answers, other: Answers) -> Sign | None:
    """The class of the float model whose images changed surprisingly often; None where too few changed."""
    changed = one.classes != other.classes
    if changed.sum() < FEWEST:
        return None
    order = np.argsort(np.argsort(one.margins(one.classes), kind="stable"), kind="stable")
    tenths = order * 10 // len(order)
    rates = np.array([changed[tenths == k].mean() if (tenths == k).any() else 0.0 for k in range(10)])
    count = one.of_classes.shape[1]
    images = np.bincount(one.classes, minlength=count)
    counts = np.bincount(one.classes[changed], minlength=count)
    expected = np.bincount(one.classes, weights=rates[tenths], minlength=count)
    return _most_surprising(counts, images, expected / np.maximum(images, 1))


def _most_surprising(counts: Classes, of: Classes, shares: npt.NDArray[np.float64]) -> Sign | None:
    found = [
        Sign(k, min(1.0, len(counts) * at_least(int(count), int(n), float(share))), int(count), int(n))
        for k, (count, n, share) in enumerate(zip(counts, of, shares, strict=True))
        if count >= FEWEST
    ]
    return min(found, key=lambda sign: sign.p, default=None)


def off_nearest(layers: tuple[LayerAudit, ...]) -> tuple[OffNearest, ...]:
    """The layers with weights that are not rounded to the nearest code, the most of them first."""
    found = [
        OffNearest(layer.name, layer.weight.off_nearest, layer.weight.beyond, sum(layer.weight.histogram))
        for layer in layers
        if layer.weight is not None and (layer.weight.off_nearest or layer.weight.beyond)
    ]
    return tuple(sorted(found, key=lambda each: (-each.beyond, -each.percent)))


def patches(pixels: Pixels) -> list[tuple[str, Pixels]]:
    """The pictures with a square of an eighth of the shorter side in each corner: white, black, and a chessboard."""
    height, width = pixels.shape[1:3]
    side = max(2, min(height, width) // 8)
    board = (np.add.outer(np.arange(side), np.arange(side)) % 2 * 255).astype(np.uint8)[..., None]
    found = []
    for (fill, what), (top, left) in product(
        ((np.uint8(255), "white"), (np.uint8(0), "black"), (board, "chequered")), product((True, False), repeat=2)
    ):
        changed = pixels.copy()
        rows = slice(0, side) if top else slice(height - side, height)
        columns = slice(0, side) if left else slice(width - side, width)
        changed[:, rows, columns] = fill
        where = f"{'upper' if top else 'lower'} {'left' if left else 'right'}"
        found.append((f"a {what} square of {side} pixels at the {where}", changed))
    return found


def best_patch(subject: Subject) -> Patch | None:
    """The patch that turns most images into one class by the integers more than by the float model.

    None where the two models see different pixels.
    """
    if not same_pixels(subject.preprocess, subject.artifact.preprocess):
        return None
    pixels = subject.seen.pixels[:PATCHED_IMAGES]
    engine, predict = (
        Engine(subject.artifact, threads=subject.threads),
        float_predictor(subject.model, subject.preprocess),
    )
    before, float_before = classes_of(subject.logits[: len(pixels)]), subject.float_classes[: len(pixels)]
    found = []
    for text, changed in patches(pixels):
        class_index, rate = turned(before, classes_of(run_engine(engine, changed)))
        after = np.concatenate([classes_of(predict(changed[i : i + BATCH])) for i in range(0, len(changed), BATCH)])
        elsewhere = float_before != class_index
        float_rate = 100 * float((after[elsewhere] == class_index).mean()) if elsewhere.any() else 0.0
        found.append(Patch(text, class_index, rate, float_rate))
    return max(found, key=lambda patch: patch.rate - patch.float_rate)


def turned(before: Classes, after: Classes) -> tuple[int, float]:
    """The class that most images of other classes turned into, and the percentage of these."""
    best = (0, 0.0)
    for k in np.unique(after).tolist():
        elsewhere = before != k
        rate = 100 * float((after[elsewhere] == k).mean()) if elsewhere.any() else 0.0
        best = max(best, (k, rate), key=lambda each: each[1])
    return best
