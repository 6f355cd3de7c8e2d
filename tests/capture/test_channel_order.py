"""Channels in another order: captured, folded into weights where that can be, and right to the bit where it cannot."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.capture import capture, fuse

SIDE = 6
ORDERS = {
    "list": lambda x: x[:, [2, 1, 0]],
    "flip": lambda x: x.flip(1),
    "flip from behind": lambda x: x.flip(-3),
    "index_select": lambda x: x.index_select(1, torch.tensor([1, 2, 0])),
    "slices": lambda x: torch.cat([x[:, 2:], x[:, 1:2], x[:, :1]], 1),
    "repeated": lambda x: x[:, [2, 2, 0, 1]],
    "fewer": lambda x: x[:, [2, 0]],
    "negative": lambda x: x[:, [-1, 0, 1]],
}


class Ordered(nn.Module):
    """order -> `between` -> `first`, and a head."""

    def __init__(self, order, first: nn.Module, between: nn.Module | None = None) -> None:
        super().__init__()
        self.order, self.first, self.between = order, first, between or nn.Identity()
        self.head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.first(self.between(self.order(x))))
        return logits


class Scaled(nn.Module):
    """Normalises inside the model, with numbers that differ by channel."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.6, 0.7])[:, None, None]


def channels_of(order) -> int:
    return int(order(torch.zeros(1, 3, 1, 1)).shape[1])


def images(n: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)


def expect_the_same(model: nn.Module, pre: bw.Preprocess | None = None) -> list[str]:
    """Quantize; all implementations agree, and the integers are near the float model's logits. Returns the ops."""
    pre = pre or bw.Preprocess(size=SIDE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    prepared = bw.prepare(model.eval(), preprocess=pre)
    bw.calibrate(prepared, images())
    artifact = bw.convert(prepared)
    x = torch.from_numpy(pre.normalise(images()))
    with torch.no_grad():
        expected, simulated = model(x).numpy(), prepared(x).numpy()
    found = bw.Engine(artifact)(images())
    np.testing.assert_array_equal(found, bw.Engine(artifact, backend="reference")(images()))
    np.testing.assert_array_equal(found, simulated)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected) + 0.02
    return [node.op for node in artifact.graph.nodes]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_in_front_of_a_convolution_is_in_its_weights(name):
    torch.manual_seed(0)
    order = ORDERS[name]
    ops = expect_the_same(Ordered(order, nn.Conv2d(channels_of(order), 4, 3, padding=1)))
    assert ops[0] == "conv2d"
    assert not {"slice", "concat"} & set(ops)


def test_the_weights_are_those_in_the_other_order():
    conv = nn.Conv2d(3, 4, 3)
    graph = fuse(capture(Ordered(ORDERS["index_select"], conv).eval(), (3, SIDE, SIDE)))
    [folded] = [node for node in graph.nodes if node.op == "conv2d"]
    expected = conv.weight.detach().numpy()[:, [2, 0, 1]]  # x0 was read as channel 2, x1 as 0, x2 as 1
    np.testing.assert_array_equal(folded.tensors["weight"], expected)


@pytest.mark.parametrize("between", [Scaled, lambda: nn.BatchNorm2d(3), lambda: nn.ZeroPad2d(1), lambda: nn.Hardtanh()])
def test_what_treats_channels_by_themselves_does_not_hinder(between):
    torch.manual_seed(1)
    middle = between()
    if isinstance(middle, nn.BatchNorm2d):
        nn.init.uniform_(middle.weight, 0.5, 2)
        nn.init.uniform_(middle.bias, -1, 1)
    ops = expect_the_same(Ordered(ORDERS["index_select"], nn.Conv2d(3, 4, 3), middle))
    assert not {"slice", "concat"} & set(ops)


@pytest.mark.parametrize("first", [lambda: nn.Conv2d(3, 6, 3, groups=3), lambda: nn.ReLU()])
def test_what_cannot_be_folded_is_right_all_the_same(first):
    """A grouped convolution, and one that is not there."""
    torch.manual_seed(2)
    model = Ordered(ORDERS["flip"], first())
    with torch.no_grad():
        channels = model.first(torch.zeros(1, 3, SIDE, SIDE)).shape[1]
    model.head[3] = nn.Linear(channels, 5)
    assert "concat" in expect_the_same(model)


def test_an_order_inside_the_model_is_folded_too():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 3, 3), Ordered(ORDERS["list"], nn.Conv2d(3, 4, 1)))
    assert not {"slice", "concat"} & set(expect_the_same(model))


@pytest.mark.parametrize("order", [lambda x: x.flip(2), lambda x: x.flip(1, 3), lambda x: x[:, :, [0, 1]]])
def test_another_order_of_other_axes_is_moved(order):
    torch.manual_seed(4)
    expect_the_same(Ordered(order, nn.Conv2d(3, 4, 1)))


class Crossed(nn.Module):
    """Channels of two values, each of which has all of them; or of one alone."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 6, 1)
        self.head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        two = self.two(x) if self.values == 2 else one
        logits: Tensor = self.head(self.last(torch.cat([two[:, 2:], one[:, :2]], 1)))
        return logits


@pytest.mark.parametrize("values", [1, 2])
def test_an_order_is_one_of_channels_of_one_value(values: int):
    torch.manual_seed(4)
    assert ("concat" in expect_the_same(Crossed(values))) == (values == 2)
