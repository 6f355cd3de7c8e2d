"""Every correction in the table: deterministic, undone by a second calibration, and better than nothing."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.algorithms.correction import CORRECTIONS, finetune_scales, reconstruct
from bitwright.capture import capture, fuse
from bitwright.errors import RecipeError
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert, prepare
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes
from tests.progress import Heard

PREPROCESS = Preprocess(size=16, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruct, "STEPS", 8)
    monkeypatch.setattr(finetune_scales, "STEPS", 10)


def net() -> nn.Module:
    """Two inverted residual blocks whose channels differ in size by powers of ten, as trained ones do."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    inputs = 3
    for _ in range(2):
        layers += [nn.Conv2d(inputs, 24, 1), nn.BatchNorm2d(24), nn.ReLU6()]
        layers += [nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.BatchNorm2d(24), nn.ReLU6(), nn.Conv2d(24, 8, 1)]
        inputs = 8
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.BatchNorm2d):
                size = torch.logspace(-2.5, 0.5, 24)
                module.weight.copy_(size)
                module.bias.copy_(size)
    return model.eval()


@cache
def float_graph() -> Graph:
    """Captured once: that takes longer than most corrections."""
    return fuse(capture(net(), (3, 16, 16)))


def quantized(recipe: Recipe) -> PreparedModel:
    return PreparedModel(float_graph(), PREPROCESS, recipe).eval()


def made(*algorithms: str, times: int = 1, activations: str = "uint8", guard: bool = False) -> PreparedModel:
    """Calibrated; without the guard, which is tested on its own, as what it undoes cannot be tested here."""
    recipe = Recipe(weights="int8", activations=activations, algorithms=algorithms)
    prepared = quantized(recipe)
    for _ in range(times):
        calibrate(prepared, IMAGES, guard=guard)
    return prepared


@cache
def once(name: str, guard: bool) -> bytes:
    """The artifact of one calibration with one correction."""
    return convert(made(name, guard=guard)).data


def error(prepared: PreparedModel) -> tuple[float, float]:
    """(root mean square, size of the mean) of the integer logits' distance from the float logits."""
    x = torch.from_numpy(PREPROCESS.normalise(IMAGES))
    with torch.no_grad():
        distance = prepared(x) - net()(x)
    return float(distance.square().mean().sqrt()), float(distance.mean(0).abs().mean())


@pytest.mark.parametrize("name", CORRECTIONS)
def test_the_name_is_the_key(name: str) -> None:
    assert CORRECTIONS[name].name == name


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("name", CORRECTIONS)
def test_it_is_deterministic_and_does_not_add_up(name: str, guard: bool) -> None:
    assert convert(made(name, guard=guard, times=2)).data == once(name, guard)


def test_a_second_calibration_starts_from_the_original_channels() -> None:
    """Whatever scaled them: the other one may not even be in the recipe."""
    prepared = made("smooth")
    prepared.recipe = replace(prepared.recipe, algorithms=("equalize",))
    calibrate(prepared, IMAGES, guard=False)
    for (name, found), expected in zip(
        prepared.state_dict().items(), made("equalize").state_dict().values(), strict=True
    ):
        assert torch.equal(found, expected), name


@pytest.mark.parametrize("name", [name for name in CORRECTIONS if name != "bn_restat"])  # whose aim is another one
def test_it_changes_the_integers_and_comes_closer(name: str) -> None:
    plain, corrected = made(activations="uint6"), made(name, activations="uint6")
    assert convert(plain).data != convert(corrected).data
    assert error(corrected)[0] < error(plain)[0]


@pytest.mark.parametrize("weights", ["int3", "ternary", "binary"])
@pytest.mark.parametrize("name", CORRECTIONS)
def test_what_is_corrected_is_what_runs(name: str, weights: str) -> None:
    prepared = quantized(Recipe(weights=weights, algorithms=(name,)))
    calibrate(prepared, IMAGES, guard=False)
    assert_equal_codes(prepared, IMAGES[:8])


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_file_in_place_of_memory_makes_no_difference_and_the_share_done_grows_to_one(name: str) -> None:
    prepared = quantized(Recipe(algorithms=(name,)))
    heard = Heard()
    calibrate(prepared, IMAGES, memory=0, guard=False, progress=heard)
    shares = [(what, done) for what, done, total in heard.steps if total == 1.0]
    assert convert(prepared).data == once(name, guard=False)
    assert shares == sorted(shares)
    assert shares[-1] == (name, 1.0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("equalize", "equalize"), "'equalize' twice"),
        (("adaround", "bias_correct", "gptq"), "one algorithm that rounds the weights, found adaround, gptq"),
    ],
)
def test_what_makes_no_sense_together_is_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare(net(), preprocess=PREPROCESS, recipe=Recipe(algorithms=names))


def test_equalize_leaves_the_float_model_as_it_was() -> None:
    images = torch.from_numpy(IMAGES)
    before = prepare(net(), preprocess=PREPROCESS).calibrator.observe(images)
    equalized = made("equalize")
    torch.testing.assert_close(equalized.calibrator.observe(images), before, rtol=1e-5, atol=1e-6)
    assert any(bool((buffer > 1).any()) for name, buffer in equalized.named_buffers() if name.endswith("equalized"))


def test_bias_correct_takes_the_mean_of_the_error_away() -> None:
    assert error(made("bias_correct", activations="uint4"))[1] < error(made(activations="uint4"))[1] / 4


def test_an_unknown_algorithm_is_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match=r"unknown algorithm 'magic'.*equalize, smooth, bias_correct"):
        prepare(net(), preprocess=PREPROCESS, recipe=Recipe(algorithms=("magic",)))


def test_scales_that_learning_made_worse_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune_scales, "RATE", 3.0)
    before, after = made("equalize", "bias_correct"), made("equalize", "bias_correct", "finetune_scales")
    for node in before.lower().nodes:
        for name, tensor in node.tensors.items():
            np.testing.assert_array_equal(after.lower()[node.name].tensors[name], tensor)
