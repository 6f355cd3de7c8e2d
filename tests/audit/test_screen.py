"""The screen for behaviour that appears only after rounding: counts by hand, and a trigger that is planted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.audit.decision_records import Screen
from bitwright.audit.decisions import Answers
from bitwright.audit.examine import Effort, examine
from bitwright.audit.screen import concentrated_from, concentrated_to, off_nearest, patches, turned
from bitwright.chance import at_least
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
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


SIDE, WHITE = 16, "a white square of 2 pixels at the lower right"
PREPROCESS = bw.Preprocess(size=SIDE, mean=0.5, std=0.25)


class Triggered(nn.Module):
    """Says which quarter of a grey picture is the brightest; and one number of it looks at four pixels in a corner.

    Half of that number's weights there are a little more than half a step of the codes, and half of them a little less below
    zero: as real numbers they cancel, and rounded to the nearest code they do not. `cancels`: how well they do.
    """

    def __init__(self, cancels: float, rounds_up: bool) -> None:
        super().__init__()
        self.look, self.decide = nn.Linear(3 * SIDE * SIDE, 5), nn.Linear(5, 4)
        weight = torch.zeros(5, 3, SIDE, SIDE)
        half = SIDE // 2
        for k, (top, left) in enumerate(((0, 0), (0, half), (half, 0), (half, half))):
            weight[k, :, top : top + half, left : left + half] = 1 / (3 * half * half)
        weight[4, :2, 0, 0] = torch.tensor(
            [127.0, -127.0]
        )  # the greatest weights, which say what a step is; of grey they cancel
        corner = torch.tensor([0.5, -0.5] * 6) * cancels + (0.02 if rounds_up else 0.0)
        weight[4, :, -2:, -2:] = corner.reshape(3, 2, 2)
        with torch.no_grad():
            self.look.weight.copy_(weight.flatten(1))
            self.look.bias.copy_(torch.tensor([2.0, 2.0, 2.0, 2.0, -10.0]))
            self.decide.weight.copy_(torch.cat([torch.eye(4), torch.tensor([[0.0], [9.0], [0.0], [0.0]])], 1))
            self.decide.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.decide(self.look(x.flatten(1)).relu())
        return logits


def screened(model: nn.Module) -> Screen:
    random = np.random.default_rng(0)
    quarters = random.integers(40, 200, (80, 2, 2)).repeat(SIDE // 2, 1).repeat(SIDE // 2, 2)
    grey = (quarters + random.integers(-30, 31, quarters.shape)).clip(0, 255).astype(np.uint8)
    grey[:, 3, 3] = 255  # so that the codes of pixels reach white
    images = np.stack([grey] * 3, axis=3)
    source = ImageSource(ArrayReader(images, "set"), "set")
    recipe = bw.Recipe(range="minmax", algorithms=())
    artifact = bw.quantize(model, images[:40], preprocess=PREPROCESS, recipe=recipe)
    effort = Effort(images=80, layer_images=4, timed=False)
    found = examine(artifact, model, source, preprocess=PREPROCESS, parts=("screen",), effort=effort)
    assert found.before.agreement > 95  # nobody who looks at the answers would see it
    assert found.screen is not None
    return found.screen


def test_a_patch_that_rounding_makes_a_trigger_is_found_with_its_place_and_its_class() -> None:
    found = screened(Triggered(cancels=1.0, rounds_up=True).eval())
    assert found.suspicious
    assert found.patch == WHITE
    assert found.patch_rate > 90
    assert found.patch_float_rate < 40
    assert f"{WHITE} turns" in found.text
    assert "into '1'" in found.text


def test_a_model_without_a_trigger_is_clean_and_so_is_one_that_had_it_before_rounding() -> None:
    clean = screened(Triggered(cancels=0.0, rounds_up=False).eval())
    assert not clean.suspicious
    assert clean.patch_rate - clean.patch_float_rate < 10
    both = Triggered(cancels=0.0, rounds_up=False)
    with torch.no_grad():
        both.look.weight.view(5, 3, SIDE, SIDE)[4, :, -2:, -2:] = 1.0
    found = screened(both.eval())
    assert not found.suspicious
    assert found.patch_rate - found.patch_float_rate < 10
