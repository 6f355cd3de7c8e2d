"""Whether a model only guesses, against the binomial distribution in fractions; labels in another order; exact intervals
and tests of counts, against published figures and what they are defined by."""

from fractions import Fraction
from math import comb

import pytest

from bitwright.chance import SURE, at_chance, at_least, exact_interval, mcnemar, order_remark


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
        (
            {(0, 1): 20, (1, 2): 20, **{(label, label): 20 for label in range(2, 9)}},
            "most images are right, and none is exchanged",
        ),
        ({(label, label): 50 for label in range(5)}, "all are right"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_that_are_not_in_another_order(table: dict[tuple[int, int], int], why: str) -> None:
    assert order_remark(table) is None, why


@pytest.mark.parametrize(
    ("count", "images", "lo", "hi"),
    [(0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0), (15, 300, 0.0283, 0.0811)],
)
def test_intervals_are_those_of_clopper_and_pearson(count: int, images: int, lo: float, hi: float):
    assert exact_interval(count, images) == pytest.approx((lo, hi), abs=1e-4)


@pytest.mark.parametrize("count", [1, 3, 17, 99])
def test_the_ends_have_the_tail_that_they_are_defined_by(count: int):
    lo, hi = exact_interval(count, 100, 0.9)
    assert at_least(count, 100, lo) == pytest.approx(0.05, rel=1e-4)
    assert 1 - at_least(count + 1, 100, hi) == pytest.approx(0.05, rel=1e-4)


def test_without_images_nothing_is_known():
    assert exact_interval(0, 0) == (0.0, 1.0)


def test_mcnemar_counts_the_ways_that_a_coin_could_fall():
    exact = 2 * sum(comb(12, k) for k in range(10, 13)) / 2**12
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(exact)
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(
    ("by", "said"), [(1, "count from 1? With 1 taken off each, 90.0 %"), (-1, "With 1 added to each")]
)
def test_labels_that_are_one_off_are_told_by_few_images(by: int, said: str):
    found = order_remark({(i + by, i): 3 for i in range(1, 10)} | {(5, 2): 2, (5, 5): 1})
    assert found is not None
    assert said in found


@pytest.mark.parametrize(
    "table",
    [
        {(i + 1, i): 1 for i in range(9)},  # few images
        {(i + 1, i): 2 for i in range(9)} | {(i, i): 3 for i in range(9)},  # the labels as they are do better
        {(i + 1, i): 4 for i in range(9)} | {(i, 9 - i): 3 for i in range(10)} | {(i, i): 6 for i in range(5)},
    ],
)
def test_labels_that_may_be_right_are_not_said_to_be_one_off(table: dict[tuple[int, int], int]):
    assert "count from 1" not in str(order_remark(table))
