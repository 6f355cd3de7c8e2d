"""Every pair of a weight scheme and an input scheme: the same integers in the prepared model, the reference and the engine."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.algorithms.ranges import RANGES
from bitwright.capture import capture, fuse
from bitwright.engine.reference import Reference
from bitwright.errors import RecipeError
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer
from bitwright.prepared.value_types import assign_types, never_negative
from bitwright.quantization import calibrate, convert
from bitwright.recipe import Recipe, Rule
from bitwright.schemes import SCHEMES
from tests.networks import assert_equal_codes, pictures, randomise

PREPROCESS = Preprocess(size=9, mean=(0.2, 0.5, 0.8), std=0.3)
WEIGHTS = [name for name, scheme in SCHEMES.items() if scheme.weights]
INPUTS = [name for name, scheme in SCHEMES.items() if scheme.activations]


class Net(nn.Module):
    """Values behind a relu and values of either sign; padding, stride, dilation, groups, residuals, pools, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=8)
        self.c = nn.Conv2d(8, 12, (3, 2), padding=(1, 0))
        self.d = nn.Conv2d(20, 6, 1)
        self.hidden = nn.Linear(6 * 4 * 2, 9)
        self.fc = nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.a(x)
        x = self.norm(self.b(x)) + x
        x = F.max_pool2d(self.depthwise(x), 2, 1)
        y = self.c(x)
        z = F.avg_pool2d(F.pad(y, (1, 0, 0, 0)), (1, 2), 1)
        x = self.d(torch.cat([z, x[:, :, :, :3]], 1)[:, :, :, :2])
        return self.fc(self.hidden(x.flatten(1)))


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    model = Net().eval()
    randomise(model, PREPROCESS)
    return fuse(capture(model, (3, 9, 9)))


