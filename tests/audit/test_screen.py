"""The screen for behaviour that appears only after rounding: counts by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from bitwright.audit.decisions import Answers
from bitwright.audit.screen import concentrated_from, concentrated_to, off_nearest, patches, turned
from bitwright.chance import at_least
from tests.audit.sample import LAYER, LOGITS, WEIGHT


def answers(classes: Any, margin: Any = 2.0) -> Answers:
    """Of four classes, one above the others by a margin, which are alike."""
    rows = np.zeros((len(classes), 4), np.float32)
    rows[np.arange(len(classes)), classes] = margin
    return Answers(rows)


def test_changed_answers_that_go_to_one_class_stand_out():
    """The float model's other three classes are equally likely: 9 of 10 in one of them has the tail of B(10, 1/3), times 4."""
    before = np.zeros(40, int)
    after = before.copy()
    after[:9], after[9] = 2, 1
    found = concentrated_to(answers(before), answers(after))
    assert found is not None
    assert (found.class_index, found.seen, found.of) == (2, 9, 10)
    assert found.p == pytest.approx(4 * (10 * (1 / 3) ** 9 * (2 / 3) + (1 / 3) ** 10), rel=1e-5)


def test_changed_answers_that_the_float_model_nearly_gave_do_not():
    before = np.zeros((40, 4), np.float32)
    before[:, 0], before[:, 2] = 2.0, 1.99
    after = before.copy()
    after[:10, 2] = 2.1
    found = concentrated_to(Answers(before), Answers(after))
    assert found is not None
    assert found.class_index == 2
    assert found.p == pytest.approx(4 * (np.exp(1.99) / (np.exp(1.99) + 2)) ** 10, rel=1e-5)


def test_a_class_whose_images_change_more_than_their_margins_explain_stands_out():
    classes = np.arange(200) % 4
    after = np.where(classes == 1, np.where(np.arange(200) % 8 == 1, 3, 1), classes)  # every second one of class 1
    found = concentrated_from(answers(classes), answers(after))
    assert found is not None
    assert (found.class_index, found.seen, found.of) == (1, 25, 50)
    assert found.p == pytest.approx(
        4 * at_least(25, 50, 25 / 200), rel=0.2
    )  # each tenth of alike margins changed like all
    assert found.p < 1e-6


def test_few_changes_say_nothing():
    before = answers(np.zeros(40, int))
    after = answers(np.r_[np.full(4, 2), np.zeros(36, int)])
    assert concentrated_to(before, after) is None
    assert concentrated_from(before, after) is None


def test_the_layers_off_the_nearest_come_with_the_worst_first():
    plain = replace(LAYER, name="b", weight=replace(WEIGHT, off_nearest=3.0, beyond=0))
    worse = replace(LAYER, name="c", weight=replace(WEIGHT, off_nearest=1.0, beyond=2))
    found = off_nearest((LAYER, LOGITS, plain, worse))
    assert [(each.layer, each.percent, each.beyond, each.weights) for each in found] == [
        ("c", 1.0, 2, 175),
        ("b", 3.0, 0, 175),
    ]


def test_patches_are_squares_in_the_corners():
    grey = np.full((2, 16, 32, 3), 100, np.uint8)
    found = dict(patches(grey))
    assert len(found) == 12
    white = found["a white square of 2 pixels at the lower right"]
    assert (white[:, 14:, 30:] == 255).all()
    assert (white != grey).sum() == 2 * 2 * 2 * 3
    assert found["a chequered square of 2 pixels at the upper left"][0, :2, :2, 0].tolist() == [[0, 255], [255, 0]]
    assert (grey == 100).all()


def test_what_most_images_turn_into_is_counted_among_those_of_other_classes():
    assert turned(np.array([0, 0, 1, 2, 3]), np.array([1, 1, 1, 1, 3])) == (1, 75.0)
