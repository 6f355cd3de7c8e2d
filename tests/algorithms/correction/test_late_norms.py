"""Batch norms behind the activation undo any scale of the channels that they read."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.algorithms.correction.unscaled import undo
from bitwright.audit.matching import matched
from bitwright.capture import captured
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert, prepare
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes

PREPROCESS = Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


def late(activation: str) -> nn.Module:
    """Convolution, activation, batch norm, twice, the second one depthwise; channels of the first one differ by exp(normal)."""
    torch.manual_seed(0)
    act = ACTIVATIONS[activation]
    model = nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1), act(), nn.BatchNorm2d(12)),
        *(nn.Conv2d(12, 12, 3, padding=1, groups=12), act(), nn.BatchNorm2d(12)),
        *(nn.Flatten(), nn.Linear(12 * 64, 5)),
    )
    with torch.no_grad():
        first = model[0]
        assert isinstance(first, nn.Conv2d)
        assert first.bias is not None
        sizes = torch.exp(torch.randn(12))
        first.weight.mul_(sizes.reshape(-1, 1, 1, 1))
        first.bias.mul_(sizes)
        for _ in range(200):  # until the statistics are those of these images
            model.train()(torch.from_numpy(PREPROCESS.normalise(IMAGES)))
    return model.eval()


def prepared_with(activation: str, *algorithms: str) -> PreparedModel:
    prepared = prepare(late(activation), preprocess=PREPROCESS, recipe=Recipe(algorithms=algorithms))
    calibrate(prepared, IMAGES[:32], range="minmax", guard=False)
    return prepared


def logits(prepared: PreparedModel) -> Tensor:
    with torch.no_grad():
        return prepared.float_logits(torch.from_numpy(PREPROCESS.normalise(IMAGES)))


def decibels(activation: str, *algorithms: str) -> float:
    prepared = prepared_with(activation, *algorithms)
    wanted = logits(prepared)
    with torch.no_grad():
        noise = prepared(torch.from_numpy(PREPROCESS.normalise(IMAGES))) - wanted
    return float(10 * torch.log10(wanted.square().sum() / noise.square().sum()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("algorithm", ["equalize", "none"])
def test_all_implementations_agree(activation: str, algorithm: str) -> None:
    prepared = prepared_with(activation, *([] if algorithm == "none" else [algorithm]))
    assert_equal_codes(prepared, IMAGES[:4])


def test_scales_cost_the_norm_nothing_and_the_float_model_stays() -> None:
    activation = "relu"  # which a scale passes; no gelu does
    before, prepared = logits(prepared_with(activation)), prepared_with(activation, "equalize")
    first = prepared.layer(prepared.graph.nodes[0].name)
    assert first.equalized.max() > 8
    assert torch.allclose(logits(prepared), before, rtol=1e-4, atol=1e-4)
    assert decibels(activation, "equalize") > decibels(activation) + 3
    undo(prepared)
    captured_weight = late(activation)[0].weight.detach()  # type: ignore[index]
    assert torch.equal(first.tensors()["weight"].detach(), captured_weight)
    assert torch.equal(logits(prepared), before)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_statistics_of_a_batch_are_those_of_the_scaled_channels(activation: str) -> None:
    pictures = torch.from_numpy(PREPROCESS.normalise(IMAGES))

    def of_the_batch(prepared: PreparedModel) -> Tensor:
        values = {prepared.graph.input: prepared.real_input(torch.from_numpy(IMAGES))}
        for node in prepared.graph.nodes:
            layer = prepared.layer(node.name)
            tensors = {name: tensor.detach().clone() for name, tensor in layer.tensors().items()}
            values[node.name] = layer.function(tensors, [values[name] for name in node.inputs], training=True)
        return values[prepared.graph.output]

    wanted = late(activation).train()(pictures)
    assert torch.allclose(of_the_batch(prepared_with(activation, "equalize")), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_audit_finds_the_scales_again(activation: str) -> None:
    prepared = prepared_with(activation, "equalize")
    found = matched(captured(late(activation), (3, 8, 8)), convert(prepared))
    for node in prepared.graph.nodes:
        wanted, again = prepared.layer(node.name), found.layer(node.name)
        for name in ("equalized", "weight", "bn_weight", "bn_mean", "bn_var"):
            if hasattr(wanted, name):
                a, b = getattr(wanted, name).detach(), getattr(again, name).detach()
                assert torch.allclose(a, b, rtol=1e-4, atol=1e-6), (node.name, name)
