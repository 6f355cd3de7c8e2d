"""The decision audit against numbers worked out by hand, and against scipy."""

import numpy as np
import numpy.typing as npt
import pytest

from bitwright.audit.decisions import Answers, decisions, margin_shift, reliability, share

Floats = npt.NDArray[np.float32]
NAMES = ("cat", "dog", "emu")
IMAGES = tuple(f"image {i}" for i in range(6))
LABELS = np.array([0, 0, 1, 1, 2, 2])


def floats(rows: list[list[float]]) -> Floats:
    return np.array(rows, np.float32)


def logits(classes: list[int], margin: float = 2.0) -> Floats:
    """The class of each image is `margin` above the others, which are 0."""
    return floats([[margin * (k == each) for k in range(3)] for each in classes])


FLOAT, INTEGER = logits([0, 0, 1, 2, 2, 0]), logits([0, 1, 1, 1, 0, 1], 3.0)


def test_flips_are_counted_both_ways():
    found = decisions(FLOAT, INTEGER, LABELS, NAMES, IMAGES)
    assert (found.lost, found.gained, found.moved) == (2, 1, 1)
    assert found.agreement.count == 2
    assert found.agreement.percent == pytest.approx(100 / 3)
    assert found.float_top1 is not None
    assert found.integer_top1 is not None
    assert (found.float_top1.count, found.integer_top1.count) == (4, 3)
    assert found.drop == pytest.approx(100 / 6)
    assert found.mcnemar_p == 1.0  # 2 and 1 of 3 coins: every outcome is as likely or less
    assert {flip.image: flip.kind for flip in found.flips} == {
        "image 1": "lost",
        "image 3": "gained",
        "image 4": "lost",
        "image 5": "moved",
    }


def test_a_flip_tells_what_both_said_and_how_sure_they_were():
    found = decisions(FLOAT, INTEGER, LABELS, NAMES, IMAGES)
    flip = next(flip for flip in found.flips if flip.image == "image 1")
    assert (flip.label, flip.float_class, flip.integer_class) == ("cat", "cat", "dog")
    p, q = np.exp(2) / (np.exp(2) + 2), np.exp(3) / (np.exp(3) + 2)
    assert [flip.float_confidence, flip.integer_confidence] == pytest.approx([100 * p, 100 * q])
    rest, low = (1 - p) / 2, (1 - q) / 2
    divergence = p * np.log(p / low) + rest * np.log(rest / q) + rest * np.log(rest / low)
    assert flip.divergence == pytest.approx(divergence)


def test_the_surest_flips_and_the_most_different_images_come_first():
    found = decisions(logits([0, 0, 0], 1.0), floats([[0, 1, 0], [0, 9, 0], [0.9, 0, 0]]), None, NAMES, IMAGES[:3])
    assert [flip.image for flip in found.flips] == ["image 1", "image 0"]
    assert [(each.image, each.kind) for each in found.disagreeing] == [
        ("image 1", "moved"),
        ("image 0", "moved"),
        ("image 2", "kept"),
    ]
    assert (found.float_top1, found.drop, found.mcnemar_p, found.classes, found.float_reliability) == (
        None,
        None,
        None,
        (),
        None,
    )


def test_damage_is_told_of_each_class_the_greatest_first():
    found = decisions(FLOAT, INTEGER, LABELS, NAMES, IMAGES).classes
    assert [(c.name, c.images, c.float_right, c.integer_right, c.lost, c.gained, c.drop) for c in found] == [
        ("cat", 2, 2, 1, 1, 0, 50.0),
        ("emu", 2, 1, 0, 1, 0, 50.0),
        ("dog", 2, 1, 2, 0, 1, -50.0),
    ]
    assert found[0].lost_share == share(1, 2)


@pytest.mark.parametrize(("count", "images"), [(0, 7), (3, 50), (50, 50), (199, 2000)])
def test_intervals_and_mcnemar_are_scipys(count: int, images: int):
    from scipy.stats import binomtest

    from bitwright.chance import mcnemar

    interval = binomtest(count, images).proportion_ci(0.95, "exact")
    assert share(count, images).interval == pytest.approx((100 * interval.low, 100 * interval.high), abs=1e-6)
    assert mcnemar(count, images - count) == pytest.approx(binomtest(count, images, 0.5).pvalue, rel=1e-6)


def test_the_expected_calibration_error_by_hand():
    confidence = np.array([55.0, 59.0, 95.0, 97.0, 100.0])
    found = reliability(confidence, np.array([True, False, True, True, False]))
    assert found.ece == pytest.approx(2 / 5 * abs(50 - 57) + 3 / 5 * abs(200 / 3 - 292 / 3))
    assert found.confidence == pytest.approx(81.2)
    assert [(b.lo, b.images) for b in found.bins if b.images] == [(50.0, 2), (90.0, 3)]
    assert (found.bins[0].confidence, found.bins[0].accuracy) == (None, None)


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    assert reliability(np.full(4, 75.0), np.array([True, True, True, False])).ece == 0


def test_margins_are_of_the_float_models_class():
    one = Answers(floats([[5, 1, 0], [2, 0, 0], [0, 3, 1], [1, 1, 9]]))
    other = Answers(floats([[4, 1, 0], [0, 1, 0], [0, 3, 1], [0, 0, 3]]))
    found = margin_shift(one, other)  # margins 4, 2, 2, 8, and then 3, -1, 2, 3
    assert (found.float_median, found.integer_median) == (3.0, 2.5)
    assert found.quantiles[2] == -2.0  # of the shifts -1, -3, 0, -5
    assert found.eroded == 50.0


def test_a_model_of_one_logit_has_two_classes():
    found = decisions(floats([[1], [-1]]), floats([[2], [1]]), np.array([1, 0]), ("no", "yes"), IMAGES[:2])
    assert (found.lost, found.gained) == (1, 0)
    assert found.margin.float_median == 1.0
