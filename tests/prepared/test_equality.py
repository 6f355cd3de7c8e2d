"""The promise: the prepared model in eval mode and the engine compute the same integers, at every layer, to the bit.

Mostly calibrated without the guard: it takes most of the time, and what it undoes could not be compared.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bitwright.algorithms.correction import adaround
from bitwright.algorithms.ranges import RANGES
from bitwright.capture import capture, fuse
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import open_source
from bitwright.models import load_model
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.quantization import calibrate
from bitwright.recipe import Recipe, Rule
from tests.networks import NETWORKS, assert_equal_codes, network, pictures


def quick(short: str) -> Recipe:
    """The recipe with the nearest codes. Those of `adaround` are as good here, and take a hundred times as long."""
    recipe = Recipe.parse(short)
    return replace(recipe, algorithms=tuple(name for name in recipe.algorithms if name != "adaround"))


RECIPES = {
    **{short: quick(short) for short in ("w8a8", "w4a8", "w4a4", "w2a2", "w6a5", "w1a1", "wta2")},
    "mixed": Recipe(
        weights="int5",
        activations="uint6",
        first=Rule(weights="int7", activations="uint8"),
        last=Rule(weights="int3", activations="uint2"),
        layers=(Rule("*2*", weights="int2", activations="uint7"), Rule("*1*", weights="int8", activations="uint3")),
    ),
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def float_logits(model: nn.Module, preprocess: Preprocess, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(preprocess.normalise(images))).numpy()
    return logits


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_random_weights(name: str, torchvision: ModuleType) -> None:
    """Captured right, for any batch; left as it was; the same integers everywhere."""
    model, preprocess = network(name, torchvision)
    images = pictures(preprocess, 3)
    expected = float_logits(model, preprocess, images)
    some = [module for i, module in enumerate(model.modules()) if i % 3 == 0]
    for module in some:
        module.training = True
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    height, width, channels = preprocess.shape
    graph = fuse(capture(model, (channels, height, width)))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    del model, state

    for short, count in (("w8a8", 2), ("w4a4", 1)):
        prepared = PreparedModel(graph, preprocess, Recipe.parse(short)).eval()
        for batch in (slice(3), slice(1, 2)):
            found = prepared.calibrator.observe(torch.from_numpy(images[batch])).numpy()
            assert np.linalg.norm(found - expected[batch]) <= 2e-3 * np.linalg.norm(expected[batch])
        prepared.calibrator.choose_ranges(RANGES["minmax"])
        values = assert_equal_codes(prepared, images[:count])
        alive = [len(np.unique(value)) > 2 for value in values.values()]
        assert np.mean(alive) > 0.9, "most layers are constant, so their equality says little"


@every_recipe
@pytest.mark.parametrize("range_", RANGES)
@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_react20", "cifar_resnet8", "mnist_lenet"])
def test_every_recipe_and_range(name: str, recipe: Recipe, range_: str, graphs: Callable[..., tuple]) -> None:
    graph, preprocess = graphs(name)
    prepared = PreparedModel(graph, preprocess, recipe)
    calibrate(prepared, pictures(preprocess, 3), range=range_, guard=False)
    assert_equal_codes(prepared, pictures(preprocess, 2, seed=1))


@pytest.mark.parametrize("name", ["cifar_resnet20", "mnist_lenet"])
def test_codes_that_are_not_the_nearest(
    name: str, graphs: Callable[..., tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaround, "STEPS", 20)
    graph, preprocess = graphs(name)
    prepared = PreparedModel(graph, preprocess, Recipe.parse("w4a4"))
    calibrate(prepared, pictures(preprocess, 3), guard=False)
    assert any(bool((module.rounding != 0).any()) for module in prepared.modules() if isinstance(module, Layer))
    assert_equal_codes(prepared, pictures(preprocess, 2, seed=1))


@every_recipe
def test_images_far_from_those_calibrated_on(recipe: Recipe, graphs: Callable[..., tuple]) -> None:
    """Everything saturates: black, white, and one hot pixel."""
    graph, preprocess = graphs("cifar_resnet20_proj")
    prepared = PreparedModel(graph, preprocess, recipe)
    calibrate(prepared, np.full((1, *preprocess.shape), 120, np.uint8))
    extremes = np.zeros((3, *preprocess.shape), np.uint8)
    extremes[1] = 255
    extremes[2, 16, 16] = 255
    assert_equal_codes(prepared, extremes)


@pytest.fixture(scope="module")
def graphs(torchvision: ModuleType) -> Callable[..., tuple]:
    """Fused float graphs of networks, each captured once."""
    made: dict[str, tuple] = {}

    def graph(name: str) -> tuple:
        if name not in made:
            model, preprocess = network(name, torchvision)
            height, width, channels = preprocess.shape
            made[name] = fuse(capture(model, (channels, height, width))), preprocess
        return made[name]

    return graph


# --- trained networks on real images ----------------------------------------------------------------------------------

IMAGENET = "imagenet-samples/sample1000.csv"
REAL = {
    "cifar10-resnet20": ("bitwright.zoo:cifar_resnet20", "cifar10"),
    "cifar10-resnet20-proj": ("bitwright.zoo:cifar_resnet20_proj", "cifar10"),
    "cifar10-resnet32": ("bitwright.zoo:cifar_resnet32", "cifar10"),
    "cifar10-resnet8": ("bitwright.zoo:cifar_resnet8", "cifar10"),
    "cifar10-nin": ("bitwright.zoo:cifar_nin", "cifar10"),
    "mnist-lenet": ("bitwright.zoo:mnist_lenet", "mnist/t10k-images-idx3-ubyte.gz"),
    "imagenet-squeezenet1_1": ("torchvision:squeezenet1_1", IMAGENET),
    "imagenet-darknet-tiny": ("bitwright.zoo:darknet_tiny", IMAGENET),
    "tinyimagenet-mobilenetv2": ("torchvision:mobilenet_v2", "tiny-imagenet/val2000.csv"),
}


@pytest.fixture(scope="module", params=REAL)
def trained(request: pytest.FixtureRequest, data_dir: Path, torchvision: ModuleType) -> tuple:
    """(fused graph, preprocessing, images uint8 [6, H, W, C]) of a trained network."""
    spec, source = REAL[request.param]
    weights = data_dir / "models" / f"{request.param}.safetensors"
    if request.param == "tinyimagenet-mobilenetv2":
        loaded = load_model("tests.prepared.test_equality:mobilenet_v2_of_200", weights)
        preprocess = Preprocess(size=128, resize=(128, 128), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    else:
        loaded = load_model(spec, weights)
        assert loaded.preprocess is not None
        preprocess = loaded.preprocess
    height, width, channels = preprocess.shape
    graph = fuse(capture(loaded.model, (channels, height, width)))
    return graph, preprocess, real_images(data_dir, source, preprocess)


def mobilenet_v2_of_200() -> nn.Module:
    import torchvision

    model: nn.Module = torchvision.models.mobilenet_v2(num_classes=200)
    return model


def real_images(data_dir: Path, source: str, preprocess: Preprocess) -> np.ndarray:
    if source == "cifar10":
        with Image.open(data_dir / "cifar10" / "test-00.webp") as sheet:
            rows = np.asarray(sheet.convert("RGB")).reshape(25, 32, 40, 32, 3)
        return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(1000, 32, 32, 3)[:6])
    opened = open_source(data_dir / source).sample(6, seed=0)
    return next(opened.batches(preprocess, 6)).images


@every_recipe
def test_a_trained_network_on_real_images(recipe: Recipe, trained: tuple) -> None:
    graph, preprocess, images = trained
    prepared = PreparedModel(graph, preprocess, recipe)
    calibrate(prepared, images[:4], range="minmax", guard=False)
    assert_equal_codes(prepared, images[3:])
