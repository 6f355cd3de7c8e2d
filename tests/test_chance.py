"""Exact intervals and tests of counts, against published figures and what they are defined by."""

import math

import pytest

from bitwright.chance import at_least, exact_interval, mcnemar


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
    exact = 2 * sum(math.comb(12, k) for k in range(10, 13)) / 2**12
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(exact)
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1.0
