"""Whether a model only guesses, against the binomial distribution in fractions; and labels in another order."""

from fractions import Fraction
from math import comb

import pytest

from bitwright.chance import SURE, at_chance, order_remark


@pytest.mark.parametrize(("images", "classes"), [(1, 2), (6, 3), (20, 10), (45, 2), (60, 4)])
def test_at_chance_is_an_exact_test_of_guessing(images: int, classes: int) -> None:
    p = Fraction(1, classes)
    for right in range(images + 1):
        ways = [comb(images, k) * p**k * (1 - p) ** (images - k) for k in range(right, images + 1)]
        nearer_to_right = Fraction(right, images) >= (1 + p) / 2
        assert at_chance(right, images, classes) == (sum(ways) > SURE and not nearer_to_right), right


@pytest.mark.parametrize(("images", "classes"), [(0, 5), (9, 1), (9, 0)])
def test_where_nothing_can_be_guessed_nobody_is_at_chance(images: int, classes: int) -> None:
    assert not at_chance(0, images, classes)


def moved(images: int, most: int, labels: int = 3) -> dict[tuple[int, int], int]:
    """Labels of which each is taken for the next one in `most` of its images, and is right in the others."""
    table = {(label, (label + 1) % labels): most for label in range(labels)}
    return table | {(label, label): images - most for label in range(labels) if images > most}


@pytest.mark.parametrize(("images", "most"), [(5, 5), (5, 4), (100, 80), (100, 100)])
def test_labels_that_are_nearly_always_taken_for_another_are_in_another_order(images: int, most: int) -> None:
    remark = order_remark(moved(images, most))
    assert remark is not None
    assert "label 0 are taken for class 1, of 1 for 2, of 2 for 0" in remark


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (moved(4, 4), "too few images of each label"),
        (moved(100, 79), "not steadily"),
        (moved(100, 60), "right often"),
        ({(0, 1): 90, (1, 1): 90}, "one label alone is mistaken"),
        ({(0, 2): 90, (1, 2): 90, (2, 2): 5}, "two labels are taken for one class"),
        ({(0, 1): 20, (1, 0): 20, **{(label, label): 20 for label in range(2, 9)}}, "most images are right"),
        ({(label, label): 50 for label in range(5)}, "all are right"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_that_are_not_in_another_order(table: dict[tuple[int, int], int], why: str) -> None:
    assert order_remark(table) is None, why
