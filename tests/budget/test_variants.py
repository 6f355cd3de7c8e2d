"""Integer nodes that take the place of a layer's at another width."""

import numpy as np
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.budget.variants import Base, tasks
from bitwright.capture import capture, fuse
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate
from bitwright.recipe import Recipe
from tests.networks import pictures


class Tokens(nn.Module):
    """A linear layer over 16 tokens of 4 channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.mix, self.fc = nn.Conv2d(3, 4, 2, 2), nn.Linear(4, 6), nn.Linear(96, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.fc(torch.relu(self.mix(tokens)).flatten(1))
        return logits


def test_a_layer_over_tokens_gets_back_the_mean_of_each_channel() -> None:
    preprocess = bw.Preprocess(size=8, mean=0.5, std=0.3)
    recipe = Recipe.parse("w8a8")
    assert "bias_correct" in recipe.algorithms
    images = pictures(preprocess, 8)
    prepared = PreparedModel(fuse(capture(Tokens().eval(), (3, 8, 8))), preprocess, recipe)
    calibrate(prepared, images)
    base = Base(prepared, prepared.lower())
    (found,) = tasks(base, {("mix", "weights"): (2,)}, torch.from_numpy(images), 2)
    (node,) = found.variants[0].nodes
    shift = node.tensors["b"] - base.graph["mix"].tensors["b"]
    assert shift.shape == (6,)
    assert len(np.unique(shift)) > 1, "each channel has its own"
