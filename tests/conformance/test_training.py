"""Every training algorithm: a few steps lower the loss, and what was trained is the same integers everywhere."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bitwright as bw
from bitwright.algorithms.training import TRAINING, training_algorithm
from bitwright.errors import RecipeError
from tests.networks import assert_equal_codes, pictures

PREPROCESS = bw.Preprocess(size=8, mean=(0.4, 0.5, 0.6), std=(0.15, 0.25, 0.4))
RECIPES = ("w8a8", "w4a4", "w2a2", "wta8", "w1a8", "w1a2", "w1a1")


class Network(nn.Module):
    """A stem, a residual block with a value of either sign in it, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.conv1, self.norm1 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        y = self.norm1(self.conv1(x))
        x = F.relu(self.norm2(self.conv2(y)) + x)
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", TRAINING)
def test_training_ends_in_the_same_integers(name: str, recipe: str) -> None:
    torch.manual_seed(0)
    images, labels = pictures(PREPROCESS, 16), torch.arange(16) % 4
    prepared = bw.prepare_qat(Network(), preprocess=PREPROCESS, recipe=recipe, training=name, images=images).train()
    x = torch.from_numpy(PREPROCESS.normalise(images))
    optimizer = torch.optim.AdamW(prepared.parameters(), lr=0.01)
    losses = []
    for step in range(12):
        prepared.set_progress(step / 12)
        loss = F.cross_entropy(prepared(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < losses[0]
    assert_equal_codes(prepared, images)
    artifact = bw.convert(prepared)
    native, reference = (bw.Engine(artifact, backend=backend)(images) for backend in ("native", "reference"))
    assert np.array_equal(native, reference)


@pytest.mark.parametrize("name", TRAINING)
def test_learned_scales_stay_positive(name: str) -> None:
    images = pictures(PREPROCESS, 4)
    prepared = bw.prepare_qat(Network(), preprocess=PREPROCESS, recipe="w2a2", training=name, images=images)
    with torch.no_grad():
        for parameter in (p for key, p in prepared.named_parameters() if key.endswith(".scale")):
            parameter.neg_()
    assert_equal_codes(prepared, images)


def test_a_name_that_is_unknown() -> None:
    with pytest.raises(RecipeError, match="unknown training algorithm 'lsp'; known: ste, lsq"):
        training_algorithm("lsp")
