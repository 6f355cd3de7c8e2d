"""`Drop`: counts, the interval against published figures, and against what many samples show."""

import numpy as np
import pytest

from bitwright.budget.drop import Drop, drop_between, expect_max_drop
from bitwright.errors import BudgetError


def test_counts_and_points():
    labels = np.array([0, 0, 0, 1, 1])
    found = drop_between(np.array([0, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0]), labels)
    assert found == Drop(images=5, lost=2, gained=1, labelled=True, float_right=3)
    assert (found.points, found.float_top1, found.top1) == pytest.approx((20.0, 60.0, 40.0))


def test_without_labels_every_change_counts():
    found = drop_between(np.array([0, 1, 1]), np.array([0, 1, 2]), None)
    assert found == Drop(images=3, lost=1, gained=0, labelled=False)
    assert found.to_json()["against"] == "the float model's classes"
    assert found.top1 is None


def test_the_interval_is_the_published_one():
    """Approval of a prime minister, asked twice of 1,600 people (Agresti 2002, table 10.1): 944 approved, then 880.

    150 turned away and 86 turned to; Agresti & Min's adjusted interval is that of 150.5 and 86.5 among 1,602.
    """
    lo, hi = Drop(1600, lost=150, gained=86, labelled=True).interval()
    assert (lo / 100, hi / 100) == pytest.approx((0.0212, 0.0587), abs=1e-4)


@pytest.mark.parametrize(("lost", "gained", "images"), [(30, 10, 500), (3, 1, 100), (0, 0, 1000), (200, 190, 5000)])
def test_the_interval_holds_the_truth_as_often_as_it_says(lost: int, gained: int, images: int):
    rng = np.random.default_rng(0)
    truth = 100 * (lost - gained) / images
    counts = rng.multinomial(images, [lost / images, gained / images, 1 - (lost + gained) / images], 2000)
    intervals = [Drop(images, int(b), int(c), labelled=True).interval() for b, c, _ in counts]
    assert np.mean([lo <= truth <= hi for lo, hi in intervals]) > 0.93


def test_more_images_make_it_surer():
    few, many = Drop(200, 4, 2, labelled=True), Drop(20_000, 400, 200, labelled=True)
    assert few.uncertainty > 5 * many.uncertainty
    needed = few.images_for(many.uncertainty)
    assert Drop(needed, needed // 50, needed // 100, labelled=True).uncertainty == pytest.approx(
        many.uncertainty, rel=0.1
    )


def test_two_models_that_never_differ_are_not_certain_to_be_the_same():
    lo, hi = Drop(100, 0, 0, labelled=True, float_right=90).interval()
    assert lo < 0 < hi
    assert hi == pytest.approx(100 * 1.96 * 1 / 102, rel=1e-3)


@pytest.mark.parametrize("points", [float("nan"), float("inf"), -0.1, 100.1])
def test_what_is_no_budget_is_refused(points: float) -> None:
    with pytest.raises(BudgetError, match="max_drop in points of accuracy, from 0 to 100; found"):
        expect_max_drop(points)
