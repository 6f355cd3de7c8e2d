"""What networks of timm asked for: numbers written into a tensor, planes of which an image has several, shared keys, pools."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.errors import CaptureError
from bitwright.images.preprocess import Preprocess
from bitwright.quantization import prepare

PREPROCESS = Preprocess(size=8)


class Writing(nn.Module):
    """Two convolutions, and what is written of one into the other."""

    def __init__(self, write: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other, self.fc = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.Linear(512, 5)
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x).relu()
        self.write(y, self.other(x))
        found: Tensor = self.fc(y.flatten(1))
        return found


def channels(y: Tensor, z: Tensor) -> None:
    y[:, 2:5] = z[:, 1:4]


def last_channel(y: Tensor, z: Tensor) -> None:
    y[:, -1] = 2 * z[:, 0]


def column(y: Tensor, z: Tensor) -> None:
    y[:, :, :, 3] = z[:, :, 0]


def square(y: Tensor, z: Tensor) -> None:
    y[:, 0, 2:6, 2:-2] = z[:, 5, 2:6, 2:6] + y[:, 1, 2:6, 2:6]


def number(y: Tensor, z: Tensor) -> None:
    y[:, 1] = 0.5
    y[:, :, 6:] = -0.25


def everything(y: Tensor, z: Tensor) -> None:
    y[:] = z


@pytest.mark.parametrize("write", [channels, last_channel, column, square, number, everything])
def test_what_is_written_into_a_tensor(write: Callable[[Tensor, Tensor], None]) -> None:
    """`prepare` compares the graph with the model."""
    prepare(Writing(write), preprocess=PREPROCESS)


class Folded(nn.Module):
    """A convolution of windows, or of heads: the batch holds them, too."""

    def __init__(self, windows: int, conv: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.windows, self.stem, self.conv, self.fc = windows, nn.Conv2d(3, 4 * windows, 1), conv, nn.LazyLinear(5)
        self(torch.zeros(1, 3, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = self.conv(y.reshape(y.shape[0] * self.windows, 4, 8, 8)).relu()
        found: Tensor = self.fc(y.reshape(x.shape[0], -1))
        return found


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.BatchNorm2d(4)])
def test_norms_of_planes_of_which_an_image_has_several(norm: nn.Module) -> None:
    for parameter in norm.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    prepare(Folded(2, norm), preprocess=PREPROCESS)


def test_channels_of_several_planes_are_not_shuffled_as_one() -> None:
    with pytest.raises(CaptureError, match="channel_shuffle of what are not the planes of an image"):
        prepare(Folded(2, nn.ChannelShuffle(2)), preprocess=PREPROCESS)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.Conv2d(4, 8, 2, groups=2)],
)
def test_planes_of_which_an_image_has_several(conv: nn.Conv2d) -> None:
    graph = prepare(Folded(3, conv), preprocess=PREPROCESS).graph
    assert sorted(node.attrs["groups"] for node in graph.nodes if node.op == "conv2d") == [1, 3 * conv.groups]


class Shared(nn.Module):
    """Two heads of the queries for each of the keys; or something computed is added to the scores of all."""

    def __init__(self, biased: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.biased, self.places = biased, nn.Linear(8, 64)
        self.q, self.k, self.v, self.fc = nn.Linear(3, 32), nn.Linear(3, 16), nn.Linear(3, 16), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (layer(tokens).unflatten(2, (-1, 8)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        bias = self.places(q) if self.biased else None
        y = F.scaled_dot_product_attention(q, k, v, bias, enable_gqa=True)
        found: Tensor = self.fc(y.transpose(1, 2).flatten(2).mean(1))
        return found


@pytest.mark.parametrize("biased", [False, True])
def test_heads_that_share_keys_and_values(biased: bool) -> None:
    prepare(Shared(biased), preprocess=PREPROCESS)


class Padded(nn.Module):
    """A max pool of planes with minus infinity around them, uneven, as TensorFlow's `same` is."""

    def __init__(self, add: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.add = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(64, 5), add

    def forward(self, x: Tensor) -> Tensor:
        y = F.pad(self.conv(x), (0, 1, 0, 1), value=-float("inf"))
        found: Tensor = self.fc(F.max_pool2d(y, 3, 2).flatten(1))
        return found + y.amax((1, 2, 3))[:, None] if self.add else found


def test_minus_infinity_around_a_max_pool_is_its_own_padding() -> None:
    graph = prepare(Padded(), preprocess=PREPROCESS).graph
    (pool,) = (node for node in graph.nodes if node.op == "max_pool2d")
    assert pool.attrs["padding"] == (0, 0, 1, 1)
    with pytest.raises(CaptureError, match="minus infinity that a max pool does not read"):
        prepare(Padded(add=True), preprocess=PREPROCESS)


@pytest.mark.parametrize("pool", [nn.AvgPool1d(3, 2, 1), nn.AvgPool1d(2, ceil_mode=True), nn.MaxPool1d(3, 2, 1, 2)])
def test_pools_of_lines(pool: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(2), pool, nn.Flatten(), nn.LazyLinear(5))
    model(torch.zeros(1, 3, 8, 8))
    prepare(model, preprocess=PREPROCESS)
