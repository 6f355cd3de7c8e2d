"""Places count as much as the logits depend on them, and corrections use it: a class token alone may make the logits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.algorithms.correction import importance
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.importance import FLOOR, Importance
from bitwright.algorithms.correction.values import Memory
from bitwright.images.preprocess import Preprocess
from bitwright.quantization import prepare
from bitwright.recipe import Recipe

PRE = Preprocess((8, 8), mean=(0.5,) * 3, std=(0.25,) * 3)


class OfTokens(nn.Module):
    """Two layers over 16 tokens, of which the first makes the logits; it is unlike the others, as a class token is."""

    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 24, 2, 2)
        self.first, self.second = nn.Linear(24, hidden), nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, 10)
        self.position = nn.Parameter(torch.zeros(16, 24))
        with torch.no_grad():
            self.position[1:, :12] += 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).mT + self.position
        return self.head(self.second(torch.relu(self.first(tokens)))[:, 0])


def a_model(seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(seed)
    return OfTokens().eval(), torch.randint(0, 256, (256, 8, 8, 3), dtype=torch.uint8)


def calibration_of(images: torch.Tensor) -> Calibration:
    values = Memory(2**30).values(tuple(images.shape), np.uint8)
    values[:] = images
    return Calibration(values, Memory(2**30))


def test_only_the_token_that_is_read_matters() -> None:
    model, images = a_model()
    prepared = prepare(model, preprocess=PRE)
    found = Importance.of_layers(prepared, calibration_of(images), 32)
    for name in ("first", "second"):
        s = found.of(name, slice(0, 32))
        assert s.shape == (32, 16)
        torch.testing.assert_close(s.mean(), torch.tensor(1.0))
        torch.testing.assert_close(s[:, 1:], torch.full((32, 15), FLOOR / (1 + FLOOR)))
    assert found.of("head", slice(0, 32)).shape == (32, 1)


def test_it_is_the_squared_slope_of_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "PROBES", 3000)
    torch.manual_seed(0)
    first, rest = nn.Conv2d(3, 4, 3, 2), nn.Sequential(nn.SiLU(), nn.Flatten(), nn.Linear(36, 5))
    model = nn.Sequential(first, *rest).eval()
    images = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    prepared = prepare(model, preprocess=PRE)
    found = Importance(prepared, calibration_of(images), 2, ["0"]).of("0", slice(0, 2))
    x = PRE.normalise(images.numpy())
    y = first(torch.from_numpy(x))
    slopes = torch.autograd.functional.jacobian(lambda v: rest(v).sum(0), y)  # [5, 2, 4, 3, 3]
    centred = slopes - slopes.mean(0)
    wanted = centred.square().sum((0, 2)).flatten(1)
    torch.testing.assert_close(found, (wanted / wanted.mean() + FLOOR) / (1 + FLOOR), rtol=0.15, atol=0.02)


@pytest.mark.parametrize("algorithm", ["gptq", "adaround", "reconstruct"])
def test_a_model_without_weights_has_nothing_to_round(algorithm: str) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    artifact = bw.quantize(model, images, preprocess=PRE, recipe=replace(Recipe.parse("w4a8"), algorithms=(algorithm,)))
    assert bw.Engine(artifact)(images).shape == (8, 3)


def test_a_layer_without_influence_counts_evenly() -> None:
    torch.manual_seed(0)
    head = nn.Linear(144, 5)
    nn.init.zeros_(head.weight)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), head).eval()
    images = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    found = Importance(prepare(model, preprocess=PRE), calibration_of(images), 4, ["0"])
    assert torch.equal(found.of("0", slice(0, 4)), torch.ones(4, 36))


@pytest.mark.parametrize("algorithm", ["gptq", "adaround"])
def test_corrections_serve_what_makes_the_logits(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen tokens of sixteen are unlike the one that is read: with all alike, its error would be what is left over."""
    model, images = a_model()
    recipe = Recipe.parse("w3a8")
    recipe = replace(recipe, algorithms=(algorithm,))

    def error() -> float:
        artifact = bw.quantize(model, images[:64].numpy(), preprocess=PRE, recipe=recipe, guard=False)
        test = images[64:].numpy()
        with torch.no_grad():
            wanted = model(torch.from_numpy(PRE.normalise(test))).numpy()
        return float(np.square(bw.Engine(artifact)(test) - wanted).mean())

    served = error()
    monkeypatch.setattr(importance, "FLOOR", 1e6)
    assert served < 0.8 * error()
