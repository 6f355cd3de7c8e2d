"""Statistics in front of batch norms: those of the float network again; and models without any are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.errors import RecipeError
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)


def made(*algorithms: str, norm: bool = True) -> PreparedModel:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    recipe = Recipe(weights="int2", range="minmax", algorithms=algorithms)
    prepared = prepare(model, preprocess=PREPROCESS, recipe=recipe)
    calibrate(prepared, IMAGES, guard=False)
    return prepared


@torch.no_grad()
def statistics(prepared: PreparedModel, *, quantized: bool) -> torch.Tensor:
    """Mean and deviation of each channel behind the norm, [2, 8]."""
    y = prepared.layer("0")([prepared.real_input(torch.from_numpy(IMAGES))], quantized=quantized, clamped=False)
    return torch.stack([y.mean((0, 2, 3)), y.std((0, 2, 3))])


def test_mean_and_deviation_are_those_of_the_float_network_and_codes_stay() -> None:
    plain, restated = made(), made("bn_restat")
    wanted = statistics(plain, quantized=False)
    assert (statistics(plain, quantized=True) - wanted).abs().max() > 0.05
    torch.testing.assert_close(statistics(restated, quantized=True), wanted, rtol=1e-3, atol=1e-3)
    assert torch.equal(plain.layer("0").codes(), restated.layer("0").codes())


def test_a_model_without_batch_norms_is_refused() -> None:
    with pytest.raises(RecipeError, match="'bn_restat' needs batch norms"):
        made("bn_restat", norm=False)
