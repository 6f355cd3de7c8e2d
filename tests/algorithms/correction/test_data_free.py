"""Without images: what batch norms tell, that it is labelled, and what refuses to work on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.algorithms.correction import data_free
from bitwright.errors import CalibrationError, RecipeError
from bitwright.graph import Node
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.quantization import calibrate, prepare, quantize
from bitwright.recipe import Recipe
from tests.networks import assert_equal_codes, pictures

PREPROCESS = Preprocess(size=12, mean=0.5, std=0.25)


def net(norm: bool = True) -> nn.Module:
    """Its batch norms have the statistics of pictures."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs in (3, 8, 8):
        layers += [
            nn.Conv2d(inputs, 8, 3, padding=1),
            nn.BatchNorm2d(8, momentum=None) if norm else nn.Identity(),
            nn.ReLU(),
        ]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).train()
    with torch.no_grad():
        model(torch.from_numpy(PREPROCESS.normalise(pictures(PREPROCESS, 64, seed=1))))
    return model.eval()


def made(*algorithms: str, weights: str = "int8") -> PreparedModel:
    prepared = prepare(net(), preprocess=PREPROCESS, recipe=Recipe(weights=weights, algorithms=algorithms))
    record = calibrate(prepared, None)
    assert (record["images"], record["data_free"]) == (0, True)
    return prepared


def test_a_model_that_reads_bits() -> None:
    prepared = prepare(net(), preprocess=replace(PREPROCESS, encoder="bitplanes"), recipe="w8a8")
    calibrate(prepared, None)
    assert_equal_codes(prepared, pictures(PREPROCESS, 2))
    assert error(prepared) < 2 * error(made("equalize", "bias_correct")) + 1e-3


def error(prepared: PreparedModel) -> float:
    x = torch.from_numpy(PREPROCESS.normalise(pictures(PREPROCESS, 32)))
    with torch.no_grad():
        return float((prepared(x) - net()(x)).square().mean())


def layer(clamp: tuple[float | None, float | None]) -> Layer:
    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {
        "weight": np.ones((5, 1, 1, 1), np.float32),
        "bn_mean": np.zeros(5, np.float32),
        "bn_var": np.ones(5),
    }
    tensors |= {name: rng.normal(0, 2, 5).astype(np.float32) for name in ("bn_weight", "bn_bias")}
    attrs = {"clamp": clamp, "groups": 1, "eps": 0.0}
    return Layer(Node("c", "conv2d", ("x",), attrs, tensors), "int8", None)


@pytest.mark.parametrize("clamp", [(0.0, None), (0.0, 6.0), (None, 1.0), (None, None)])
def test_the_mean_of_a_clipped_normal(clamp: tuple[float | None, float | None]) -> None:
    tested = layer(clamp)
    tensors = tested.tensors()
    normal = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = tensors["bn_bias"].detach() + tensors["bn_weight"].detach() * normal
    y = y if clamp == (None, None) else y.clamp(*clamp)
    found = data_free.mean(tested)
    assert found is not None
    torch.testing.assert_close(found, y.mean(0), atol=0.02, rtol=0)


def test_it_comes_near_the_float_model_and_repeats_itself() -> None:
    prepared = made("equalize", "bias_correct")
    x = torch.from_numpy(PREPROCESS.normalise(pictures(PREPROCESS, 32)))
    with torch.no_grad():
        assert error(prepared) < 0.01 * float(net()(x).var())
    assert_equal_codes(prepared, pictures(PREPROCESS, 4))
    artifacts = [quantize(net(), None, preprocess=PREPROCESS, seed=seed) for seed in (0, 0)]
    assert artifacts[0].data == artifacts[1].data
    assert artifacts[0].provenance["calibration"]["data_free"] is True


def test_the_analytic_bias_correction_helps_coarse_weights() -> None:
    assert error(made("bias_correct", weights="int3")) < error(made(weights="int3"))


def test_what_needs_images_or_batch_norms_says_so() -> None:
    with pytest.raises(RecipeError, match=r"the recipe '.*' has 'adaround', .*--algorithms equalize,bias_correct, or"):
        made("equalize", "adaround", "bias_correct")
    prepared = prepare(net(norm=False), preprocess=PREPROCESS)
    with pytest.raises(CalibrationError, match="this model has none; give it images"):
        calibrate(prepared, None)
