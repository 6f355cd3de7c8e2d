"""`sensitivity`: it measures the integers that it says, once, and goes on where it was stopped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from bitwright.budget import probe
from bitwright.budget.cache import Cache
from bitwright.budget.probe import Probe, Task
from bitwright.budget.sensitivities import Sensitivity
from bitwright.errors import CalibrationError, RecipeError, SourceError
from bitwright.recipe import Recipe, Rule
from tests.budget.conftest import PREPROCESS, Digits
from tests.progress import Heard

LAYERS = ("0", "2", "6")


def measure(digits: Digits, cache: Any = None, **options: Any) -> Sensitivity:
    return bw.sensitivity(digits.model, digits.pixels[:96], preprocess=PREPROCESS, cache=cache, bits=(4, 2), **options)


def test_every_layer_at_every_width(digits: Digits):
    found = measure(digits, latency=False)
    assert {f.layer for f in found.found if f.kind == "weights"} == set(LAYERS)
    assert {(f.layer, f.bits) for f in found.found if f.kind == "weights"} == {
        (x, b) for x in LAYERS for b in (8, 4, 2)
    }
    for layer in LAYERS:
        losses = [found.loss(layer, "weights", b) for b in (8, 4, 2)]
        assert losses[0] == 0 < losses[2]
        sizes = {c.weights: c.bytes for c in found.costs if c.layer == layer and c.activations == 8}
        assert sizes[4] == 2 * sizes[2] == sizes[8] / 2


def test_a_loss_is_that_of_the_whole_integer_model(digits: Digits):
    """As `quantize` makes it from a recipe with one layer at 2 bits; no corrections, so that nothing else differs."""
    plain = Recipe(algorithms=())
    found = measure(digits, recipe=plain, latency=False)
    logits = _log_softmax(_float_logits(digits))

    def divergence(recipe: Recipe) -> float:
        artifact = bw.quantize(digits.model, digits.pixels[:96], preprocess=PREPROCESS, recipe=recipe)
        ours = _log_softmax(bw.Engine(artifact)(digits.pixels[:96]))
        return float((np.exp(logits) * (logits - ours)).sum(axis=1).mean())

    assert found.base_loss == pytest.approx(divergence(plain), rel=1e-4)
    for rule, kind in ((Rule("2", weights="int2"), "weights"), (Rule("2", activations="uint2"), "activations")):
        increase = divergence(Recipe(algorithms=(), layers=(rule,))) - found.base_loss
        assert found.loss("2", kind, 2) == pytest.approx(increase, rel=1e-4)


def _float_logits(digits: Digits) -> np.ndarray:
    from bitwright.evaluation import float_predictor

    return float_predictor(digits.model, PREPROCESS)(digits.pixels[:96])


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def test_processes_find_the_same(digits: Digits):
    assert measure(digits, latency=False, jobs=2) == measure(digits, latency=False)


def test_a_second_time_measures_nothing(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = measure(digits, tmp_path)

    def never(*arguments: object) -> None:
        raise AssertionError("it was measured before")

    monkeypatch.setattr(probe, "Engine", never)
    monkeypatch.setattr("bitwright.budget.sensitivities.calibrate", never)
    assert measure(digits, tmp_path) == first
    with pytest.raises(AssertionError):
        bw.sensitivity(digits.model, digits.pixels[:95], preprocess=PREPROCESS, cache=tmp_path, bits=(4, 2))


def test_what_was_interrupted_goes_on_where_it_stood(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    true_measure = Probe.measure
    tasks: list[tuple[str, str]] = []

    def interrupted(self: Probe, task: Task) -> list[probe.Found]:
        if len(tasks) == 2:
            raise KeyboardInterrupt
        tasks.append((task.layer, task.kind))
        return true_measure(self, task)

    monkeypatch.setattr(Probe, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(digits, tmp_path, latency=False)
    assert len(tasks) == 2
    rest: list[tuple[str, str]] = []

    def recorded(self: Probe, task: Task) -> list[probe.Found]:
        rest.append((task.layer, task.kind))
        return true_measure(self, task)

    monkeypatch.setattr(Probe, "measure", recorded)
    resumed = measure(digits, tmp_path, latency=False)
    assert not set(rest) & set(tasks)
    assert resumed == measure(digits, latency=False)


def test_other_widths_are_measured_beside_those_that_are_known(digits: Digits, tmp_path: Path):
    cache, heard = Cache(tmp_path), Heard()
    measure(digits, cache, latency=False)
    more = bw.sensitivity(
        digits.model,
        digits.pixels[:96],
        preprocess=PREPROCESS,
        cache=cache,
        bits=(4, 3, 2),
        latency=False,
        progress=heard,
    )
    assert heard.steps[0] == ("sensitivity", len(more.found) * 3 // 4, len(more.found))
    assert heard.steps[-1] == ("sensitivity", len(more.found), len(more.found))


def test_times_of_one_kernel_are_one_time(digits: Digits):
    pytest.importorskip("bitwright._native")
    found = measure(digits, threads=1)
    for layer in LAYERS:
        costs = [c for c in found.costs if c.layer == layer]
        assert len(costs) == 9
        assert all(c.seconds and c.seconds > 0 for c in costs)
        assert len({c.seconds for c in costs}) <= len({(c.kernel, c.bytes) for c in costs})


def test_widths_that_there_are_not_are_refused(digits: Digits):
    with pytest.raises(RecipeError, match="2 to 8 bits, found 9, 1"):
        bw.sensitivity(digits.model, digits.pixels[:8], preprocess=PREPROCESS, bits=(9, 1))


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (None, CalibrationError),
        ([1], CalibrationError),
        (np.zeros((0, 8, 8, 1), np.uint8), CalibrationError),
        (np.zeros((4, 4, 8, 1), np.uint8), CalibrationError),
        (np.zeros((4, 8, 8, 1), np.float32), CalibrationError),
        ("nosuch", SourceError),
    ],
)
def test_images_that_are_none_are_refused(images, error: type[Exception], digits: Digits) -> None:
    with pytest.raises(error):
        bw.sensitivity(digits.model, images, preprocess=PREPROCESS, bits=(4,), latency=False)


def test_images_may_be_a_source(digits: Digits) -> None:
    found = [
        bw.sensitivity(digits.model, images, preprocess=PREPROCESS, bits=(4,), kinds=("weights",), latency=False)
        for images in ("digits[:40]", bw.open_source("digits[:40]"))
    ]
    assert found[0] == found[1]
    with pytest.raises(RecipeError, match="expected of the kinds weights and activations, found 'wei'"):
        bw.sensitivity(digits.model, "digits[:40]", preprocess=PREPROCESS, kinds=("wei",))
