"""How much larger a channel may be than on any image seen, and that `equalize` leaves it room for that."""

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.algorithms.correction.channels import steps_down
from bitwright.algorithms.correction.extremes import DOUBLINGS, Extremes
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe

PREPROCESS = Preprocess(size=4)


class Depthwise(nn.Module):
    """Three channels of different sizes that only a depthwise layer reads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        self.second, self.fc = nn.Conv2d(3, 3, 1, groups=3), nn.Linear(3, 2)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([1.0, 0.125, 0.125]).reshape(3, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.second(self.first(x)).mean((2, 3)))
        return logits


def prepared_model() -> PreparedModel:
    return prepare(Depthwise().eval(), preprocess=PREPROCESS, recipe=Recipe(algorithms=("equalize",)))


def seen(*batches: Tensor) -> Extremes:
    """The extremes of the first layer's values [N, 3, 1, 1]."""
    extremes = Extremes(prepared_model(), ["first"])
    for batch in batches:
        extremes.see("first", batch[:, :, None, None])
    return extremes


def test_growth_is_that_from_half_of_the_images_to_all_of_them():
    values = torch.rand(8, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    halves = [values[list(chosen)] for chosen in itertools.product([True, False], repeat=8)]
    maxima = [half.amax(0) if len(half) else values.amin(0) for half in halves]
    expected = values.amax(0) / torch.stack(maxima).mean(0)
    torch.testing.assert_close(seen(values).growth()["first"], expected**DOUBLINGS)


def test_extremes_do_not_depend_on_signs_order_or_batches():
    values = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    once, pieces = seen(values), seen(*(-values).flip(0).split(7))
    assert torch.equal(once.growth()["first"], pieces.growth()["first"])
    assert torch.equal(once.largest()["first"], pieces.largest()["first"])
    assert torch.equal(once.largest()["first"], values.abs().amax(0))


def test_what_is_always_as_large_or_always_zero_or_seen_once_does_not_grow():
    assert torch.equal(seen(torch.full((9, 3), 6.0)).growth()["first"], torch.ones(3))
    assert torch.equal(seen(torch.zeros(9, 3)).growth()["first"], torch.ones(3))
    assert torch.equal(seen(torch.tensor([[1.0, 2.0, 3.0]])).growth()["first"], torch.ones(3))


def test_equalize_leaves_room_in_channels_whose_greatest_number_is_rare():
    pixels = np.full((64, 4, 4, 3), 200, np.uint8)
    pixels[1:, ..., 2] = 50  # a quarter of what the first image has
    prepared = prepared_model()
    calibrate(prepared, pixels, guard=False)
    half = 0.5 * 200 + 0.5 * 50
    scales = steps_down(torch.tensor([1.0, 8.0, max(1.0, 8.0 / (200 / half) ** DOUBLINGS)]))
    torch.testing.assert_close(prepared.layer("first").equalized, scales)
    assert scales[2] < scales[1]
