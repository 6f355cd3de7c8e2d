"""ReActNet's learnable thresholds in plain PyTorch: captured, folded exactly, trainable, and equal everywhere."""

import pytest
import torch
from torch import Tensor, nn

from bitwright.capture import capture, fuse
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes, pictures, randomise

PREPROCESS = Preprocess(size=8, mean=(0.2, 0.5, 0.8), std=0.3)


class Shift(nn.Module):
    """x + beta[c], written in the ways that people write it."""

    def __init__(self, channels: int, way: str) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.randn(channels if way == "view" else (1, channels, 1, 1)) * 0.3)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "view":
            return x + self.beta.view(1, -1, 1, 1)
        return x + self.beta.expand_as(x) if self.way == "expand" else x - self.beta


class Block(nn.Module):
    """rprelu(bn(conv(x + beta)) + x); the convolution reads signs."""

    def __init__(self, channels: int, way: str) -> None:
        super().__init__()
        self.threshold = Shift(channels, way)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.before, self.prelu, self.after = Shift(channels, way), nn.PReLU(channels), Shift(channels, "expand")
        nn.init.uniform_(self.prelu.weight, -0.2, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(self.threshold(x))) + x
        out: Tensor = self.after(self.prelu(self.before(y)))
        return out


class React(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU())
        self.blocks = nn.Sequential(*(Block(8, way) for way in ("view", "expand", "sub")))
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = React().eval()
    randomise(model, PREPROCESS)
    return model


@pytest.fixture(scope="module")
def graph(model: nn.Module) -> Graph:
    return fuse(capture(model, (3, 8, 8)))


def test_the_float_model_stays_as_it_was(model: nn.Module, graph: Graph) -> None:
    prepared = PreparedModel(graph, PREPROCESS, Recipe.parse("w1a1")).eval()
    images = pictures(PREPROCESS, 3)
    found = prepared.calibrator.observe(torch.from_numpy(images))
    expected = model(torch.from_numpy(PREPROCESS.normalise(images)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_block_is_a_threshold_a_convolution_and_a_table(graph: Graph) -> None:
    assert [node.op for node in graph.nodes] == [
        *("conv2d", "prelu"),
        *("batch_norm", "conv2d", "prelu") * 3,
        *("global_avg_pool2d", "reshape", "linear"),
    ]
    prepared = PreparedModel(graph, PREPROCESS, Recipe.parse("w1a1"))
    calibrate(prepared, pictures(PREPROCESS, 4), guard=False)
    assert_equal_codes(prepared, pictures(PREPROCESS, 3, seed=1))
    lowered = convert(prepared).graph
    table, *rest = [node for node in lowered.nodes if node.op in ("prelu", "table")]
    assert table.tensors["table"].shape == (256,), "one slope is one table"
    assert all(node.op == "prelu" and node.tensors["slope"].shape == (8,) for node in rest)
    assert [node.op for node in lowered.nodes] == [
        "table" if node.name == table.name else node.op for node in graph.nodes
    ]
    for node in lowered.nodes:
        if node.op == "batch_norm":
            type_ = lowered.values[node.name].type
            assert type_ is not None
            assert type_.scheme == "binary", "the threshold writes the sign itself"


@pytest.mark.parametrize("recipe", ["w1a2", "w8a8", "w4a4"])
def test_other_recipes(graph: Graph, recipe: str) -> None:
    prepared = PreparedModel(graph, PREPROCESS, Recipe.parse(recipe))
    calibrate(prepared, pictures(PREPROCESS, 4), guard=False)
    assert_equal_codes(prepared, pictures(PREPROCESS, 2, seed=1))


def test_thresholds_and_slopes_are_trained(graph: Graph) -> None:
    prepared = PreparedModel(graph, PREPROCESS, Recipe.parse("w1a1"))
    images = pictures(PREPROCESS, 4)
    calibrate(prepared, images)
    prepared.train()
    logits = prepared(torch.from_numpy(PREPROCESS.normalise(images)))
    logits.square().sum().backward()
    learned = dict(prepared.named_parameters())
    for name in ("slope", "after"):
        found = [value for key, value in learned.items() if key.endswith(f".{name}")]
        assert len(found) >= 3
        assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in found)
    shifts = [node.name for node in prepared.graph.nodes if node.op == "batch_norm"]
    for name in shifts:
        layer = prepared.layer(name)
        assert [key for key, _ in layer.named_parameters()] == ["bn_bias"]
        assert layer.get_parameter("bn_bias").grad is not None
    assert torch.isfinite(logits).all()
