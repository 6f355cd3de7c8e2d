"""Linear layers whose sums may leave int32 get groups of inputs by themselves."""

import numpy as np
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.engine.reference import Reference
from bitwright.errors import OverflowBoundError
from bitwright.graph import Node, Value
from bitwright.ops import INTEGER_OPS
from bitwright.ops.op import INT32_MAX
from bitwright.ops.weights import groups_needed
from bitwright.qtensor import QType

INPUTS = 448 * 448  # 200,704
PREPROCESS = bw.Preprocess(size=448, mode="L", mean=0.5, std=0.25)


@pytest.mark.parametrize(
    ("inputs", "scheme", "groups"),
    [
        (1, "int8", 1),
        (66_311, "int8", 1),
        (66_312, "int8", 2),
        (INPUTS, "int8", 4),
        (INPUTS, "int4", 1),
        (131_071, "int8", 1),
    ],
)
def test_as_few_groups_as_fit_int32(inputs: int, scheme: str, groups: int):
    assert groups_needed(inputs, scheme) == groups
    if inputs != 131_071:  # a prime number: no groups at all
        assert inputs // groups * (127 if scheme == "int8" else 7) * 255 <= INT32_MAX


def wide() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, 3))
    with torch.no_grad():
        weight = model.get_parameter("1.weight")
        weight.copy_(weight.sign() * weight.abs().clamp(min=0.5 * weight.abs().max()))  # on average 3/4 of the greatest
    return model.eval()


def test_a_layer_of_200704_inputs():
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (6, 8, 8, 1)).repeat(56, 1).repeat(56, 2)).astype(np.uint8)
    model = wide()
    artifact = bw.quantize(model, images, preprocess=PREPROCESS, recipe="w8a8")
    assert artifact.graph["1"].tensors["m"].shape == (3, 4)
    with torch.no_grad():
        expected = model(torch.from_numpy(PREPROCESS.normalise(images))).numpy()
    found = bw.Engine(artifact)(images)
    np.testing.assert_array_equal(found, Reference(artifact.graph).run(images))
    assert 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()) > 35


def test_what_still_overflows_is_offered_groups():
    x, y = Value((INPUTS,), QType("uint8", 1.0, 0)), Value((1,))
    tensors: dict[str, np.ndarray] = {
        "weight": np.full((1, INPUTS), 127, np.int8),
        "m": np.ones((1, 2), np.float32),
        "b": np.zeros(1, np.float32),
    }
    node = Node("fc", "linear", ("x",), {"weights": "int8", "lo": 0, "hi": 255}, tensors)
    with pytest.raises(OverflowBoundError, match="use fewer bits for weights or inputs; or smaller groups of inputs"):
        INTEGER_OPS["linear"].validate(node, [x], y)
