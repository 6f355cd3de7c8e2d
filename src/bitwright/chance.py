"""What chance can do: whether guessing at random could have been right as often as a model was; whether it knows the classes
well, by other numbers than the labels have; and exact intervals and tests of counts, which hold for few images too."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

SURE = 0.01
"""Guessing is right this often, or more often, in less than one of a hundred trials: then it was no guessing."""


def at_chance(right: int, images: int, classes: int) -> bool:
    """Whether `right` of `images` is not significantly more than guessing among `classes` gives, or less than that.

    An exact binomial test, one-sided: P(X >= right), X ~ B(images, 1 / classes), is above 1 %. So few images can tell
    nothing; a model that is nearer to always right than to chance is never called at chance.
    """
    if classes < 2 or not images:
        return False
    chance = 1 / classes
    return right / images < (1 + chance) / 2 and _at_least(right, images, chance) > SURE


def chance_remark(who: str, right: int, images: int, classes: int) -> str:
    """The sentence about a model at chance level."""
    return (
        f"{who} is right on {100 * right / images:.1f} % of {images:,} images, no better than guessing among "
        f"{classes:,} classes: are labels, mean and std right?"
    )


def broken_remark(right: int, float_right: int, images: int, classes: int) -> str:
    """The sentence about an integer model at chance level, of a float model that is not."""
    return (
        f"the integer model is right on {100 * right / images:.1f} % of {images:,} images, no better than guessing among "
        f"{classes:,} classes, where the float model is right on {100 * float_right / images:.1f} %: what quantized or trained "
        "it has destroyed it; more bits, other images to calibrate on, or a lower learning rate may help"
    )


STEADY = 0.8
"""A label gets one other class this often, or more often: then it stands for that class."""
_STEADY_WHEN_WEAK = 0.4
_NO_CHANCE = 1e-4
"""The p value of what is no accident, though many sets of labels are looked at."""
_FEWEST = 5


def order_remark(confusion: Mapping[tuple[int, int], int]) -> str | None:
    """What to say of labels in another order than the model's classes; None where they are in the same, as far as can be seen.

    They are in another order where most images have a label that nearly always gets one other class, and no other label gets
    that; or where some labels nearly always get each other's classes, however few they are. Of a model at chance level
    "nearly always" is less often: it may be a weak one that knows the classes by other numbers.
    Labels that count from 1 are told by fewer images. `confusion` counts (label, guess) pairs.
    """
    guesses: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for (label, guess), count in confusion.items():
        guesses[label][guess] = count
    images, right = sum(confusion.values()), sum(count for (label, guess), count in confusion.items() if label == guess)
    classes = len({number for pair in confusion for number in pair})
    steady = STEADY
    if at_chance(right, images, classes):
        steady = min(STEADY, max(_STEADY_WHEN_WEAK, 3 / classes))
    taken_for: dict[int, int] = {}
    for label, counts in sorted(guesses.items()):
        (guess, most), seen = counts.most_common(1)[0], counts.total()
        if guess != label and seen >= _FEWEST and most >= steady * seen:
            taken_for[label] = guess
    shares = Counter(taken_for.values())
    taken_for = {label: guess for label, guess in taken_for.items() if shares[guess] == 1}
    exchanged = {label for label in taken_for if _comes_back(label, taken_for)}
    moved = sum(guesses[label].total() for label in taken_for)
    if len(taken_for) < 2 or not (exchanged or 2 * moved >= images):
        return _shift_remark(confusion)
    some = ", of ".join(f"{label} for {guess}" for label, guess in list(taken_for.items())[:3])
    return (
        "are the labels in another order than the model's classes? Most images of label "
        f"{some.replace(' for ', ' are taken for class ', 1)}{', ...' if len(taken_for) > 3 else ''}"
    )


def _shift_remark(confusion: Mapping[tuple[int, int], int]) -> str | None:
    """What to say of labels that are all one too large, or one too small: then the model is right far more often."""
    images, classes = sum(confusion.values()), max((max(pair) for pair in confusion), default=0) + 1
    right = {by: sum(n for (label, guess), n in confusion.items() if label + by == guess) for by in (-1, 0, 1)}
    by = max(right, key=lambda shift: right[shift])
    if by == 0 or classes < 5 or 2 * right[by] < images or mcnemar(right[0], right[by]) > _NO_CHANCE:
        return None
    counted = "do the labels count from 1? With 1 taken off" if by < 0 else "is 1 taken off the labels? With 1 added to"
    return f"{counted} each, {100 * right[by] / images:.1f} % are right"


def _comes_back(label: int, taken_for: Mapping[int, int]) -> bool:
    """Whether a label's class is another label's, whose class is another's, ... whose class is this label's."""
    at = taken_for.get(label)
    for _ in taken_for:
        if at is None or at == label:
            break
        at = taken_for.get(at)
    return at == label


def doubts(who: str, labels: Sequence[int], guesses: Sequence[int], classes: int) -> str | None:
    """What to say of labels that do not seem to be a model's: it only guesses them, or they are in another order; else None."""
    confusion = Counter(zip(labels, guesses, strict=True))
    right, images = sum(count for (label, guess), count in confusion.items() if label == guess), len(labels)
    order = order_remark(confusion)
    if at_chance(right, images, classes):
        return chance_remark(who, right, images, classes) + ("" if order is None else f" Or {order}")
    return None if order is None else f"{who} is right on {100 * right / images:.1f} % of {images:,} images; {order}"


def exact_interval(count: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds the true share with at least this confidence, 0 to 1, where `count` of `images` were seen.

    Clopper & Pearson 1934: both ends are the shares at which so many, or so few, have a probability of (1 - confidence) / 2.
    """
    if not images:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    lo = 0.0 if count == 0 else _share_where(lambda p: _at_least(count, images, p) > tail)
    hi = 1.0 if count == images else _share_where(lambda p: _at_least(images - count, images, 1 - p) < tail)
    return lo, hi


def mcnemar(lost: int, gained: int) -> float:
    """The p value of two models that differ on `lost` images one way and on `gained` the other: exact, two-sided.

    McNemar 1947: were they equally good, each of these images would have gone either way with probability 1/2.
    """
    if lost == gained:
        return 1.0
    return min(1.0, 2 * _at_least(max(lost, gained), lost + gained, 0.5))


def at_least(count: int, images: int, share: float) -> float:
    """P(X >= count), X ~ B(images, share): how surprising so many are where `share` of all were expected."""
    if count <= 0 or share >= 1:
        return 1.0
    return _at_least(count, images, share) if share > 0 else 0.0


def _share_where(holds: Callable[[float], bool]) -> float:
    """The share above which something holds, to nine digits, by bisection."""
    lo, hi = 0.0, 1.0
    for _ in range(30):
        middle = (lo + hi) / 2
        lo, hi = (lo, middle) if holds(middle) else (middle, hi)
    return (lo + hi) / 2


def _at_least(right: int, images: int, chance: float) -> float:
    """P(X >= right) for X ~ B(images, chance)."""
    log_p, log_q = math.log(chance), math.log1p(-chance)
    seen = np.arange(right, images + 1)
    factorials = _log_factorials(images)
    ways = factorials[images] - factorials[seen] - factorials[images - seen]
    return math.fsum(np.exp(ways + seen * log_p + (images - seen) * log_q).tolist())


@lru_cache(maxsize=16)
def _log_factorials(most: int) -> npt.NDArray[np.float64]:
    """log n! of every n from 0 to `most`: an interval asks thirty times for each of them."""
    return np.array([math.lgamma(n + 1) for n in range(most + 1)])
