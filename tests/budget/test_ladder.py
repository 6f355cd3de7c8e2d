"""`quantize_within`: it stops at the first algorithms that keep the budget, and tells what it tried."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from bitwright.budget.drop import Drop
from bitwright.budget.judge import Judge, Verified
from bitwright.budget.ladder import RUNGS, Tuned
from bitwright.errors import BudgetError, LabelError
from bitwright.recipe import Recipe
from tests.budget.conftest import PREPROCESS, Digits
from tests.progress import Heard


def tune(digits: Digits, **options: Any) -> Tuned:
    return bw.quantize_within(digits.model, digits.source, preprocess=PREPROCESS, calibrate=128, **options)


def test_eight_bits_need_ranges_alone_and_are_what_quantize_makes(digits: Digits):
    tuned = tune(digits, max_drop=1.0)
    assert [rung.algorithms for rung, _ in tuned.steps] == [()]
    same = bw.quantize(digits.model, digits.source.sample(128, 0), preprocess=PREPROCESS, recipe=Recipe(algorithms=()))
    assert [node.tensors["weight"].tobytes() for node in same.graph.nodes if "weight" in node.tensors] == [
        node.tensors["weight"].tobytes() for node in tuned.artifact.graph.nodes if "weight" in node.tensors
    ]


def test_it_climbs_as_far_as_it_must_and_tells_it(digits: Digits, monkeypatch: pytest.MonkeyPatch):
    drops = iter([60, 50, 5, 0])

    def verify(self: Judge, recipe: Recipe) -> Verified:
        return Verified(recipe, Drop(1000, next(drops), 0, labelled=True, float_right=990), 1234)

    monkeypatch.setattr(Judge, "verify", verify)
    heard = Heard()
    tuned = tune(digits, max_drop=0.5, recipe="w3a8", progress=heard)
    assert [rung for rung, _ in tuned.steps] == list(RUNGS[:3])
    record = tuned.artifact.provenance["auto"]
    assert [step["algorithms"] for step in record["steps"]] == [list(rung.algorithms) for rung in RUNGS[:3]]
    assert [step["drop"]["points"] for step in record["steps"]] == [6.0, 5.0, 0.5]
    assert all(step["why"] for step in record["steps"])
    assert tuned.artifact.provenance["recipe"]["algorithms"] == ["equalize", "bias_correct"]
    assert [text.rpartition(", ")[2] for text in heard.said[:3]] == ["not within 0.5", "not within 0.5", "within 0.5"]


def test_where_nothing_helps_it_says_so(digits: Digits, monkeypatch: pytest.MonkeyPatch):
    def verify(self: Judge, recipe: Recipe) -> Verified:
        return Verified(recipe, Drop(100, 30 - len(recipe.algorithms), 0, labelled=True, float_right=99), 1234)

    monkeypatch.setattr(Judge, "verify", verify)
    with pytest.raises(BudgetError, match=r"the best one, with equalize, adaround, bias_correct, has 27.00 points"):
        tune(digits, recipe="w2a2")


NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay")


@pytest.mark.filterwarnings("ignore:.* images are fitted on, too")
def test_held_out_labels_mean_the_classes_of_the_source(digits: Digits):
    """Where the model has no names, it takes those of the source, and the images held out are judged by these."""
    assert digits.source.labels is not None
    named = digits._replace(source=replace(digits.source, classes=NAMES))
    order = [1, 0, *range(2, 10)]
    held_out = replace(
        digits.source, labels=np.array(order)[digits.source.labels], classes=tuple(NAMES[i] for i in order)
    )
    tuned = tune(named, max_drop=1.0, held_out=held_out)
    assert tuned.artifact.class_names == NAMES
    same = tune(digits, max_drop=1.0, held_out=digits.source)
    assert tuned.steps[-1][1].drop == same.steps[-1][1].drop
    with pytest.raises(BudgetError, match=r"another order .* label 0 are taken for class 1, of 1 for 0"):
        tune(digits, max_drop=1.0, held_out=replace(held_out, classes=None))


def test_labels_that_the_float_model_only_guesses_are_not_judged_by(digits: Digits):
    assert digits.source.labels is not None
    shifted = digits._replace(source=replace(digits.source, labels=(digits.source.labels + 1) % 10))
    with pytest.raises(BudgetError, match=r"the float model itself is right on .* --force"):
        tune(shifted, max_drop=1.0)
    heard = Heard()
    tuned = tune(shifted, max_drop=1.0, force=True, progress=heard)
    assert tuned.artifact.provenance["auto"]["float_at_chance"] is True
    assert any(text.startswith("warning: the float model itself is right on") for text in heard.said)
    wide = digits._replace(source=replace(digits.source, labels=digits.source.labels + 1, classes=None))
    with pytest.raises(LabelError, match="labels 0 to 9"):
        tune(wide)
