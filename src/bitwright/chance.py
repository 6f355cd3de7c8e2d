"""Whether a model is at chance level: whether guessing at random could have been right as often as it was; and whether it
knows the classes well, by other numbers than the labels have."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

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


STEADY = 0.8
_FEWEST = 5


def order_remark(confusion: Mapping[tuple[int, int], int]) -> str | None:
    """What to say where most images have a label that nearly always gets one other class, and no two labels the same: labels in
    another order. None where that is not so. `confusion` counts (label, guess) pairs."""
    guesses: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for (label, guess), images in confusion.items():
        guesses[label][guess] = images
    taken_for, moved = dict[int, int](), 0
    for label, counts in sorted(guesses.items()):
        (guess, most), images = counts.most_common(1)[0], counts.total()
        if guess != label and images >= _FEWEST and most >= STEADY * images:
            taken_for[label] = guess
            moved += images
    if len(taken_for) < 2 or len(set(taken_for.values())) < len(taken_for) or 2 * moved < sum(confusion.values()):
        return None
    some = ", of ".join(f"{label} for {guess}" for label, guess in list(taken_for.items())[:3])
    return (
        "are the labels in another order than the model's classes? Nearly all images of label "
        f"{some.replace(' for ', ' are taken for class ', 1)}{', ...' if len(taken_for) > 3 else ''}"
    )


def _at_least(right: int, images: int, chance: float) -> float:
    """P(X >= right) for X ~ B(images, chance)."""
    log_p, log_q = math.log(chance), math.log1p(-chance)
    ways = math.lgamma(images + 1)
    terms = (
        ways - math.lgamma(k + 1) - math.lgamma(images - k + 1) + k * log_p + (images - k) * log_q
        for k in range(right, images + 1)
    )
    return math.fsum(map(math.exp, terms))