@pytest.mark.parametrize("inputs", [*INPUTS, "1bit"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_every_pair_of_schemes(graph: Graph, weights: str, inputs: str) -> None:
    recipe = Recipe(weights=weights, inputs=inputs, range="minmax", algorithms=("bias_correct",))
    prepared = PreparedModel(graph, PREPROCESS, recipe)
    calibrate(prepared, pictures(PREPROCESS, 3), guard=False)
    images = pictures(PREPROCESS, 2, seed=1)
    values = assert_equal_codes(prepared, images)
    artifact = convert(prepared)
    assert Reference(artifact.graph).run(images).tobytes() == values[artifact.graph.output].tobytes()
    for node in artifact.graph.nodes:
        if node.op in ("conv2d", "linear"):
            assert node.attrs["weights"] == weights
            read = artifact.graph.values[node.inputs[0]].type
            assert read is not None
            if node.name != "stem.0":
                assert read.scheme in ((inputs,) if inputs != "1bit" else ("bit", "binary"))
    alive = [len(np.unique(value)) > 1 for value in values.values()]
    assert np.mean(alive) > 0.8


@pytest.mark.parametrize("activations", INPUTS)
def test_every_scheme_between_the_layers(graph: Graph, activations: str) -> None:
    """Written and read as such, residuals and sums among them (only a `pad` cannot take `binary`)."""
    recipe = Recipe(activations=activations, layers=(Rule("c", activations="uint4"),))
    prepared = PreparedModel(graph, PREPROCESS, recipe)
    calibrate(prepared, pictures(PREPROCESS, 3), guard=False)
    assert_equal_codes(prepared, pictures(PREPROCESS, 2, seed=1))


# --- groups of a linear layer's inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("group", [1, 3, 8, 24])
def test_groups(graph: Graph, weights: str, group: int) -> None:
    recipe = Recipe(weights=weights, group=group, last=Rule(group=0), range="mse", algorithms=("bias_correct",))
    prepared = PreparedModel(graph, PREPROCESS, recipe)
    calibrate(prepared, pictures(PREPROCESS, 3), guard=False)
    assert_equal_codes(prepared, pictures(PREPROCESS, 2, seed=1))
    lowered = convert(prepared).graph
    assert lowered["hidden"].tensors["m"].shape == (9, 48 // group)
    assert lowered["fc"].tensors["m"].shape == (5,)
    assert lowered["a"].tensors["m"].shape == (8,)


def test_more_scales_are_closer_to_the_float_weight(graph: Graph) -> None:
    errors = []
    for group in (0, 24, 8, 2):
        layer = PreparedModel(graph, PREPROCESS, Recipe(weights="int4", group=group, last=Rule(group=0))).layer(
            "hidden"
        )
        weight = layer.tensors()["weight"].detach()
        assert layer.quantizer is not None
        layer.quantizer.choose_range(RANGES["mse"], weight)
        errors.append(float((layer.quantizer(weight) - weight).square().sum()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.7 * errors[0]


def test_a_group_that_does_not_divide_the_inputs_is_refused(graph: Graph) -> None:
    with pytest.raises(RecipeError, match="layer 'hidden' has 48 inputs, which groups of 32 do not divide"):
        PreparedModel(graph, PREPROCESS, Recipe(group=32))


# --- where the inputs' schemes go -------------------------------------------------------------------------------------


def schemes(graph: Graph, recipe: Recipe) -> dict[str, str]:
    typed = assign_types(graph, recipe)
    return {node.name: typed.schemes[typed.owner[node.inputs[0]]] for node in typed.graph.nodes if node.name in SOME}


SOME = ("a", "b", "depthwise", "c", "d", "hidden", "fc")


def test_one_bit_is_bit_behind_a_relu_and_binary_elsewhere(graph: Graph) -> None:
    assert never_negative(graph, "stem.0")
    assert not never_negative(graph, "a")
    found = schemes(graph, Recipe.parse("w1a1"))
    assert found == {**dict.fromkeys(SOME, "binary"), "a": "bit", "fc": "uint8"}


def test_readers_of_one_value_share_one_quantize_and_the_residual_path_keeps_its_codes(graph: Graph) -> None:
    typed = assign_types(graph, Recipe.parse("w1a1"))
    added = {node.name: node.inputs[0] for node in typed.graph.nodes if node.op == "quantize"}
    assert added["stem.0.bit"] == "stem.0"
    assert typed.graph["a"].inputs == ("stem.0.bit", "stem.0")
    assert typed.schemes["stem.0"] == "uint8"
    assert typed.schemes["stem.0.bit"] == "bit"
    alone = typed.owner["b"], typed.owner["d"]
    assert [typed.schemes[name] for name in alone] == ["binary", "binary"], "one reader needs no node of its own"
    assert "b.binary" not in added
    assert "d.binary" not in added


def test_no_inputs_no_change(graph: Graph) -> None:
    assert assign_types(graph, Recipe()) == assign_types(graph)
    assert assign_types(graph).graph == assign_types(graph, Recipe(inputs="uint8")).graph


# --- fake quantization ------------------------------------------------------------------------------------------------


def test_the_gradient_of_the_sign_is_one_within_the_scale_and_zero_outside() -> None:
    quantizer = ActivationQuantizer("it", "binary")
    quantizer.scale.fill_(0.5)
    quantizer.zero_point.fill_(1)
    x = torch.tensor([-2.0, -0.51, -0.5, -0.1, 0.0, 0.1, 0.5, 0.51, 2.0], requires_grad=True)
    y = quantizer(x)
    assert y.tolist() == [-0.5] * 5 + [0.5] * 4
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]


def test_binary_weights_are_signs_times_their_mean_size() -> None:
    weight = torch.tensor([[0.5, -1.5, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    quantizer = WeightQuantizer("binary", torch.ones(1, 1), 2)
    quantizer.choose_range(RANGES["minmax"], weight)
    assert quantizer.scale.tolist() == [1.0, 1.0]
    assert quantizer(weight)[0].tolist() == [1.0, -1.0, -1.0, 1.0]
