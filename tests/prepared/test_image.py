"""A graph that reads bits: the same integers everywhere, the float model on what the bits stand for, and gradients."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.artifact import load
from bitwright.capture import capture, fuse
from bitwright.engine import Engine
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert
from bitwright.recipe import Recipe, Rule
from tests.networks import assert_equal_codes, pictures, randomise

ENCODERS = (
    *("threshold", "threshold:90", "threshold:otsu", "dither", "bitplanes", "bitplanes:3"),
    *("thermometer:5", "thermometer:8", "thermometer:17"),
)
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)
PRE = Preprocess(size=(12, 11), mean=(0.49, 0.3, 0.8), std=(0.25, 0.2, 0.3))
GREY = Preprocess(size=9, mean=0.4, mode="L")


class Net(nn.Module):
    """A padded stem with batch norm, and a classifier."""

    def __init__(self, channels: int = 3, groups: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 6 * channels, 3, 2, 1, groups=groups, bias=groups > 1)
        self.norm = nn.BatchNorm2d(6 * channels)
        self.head = nn.Linear(6 * channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(F.relu(self.norm(self.stem(x))).mean((2, 3)))
        return y


class Several(nn.Module):
    """The image is read by two convolutions, a sum and a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.one(x) + x, self.two(x) * F.avg_pool2d(x, 3, 1, 1)], 1)
        z: Tensor = self.head(y.mean((2, 3)))
        return z


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12 * 11 * 3, 16), nn.ReLU(), nn.Linear(16, 4))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "stem": Net,
    "depthwise": lambda: Net(groups=3),
    "several": Several,
    "perceptron": perceptron,
    "grey": lambda: Net(1),
}
in_colour = pytest.mark.parametrize("name", ["stem", "depthwise", "several", "perceptron"])


@cache
def captured(name: str) -> tuple[nn.Module, Graph]:
    """A network of random weights and its fused float graph."""
    torch.manual_seed(0)
    net, preprocess = MODELS[name](), GREY if name == "grey" else PRE
    randomise(net, preprocess)
    height, width, channels = preprocess.shape
    return net, fuse(capture(net, (channels, height, width)))


def made(name: str, preprocess: Preprocess, recipe: str | Recipe = "w8a8") -> PreparedModel:
    prepared = PreparedModel(captured(name)[1], preprocess, Recipe.parse(recipe)).eval()
    calibrate(prepared, pictures(preprocess, 4), range="minmax", guard=False)
    return prepared


@every_encoder
@in_colour
def test_the_same_integers_everywhere(name: str, encoder: str) -> None:
    prepared = made(name, replace(PRE, encoder=encoder))
    values = assert_equal_codes(prepared, pictures(PRE, 3, seed=1))
    assert values["input"].shape == (3, *prepared.preprocess.codes_shape)
    assert set(np.unique(values["input"])) == {0, 1}
    assert len(np.unique(values[prepared.graph.output])) > 4


@pytest.mark.parametrize("encoder", ["threshold:otsu", "bitplanes", "thermometer:5"])
@pytest.mark.parametrize("weights", ["int4", "int2", "ternary", "binary", "bit"])
def test_first_layers_of_few_bits(weights: str, encoder: str) -> None:
    recipe = Recipe(first=Rule(weights=weights), algorithms=())
    assert_equal_codes(made("stem", replace(PRE, encoder=encoder), recipe), pictures(PRE, 3, seed=1))


@every_encoder
def test_grey_images(encoder: str) -> None:
    grey = replace(GREY, encoder=encoder)
    assert_equal_codes(made("grey", grey), pictures(grey, 3, seed=1))


@every_encoder
@in_colour
def test_the_float_graph_is_the_model_on_what_the_bits_stand_for(name: str, encoder: str) -> None:
    """Inside the image and at its border, where convolutions see what the padding's bits stand for."""
    preprocess, net = replace(PRE, encoder=encoder), copy.deepcopy(captured(name)[0])
    prepared = made(name, preprocess, Recipe(algorithms=()))
    images, bits = pictures(PRE, 3, seed=1), preprocess.bits
    assert bits is not None
    scale, offset = preprocess.affine()
    planes = preprocess.encode(images).reshape(3, *PRE.shape, bits.planes)
    real = torch.from_numpy(bits.decode(planes) * scale + offset).permute(0, 3, 1, 2).float()
    beyond = bits.decode(bits.of_levels(preprocess.zero_point())) * scale + offset
    assert (np.abs(beyond) <= scale * 128).all()
    around = torch.from_numpy(beyond).float().reshape(1, 3, 1, 1)

    def pad(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        assert isinstance(module, nn.Conv2d)
        border, module.padding = int(module.padding[0]), (0, 0)
        return F.pad(inputs[0] - around, (border,) * 4) + around

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(pad)
    with torch.no_grad():
        expected, found = net.eval()(real), prepared.calibrator.observe(torch.from_numpy(images))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@every_encoder
def test_training_sees_the_same_bits(encoder: str) -> None:
    prepared = made("stem", replace(PRE, encoder=encoder)).train()
    for layer in prepared.layers.values():  # batch norms as in eval mode, so that both modes compute the same
        layer.training = False
    x = torch.from_numpy(PRE.normalise(pictures(PRE, 3, seed=1)))
    logits = prepared(x)
    logits.square().sum().backward()
    weight = prepared.layer("stem").tensors()["weight"]
    assert weight.grad is not None
    planes = weight.grad.abs().sum((0, 2, 3))
    assert planes.shape == (prepared.preprocess.codes_shape[0],)
    assert (planes > 0).all()
    integers = prepared.eval()(x)
    assert float((logits - integers).detach().norm()) <= 0.05 * float(integers.norm())


def test_without_an_encoder_nothing_changes() -> None:
    prepared = made("stem", PRE)
    assert prepared.image.scheme == "uint8"
    assert prepared.layer("stem").tensors()["weight"].shape == (18, 3, 3, 3)
    torch.testing.assert_close(prepared.code_scale, prepared.image_scale, rtol=0, atol=0)
    torch.testing.assert_close(prepared.code_offset, prepared.image_offset, rtol=0, atol=0)


@pytest.mark.parametrize("encoder", ["thermometer:7", "dither"])
def test_one_file_turns_a_jpeg_into_logits(encoder: str, tmp_path: Path) -> None:
    prepared = made("stem", replace(PRE, encoder=encoder))
    convert(prepared).save(tmp_path / "m.safetensors")
    picture = Image.fromarray(pictures(Preprocess(size=(30, 40)), 1)[0])
    picture.save(tmp_path / "p.jpg")
    engine = Engine(load(tmp_path / "m.safetensors"))
    with Image.open(tmp_path / "p.jpg") as opened:
        pixels = PRE.apply(opened)[None]
    with torch.no_grad():
        expected = prepared(torch.from_numpy(PRE.normalise(pixels))).numpy()
    assert engine(tmp_path / "p.jpg").tobytes() == engine(pixels).tobytes() == expected.tobytes()
