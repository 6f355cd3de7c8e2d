"""What logits say, of many outputs and of one; and whether a model is at chance level."""

import numpy as np
import pytest

from bitwright.chance import at_chance, chance_remark, order_remark
from bitwright.errors import EngineError
from bitwright.prediction import class_count, class_logits, classes_of, log_probabilities, probabilities

MANY = np.array([[0.5, 2, -1], [3, 3, 3], [-1e4, 0, 1e4]], np.float32)
ONE = np.array([[-2], [0], [1e-6], [700]], np.float32)


def test_many_logits_are_taken_as_they_are() -> None:
    assert class_count(3) == 3
    assert class_logits(MANY) is MANY
    assert classes_of(MANY).tolist() == [1, 0, 2]
    expected = np.exp(MANY[0].astype(float)) / np.exp(MANY[0].astype(float)).sum()
    assert np.allclose(probabilities(MANY)[0], expected, rtol=1e-12)
    assert probabilities(MANY)[2].tolist() == [0, 0, 1]


def test_one_logit_is_a_sigmoid_and_its_sign_the_class() -> None:
    assert class_count(1) == 2
    assert classes_of(ONE).tolist() == [0, 0, 1, 1]
    found = probabilities(ONE)
    sigmoid = 1 / (1 + np.exp(-ONE[:, 0].astype(float)))
    assert found.shape == (4, 2)
    assert np.allclose(found, np.stack([1 - sigmoid, sigmoid], axis=1), rtol=1e-12)
    assert np.isclose(log_probabilities(ONE)[3, 0], -700)


@pytest.mark.parametrize("logits", [[[0, np.inf]], [[np.nan]]])
def test_logits_that_are_not_finite_are_an_error(logits: list) -> None:
    with pytest.raises(EngineError, match="not finite"):
        probabilities(np.array(logits, np.float32))


def naive(right: int, images: int, classes: int) -> float:
    """P(X >= right), by the pyramid of all outcomes."""
    chance, ways = 1 / classes, np.ones(1)
    for _ in range(images):
        ways = np.convolve(ways, [1 - chance, chance])
    return float(ways[right:].sum())


@pytest.mark.parametrize("images", [1, 7, 60])
@pytest.mark.parametrize("classes", [2, 10])
def test_chance_is_the_binomial_test(images: int, classes: int) -> None:
    seen = set()
    for right in range(images + 1):
        near = right / images < (1 + 1 / classes) / 2
        seen.add(expected := near and naive(right, images, classes) > 0.01)
        assert at_chance(right, images, classes) == expected, right
    assert seen == {True, False}


def test_chance_of_many_images_and_of_none() -> None:
    assert at_chance(5100, 50_000, 10)
    assert not at_chance(5300, 50_000, 10)
    assert at_chance(0, 1797, 10)
    assert not at_chance(0, 0, 10)
    assert not at_chance(1, 1, 1000)
    remark = chance_remark("the float model itself", 0, 1797, 10)
    assert remark.startswith("the float model itself is right on 0.0 % of 1,797 images")
    assert remark.endswith("are labels, mean and std right?")


def confusion_of(taken_for: list[int], images: int = 10, stray: int = 1) -> dict[tuple[int, int], int]:
    """Each label's images are taken for its class, but for a few."""
    counts: dict[tuple[int, int], int] = {}
    for label, guess in enumerate(taken_for):
        for k, n in ((guess, images - stray), ((guess + 1) % len(taken_for), stray)):
            counts[label, k] = counts.get((label, k), 0) + n
    return counts


def test_labels_in_another_order_are_noticed() -> None:
    remark = order_remark(confusion_of([3, 0, 1, 2]))
    assert remark is not None
    assert "another order" in remark
    assert remark.endswith("Most images of label 0 are taken for class 3, of 1 for 0, of 2 for 1, ...")
    assert order_remark(confusion_of([0, 2, 1])) is not None  # although one is right
    exchanged = order_remark(confusion_of([0, 1, 2, 3, 5, 4]))
    assert exchanged is not None
    assert exchanged.endswith("Most images of label 4 are taken for class 5, of 5 for 4")
    weak = order_remark(confusion_of([7, 8, 9, *range(7)], stray=4))  # of 60 %
    assert weak is not None
    assert "Most images of label 0" in weak
    assert order_remark(confusion_of([1, 0], images=100, stray=45)) is None  # a coin


@pytest.mark.parametrize(
    "confusion",
    [
        confusion_of([0, 1, 2, 3]),  # a good model
        confusion_of([1, 1, 1, 1]),  # which always says the same
        confusion_of([0, 1, 2, 3, 5, 5]),  # two of one class
        confusion_of([0, 1, 2, 4, 5, 5]),  # of a chain that does not come back
        confusion_of([3, 0, 1, 2], images=4, stray=0),  # too few images
        confusion_of([3, 0, 1, 2], stray=5),  # too unsteady
        {},
    ],
)
def test_other_confusions_are_no_other_order(confusion: dict[tuple[int, int], int]) -> None:
    assert order_remark(confusion) is None
