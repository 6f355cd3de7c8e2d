"""Networks of tokens: captured, quantized, and equal in PyTorch, the reference and the engine."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.artifact import from_bytes
from bitwright.capture import capture, fuse
from bitwright.engine import Engine
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes, pictures

PREPROCESS = Preprocess(size=16, mean=(0.5, 0.4, 0.3), std=(0.3, 0.2, 0.1))


class Block(nn.Module):
    """A mixer block that has a batch norm over tokens and a gain for each channel where others have a layer norm."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(tokens)
        self.gain, self.shift = nn.Parameter(torch.rand(channels) + 0.5), nn.Parameter(torch.randn(1, 1, channels))
        self.tokens = nn.Sequential(nn.Linear(tokens, 20), nn.GELU(), nn.Linear(20, tokens))
        self.channels = nn.Sequential(nn.Linear(channels, 30), nn.Hardswish(), nn.Linear(30, channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.channels(x * self.gain + self.shift)
        return y


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 18, 4, 4)
        self.blocks = nn.Sequential(Block(16, 18), Block(16, 18))
        self.head = nn.Linear(18, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.blocks(self.stem(x).flatten(2).transpose(1, 2)).mean(1))
        return y


class ChannelsLast(nn.Module):
    """Linear layers over maps [N, H, W, C] between convolutions, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 12, 2, 2), nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.wide, self.narrow = nn.Linear(12, 24), nn.Linear(24, 12)
        self.act, self.head = nn.PReLU(4), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.narrow(torch.relu(self.wide(self.depthwise(x).permute(0, 2, 3, 1))))
        x = x + y.permute(0, 3, 1, 2)
        x = self.act(x.reshape(-1, 4, 24, 8)).reshape(-1, 12, 8, 8)
        logits: Tensor = self.head(x.permute(0, 2, 3, 1).mean((1, 2)))
        return logits


class Embedded(nn.Module):
    """A class token, position embeddings, a gain for each number: constants that differ within a channel."""

    gain: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 18, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 18)), nn.Parameter(torch.randn(1, 17, 18))
        self.register_buffer("gain", torch.rand(17, 18) + 0.5)
        self.hidden, self.head = nn.Linear(18, 18), nn.Linear(18, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        x = torch.relu(self.hidden(x * self.gain)) - self.places
        y: Tensor = self.head(x[:, 0])
        return y


def prepared(model: nn.Module, recipe: str | Recipe = "w8a8", guard: bool = True) -> PreparedModel:
    torch.manual_seed(0)
    plan = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
    found = PreparedModel(fuse(capture(model.eval(), (3, 16, 16))), PREPROCESS, plan)
    calibrate(found, pictures(PREPROCESS, 16), guard=guard)
    return found


@pytest.mark.parametrize("make", [Mixer, ChannelsLast, Embedded])
@pytest.mark.parametrize("recipe", ["w8a8", "w4a4"])
def test_tokens_end_to_end(make: type[nn.Module], recipe: str) -> None:
    torch.manual_seed(1)
    model = make()
    images = pictures(PREPROCESS, 8, seed=3)
    integers = prepared(model, recipe)
    values = assert_equal_codes(integers, images)
    reference = Engine(from_bytes(convert(integers).data), backend="reference").trace(images)
    for name, expected in reference.items():
        np.testing.assert_array_equal(values[name], expected, name)
    if recipe == "w8a8":
        with torch.no_grad():
            expected = model(torch.from_numpy(PREPROCESS.normalise(images))).numpy()
        found = values[convert(integers).graph.output]
        assert np.abs(found - expected).max() < 0.06 * np.abs(expected).max()


def test_constants_have_the_names_of_their_parameters_and_are_trained() -> None:
    model = Embedded().eval()
    graph = fuse(capture(model, (3, 16, 16)))
    assert set(graph.constants) == {"token", "places", "gain", "constant"}
    assert graph.values["token"].shape == (1, 18)
    assert graph.values["places"].channel == 1
    found = prepared(model).train()
    names = {name for name, _ in found.named_parameters()}
    assert {"layers./token.value", "layers./places.value"} <= names
    assert "layers./gain.value" not in names
    found.forward(torch.from_numpy(PREPROCESS.normalise(pictures(PREPROCESS, 2)))).sum().backward()
    gradient = found.layer("token").tensors()["value"].grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("algorithm", ["bias_correct", "adaround"])
def test_corrections_with_constants(algorithm: str) -> None:
    torch.manual_seed(1)
    assert_equal_codes(prepared(Embedded(), Recipe(algorithms=(algorithm,))), pictures(PREPROCESS, 4, seed=3))


def test_each_value_has_the_channel_that_its_readers_want() -> None:
    graph = fuse(capture(Mixer().eval(), (3, 16, 16)))
    channels = {node.name: (node.op, graph.values[node.name].channel) for node in graph.nodes}
    assert channels["stem"] == ("conv2d", 0)
    assert channels["blocks.0.norm"] == ("batch_norm", 0)
    assert channels["blocks.0.tokens.0"] == ("linear", 1)
    assert channels["blocks.0.channels.2"] == ("linear", 1)
    assert shape_of(graph, "blocks.0.tokens.2") == (18, 16)
    assert shape_of(graph, "blocks.0.channels.2") == (16, 18)


def shape_of(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.values[name].shape


@pytest.mark.parametrize("algorithm", ["bias_correct", "bn_restat", "adaround"])
def test_corrections_of_tokens(algorithm: str) -> None:
    """Corrections work along the channel axis, wherever it is: they leave the model as good as it was, and all paths equal."""

    class Normed(Mixer):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 18, 4, 4), nn.BatchNorm2d(18))  # type: ignore[assignment]

    torch.manual_seed(2)
    model, images = Normed(), pictures(PREPROCESS, 16, seed=4)
    plan = Recipe(algorithms=(algorithm,))
    found = prepared(model, plan)
    values = assert_equal_codes(found, images)
    with torch.no_grad():
        expected = model(torch.from_numpy(PREPROCESS.normalise(images))).numpy()
    error = np.abs(values[convert(found).graph.output] - expected).max()
    assert error < 0.15 * np.abs(expected).max()


def test_equalized_channels_of_tokens_grow() -> None:
    """By powers of two, one for each channel of the last axis."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.first, self.second = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 7), nn.Linear(7, 4)
            with torch.no_grad():
                self.first.weight.mul_(torch.tensor([1, 1, 2**-6, 1, 2**-8, 1, 1])[:, None])
                self.first.bias.zero_()

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.relu(self.first(self.stem(x).flatten(2).transpose(1, 2)))).mean(1)

    torch.manual_seed(2)
    found = prepared(Two(), Recipe(algorithms=("equalize",)), guard=False)
    equalized = found.layer("first").equalized
    assert equalized.shape == (7,)
    assert (equalized[[2, 4]] > equalized[[0, 1, 3, 5, 6]].max()).all()
