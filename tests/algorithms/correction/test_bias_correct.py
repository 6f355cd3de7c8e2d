"""How far `bias_correct` believes what it has seen: a mean of a few images is mostly chance."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.algorithms.correction.bias_correct import certain
from bitwright.images.preprocess import Preprocess
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe


def noisy(images: int, spread: float, noise: float, channels: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """True means [C] of the given spread, and what each image saw of them, [N, C]."""
    torch.manual_seed(0)
    true = spread * torch.randn(channels, dtype=torch.float64)
    return true, true + noise * torch.randn(images, channels, dtype=torch.float64)


def test_a_certain_mean_is_the_mean() -> None:
    true, seen = noisy(images=64, spread=1.0, noise=0.0)
    np.testing.assert_allclose(certain(seen), true, rtol=1e-12)


def test_pure_chance_moves_hardly_anything() -> None:
    _, seen = noisy(images=10, spread=0.0, noise=1.0)
    assert certain(seen).square().mean() < 0.1 * seen.mean(0).square().mean()


def test_it_is_nearer_to_the_truth_than_the_mean() -> None:
    true, seen = noisy(images=10, spread=0.3, noise=1.0)
    assert (certain(seen) - true).square().mean() < 0.6 * (seen.mean(0) - true).square().mean()


def test_a_channel_that_varies_more_is_believed_less() -> None:
    _, seen = noisy(images=10, spread=1.0, noise=0.1)
    torch.manual_seed(1)
    seen[:, :100] += 3 * torch.randn(10, 100, dtype=torch.float64)
    kept = certain(seen) / seen.mean(0)
    assert kept[:100].median() < 0.8 < 0.95 < kept[100:].median()


def test_one_image_is_all_there_is() -> None:
    seen = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    assert torch.equal(certain(seen), seen[0])
    assert torch.equal(certain(torch.zeros(4, 3, dtype=torch.float64)), torch.zeros(3, dtype=torch.float64))


class Falling(nn.Module):
    """A function with a slope below zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1 - torch.sigmoid(x)


class Logarithm(nn.Module):
    """A function that is finite only above `start`."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(x - self.start)


@pytest.mark.parametrize("function", [nn.ReLU(), nn.LeakyReLU(0.1), nn.SiLU(), nn.PReLU(64), nn.GELU(), Falling()])
def test_the_mean_behind_a_function_is_the_float_models(function: nn.Module) -> None:
    """The mean in front of a relu may be wrong by what the relu cuts off, and then it is no good to correct it; likewise with
    whatever is bent: noise moves the mean behind it."""
    apart = {algorithms: far(function, algorithms) for algorithms in ((), ("bias_correct",))}
    assert apart[("bias_correct",)] < 0.2 * apart[()]


def test_a_function_that_is_not_finite_everywhere_spoils_nothing() -> None:
    """All values are above the logarithm's start, until they are rounded."""
    with torch.no_grad():
        least = float(convolution()(torch.from_numpy(PREPROCESS.normalise(IMAGES))).min())
    assert math.isfinite(far(Logarithm(least - 1e-6), ("bias_correct",)))


IMAGES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
PREPROCESS = Preprocess(size=16, mean=0.5, std=0.25)


def convolution() -> nn.Conv2d:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 64, 3, padding=1)
    assert conv.bias is not None
    nn.init.uniform_(conv.bias, -1.5, 0.5)
    return conv


def far(function: nn.Module, algorithms: tuple[str, ...]) -> float:
    """How far the means of a layer's channels behind a function are from the float model's: the root of the mean square."""
    model = nn.Sequential(convolution(), function, nn.Conv2d(64, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    prepared = prepare(model, preprocess=PREPROCESS, recipe=replace(Recipe.parse("w3a8"), algorithms=algorithms))
    calibrate(prepared, IMAGES, guard=False)
    with torch.no_grad():
        wanted = model[:2](torch.from_numpy(PREPROCESS.normalise(IMAGES)))
        found = prepared.layer("0")([prepared.real_input(torch.from_numpy(IMAGES))], quantized=True)
        if not isinstance(function, nn.ReLU):  # that one is the layer's clamp
            found = function(found)
        apart = (found - wanted).nan_to_num(0, 0, 0).mean((0, 2, 3))
    assert prepared.layer("0").correction.isfinite().all()
    return float(apart.square().mean().sqrt())
