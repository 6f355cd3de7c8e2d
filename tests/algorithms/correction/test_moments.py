"""The windows of a layer, its moments, and the weight that serves a distorted input best."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.importance import Importance
from bitwright.algorithms.correction.moments import RIDGE, Moments, grouped
from bitwright.algorithms.correction.path import each_layer
from bitwright.algorithms.correction.values import Memory
from bitwright.graph import Node
from bitwright.images.preprocess import Preprocess
from bitwright.prepared.ops import windows
from bitwright.quantization import calibrate, prepare
from bitwright.recipe import Recipe

SHAPES = {"plain": (6, 4, 3, 3), "depthwise": (4, 1, 3, 3), "groups": (6, 2, 1, 3)}
GROUPS = {"plain": 1, "depthwise": 4, "groups": 2}


@pytest.mark.parametrize("kind", SHAPES)
def test_the_product_with_the_windows_is_the_convolution(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 7, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(SHAPES[kind], generator=generator, dtype=torch.float64)
    attrs = {"stride": (2, 1), "padding": (1, 0, 2, 1), "dilation": (1, 2), "groups": GROUPS[kind]}
    node = Node("c", "conv2d", ("x",), attrs, {"weight": weight.numpy()})
    found = grouped(node, weight) @ windows(node, x)
    padded = F.pad(x, (0, 1, 1, 2))
    expected = F.conv2d(padded, weight, None, (2, 1), 0, (1, 2), GROUPS[kind])
    torch.testing.assert_close(
        found.reshape(6 if kind != "depthwise" else 4, 2, -1), expected.flatten(2).transpose(0, 1)
    )


def test_the_target_is_the_least_squares_solution_near_the_float_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 400, generator=generator, dtype=torch.float64)
    q = x + 0.3 * torch.randn(5, 400, generator=generator, dtype=torch.float64)
    x, q = (a - a.mean(1, keepdim=True) for a in (x, q))
    zero = torch.zeros(1, 5, dtype=torch.float64)
    moments = Moments((q @ q.mT / 400)[None], (x @ q.mT / 400)[None], zero, zero)
    weight = torch.randn(1, 2, 5, generator=generator, dtype=torch.float64)
    ridge = float(RIDGE * moments.gram.diagonal(dim1=1, dim2=2).mean()) * 400
    pull = ridge**0.5 * torch.eye(5, dtype=torch.float64)
    wanted = torch.cat([weight[0] @ x, weight[0] @ pull], 1)
    expected = torch.linalg.lstsq(torch.cat([q, pull], 1).mT, wanted.mT).solution.mT
    torch.testing.assert_close(moments.best(weight)[0], expected)


def test_one_image_confirms_nothing() -> None:
    """Half of the images is none then: what W* would change is not taken, in a layer over one place or many."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    prepared = prepare(model, preprocess=Preprocess(8), recipe=replace(Recipe.parse("w2a4"), algorithms=()))
    images = torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8)
    calibrate(prepared, images.numpy(), guard=False)
    memory = Memory(2**30)
    values = memory.values((1, 8, 8, 3), np.uint8)
    values[:] = images
    calibration = Calibration(values, memory)
    importance = Importance.of_layers(prepared, calibration, 1)
    for _, node, exact, rounded in each_layer(prepared, calibration, 1):
        moments, weight = Moments.of(node, exact, rounded, importance), torch.from_numpy(node.tensors["weight"])
        real = grouped(node, weight)
        assert torch.equal(moments.target(real), real)


def halves_of(x: torch.Tensor, q: torch.Tensor) -> Moments:
    """Moments of numbers [K, places] of mean 0, with those of both halves."""
    zero = torch.zeros(1, len(x), dtype=torch.float64)
    middle = x.shape[1] // 2
    parts = [(q, x), (q[:, :middle], x[:, :middle]), (q[:, middle:], x[:, middle:])]
    both, *halves = (
        Moments((a @ a.mT)[None] / a.shape[1], (b @ a.mT)[None] / a.shape[1], zero, zero) for a, b in parts
    )
    return replace(both, halves=tuple(halves))


@pytest.mark.parametrize(("places", "low", "high"), [(20_000, 0.99, 1.0), (60, 0.0, 0.4)])
def test_what_one_half_learns_is_taken_as_far_as_it_serves_the_other(places: int, low: float, high: float) -> None:
    """Noise of 2 % of the input, which many places tell from chance and few do not."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.eye(24, dtype=torch.float64) + 0.1 * torch.randn(24, 24, generator=generator, dtype=torch.float64)
    x = torch.randn(24, places, generator=generator, dtype=torch.float64)
    q = (mixed if places > 1000 else torch.eye(24, dtype=torch.float64)) @ x
    q = q + 0.3 * torch.randn(24, places, generator=generator, dtype=torch.float64)
    moments = halves_of(x, q)
    weight = torch.randn(1, 8, 24, generator=generator, dtype=torch.float64)
    change = moments.target(weight) - weight
    share = float((change * (moments.best(weight) - weight)).sum() / (moments.best(weight) - weight).square().sum())
    assert low <= share <= high
