"""`smooth`: a norm that two layers read gives its outliers to their weights, and the float model stays as it was."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
OUTLIER = 3


class PreActivation(nn.Module):
    """conv, max-pool, then a batch norm and a clamp that two convolutions read."""

    def __init__(self, clamp: nn.Module) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 8, 1), nn.MaxPool2d(2)
        self.norm, self.clamp = nn.BatchNorm2d(8), clamp
        self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.clamp(self.norm(self.pool(self.conv(x))))
        x = torch.cat([self.left(x), self.right(x)], 1)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Floor(nn.Module):
    """A clamp from below, at a place that scaling would move."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=-0.5)


def made(clamp: nn.Module, *algorithms: str, outlier: float = 64.0) -> PreparedModel:
    torch.manual_seed(0)
    model = PreActivation(clamp)
    with torch.no_grad():
        model.norm.weight[OUTLIER] = outlier
        model.left.weight[:, OUTLIER] /= outlier
        model.right.weight[:, OUTLIER] /= outlier
    recipe = Recipe(weights="int8", activations="uint5", algorithms=algorithms)
    prepared = prepare(model.eval(), preprocess=PREPROCESS, recipe=recipe)
    calibrate(prepared, IMAGES, range="minmax", guard=False)
    return prepared


def scales(prepared: PreparedModel) -> Tensor:
    return next(b for name, b in prepared.named_buffers() if "norm" in name and name.endswith("equalized"))


@pytest.mark.parametrize(
    "clamp", [nn.ReLU(), nn.ReLU6(), nn.Identity(), Floor()], ids=["relu", "relu6", "none", "floor"]
)
@pytest.mark.parametrize("outlier", [64.0, 1 / 64])
def test_the_float_model_stays_as_it_was(clamp: nn.Module, outlier: float) -> None:
    images = torch.from_numpy(IMAGES)
    before, after = made(clamp, outlier=outlier), made(clamp, "smooth", outlier=outlier)
    torch.testing.assert_close(
        after.calibrator.observe(images), before.calibrator.observe(images), rtol=1e-5, atol=1e-5
    )
    assert bool((scales(after) != 1).any()) != isinstance(clamp, Floor)
    assert_equal_codes(after, IMAGES[:4])


def test_an_outlier_moves_into_the_weights_that_read_it() -> None:
    found = scales(made(nn.ReLU(), "smooth")).tolist()
    assert found[OUTLIER] == min(found)
    assert sorted(found)[1] >= 4 * found[OUTLIER]


def test_codes_come_closer_than_by_equalize() -> None:
    images = torch.from_numpy(IMAGES)

    def error(prepared: PreparedModel) -> float:
        x = torch.from_numpy(PREPROCESS.normalise(IMAGES))
        with torch.no_grad():
            return float((prepared(x) - prepared.calibrator.observe(images)).square().mean().sqrt())

    plain = error(made(nn.ReLU()))
    equalized = error(made(nn.ReLU(), "equalize"))
    assert equalized < 0.8 * plain
    assert error(made(nn.ReLU(), "smooth")) < 0.7 * equalized
