"""What few bits save: bytes of the artifact of a ResNet-18 for ImageNet against those of its float32 parameters."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from bitwright.artifact import from_bytes
from bitwright.capture import capture, fuse
from bitwright.graph import Graph
from bitwright.images.preprocess import Preprocess
from bitwright.prepared import PreparedModel
from bitwright.quantization import calibrate, convert
from bitwright.recipe import Recipe
from tests.networks import network, pictures

FLOAT_BYTES = 4 * 11_689_512
LEAST = {"w8a8": 3.9, "w4a8": 7.5, "w4a4": 7.5, "wta8": 15, "w1a8": 20, "w1a2": 20, "w1a1": 20}
"""Float bytes over artifact bytes; stem and head have 8 bits."""


@pytest.fixture(scope="module")
def resnet18(torchvision: ModuleType) -> tuple[Graph, Preprocess]:
    model, preprocess = network("resnet18", torchvision)
    assert 4 * sum(p.numel() for p in model.parameters()) == FLOAT_BYTES
    return fuse(capture(model, (3, 64, 64))), preprocess


@pytest.mark.parametrize("recipe", LEAST)
def test_few_bits_are_few_bytes(recipe: str, resnet18: tuple[Graph, Preprocess]) -> None:
    graph, preprocess = resnet18
    plan = replace(Recipe.parse(recipe), algorithms=(), range="minmax")
    prepared = PreparedModel(graph, preprocess, plan)
    calibrate(prepared, pictures(preprocess, 1))
    artifact = convert(prepared)
    assert FLOAT_BYTES / len(artifact.data) >= LEAST[recipe]
    weights = {node.name: node.attrs["weights"] for node in artifact.graph.nodes if "weights" in node.attrs}
    assert (weights.pop("conv1"), weights.pop("fc")) == ("int8", "int8")
    assert set(weights.values()) == {plan.weights}
    found = from_bytes(artifact.data)
    for node, other in zip(artifact.graph.nodes, found.graph.nodes, strict=True):
        for key, tensor in node.tensors.items():
            np.testing.assert_array_equal(tensor, other.tensors[key])
