"""Small networks in ONNX for tests, and what capture makes of them, beside ONNX's own evaluator."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

import bitwright as bw
from bitwright.capture import fuse
from bitwright.graph import Graph
from bitwright.models import LoadedModel, load_model
from tests.onnx_models import Array, op, reference, saved, weights

SHAPE = (3, 8, 8)


def head(value: str, **more: Array) -> tuple[list[Any], dict[str, Array]]:
    """The end of a classifier of 4 channels: their means, and a linear layer."""
    nodes = [op("GlobalAveragePool", value, "p"), op("Flatten", "p", "f"), op("Gemm", "f fc__w fc__b", "y", transB=1)]
    return nodes, {**weights(fc__w=(5, 4), fc__b=(5,)), **more}


def small(before: str = "x") -> tuple[list[Any], dict[str, Array]]:
    nodes, tensors = head("r")
    conv = [op("Conv", f"{before} stem__w stem__b", "c", pads=[1, 1, 1, 1]), op("Relu", "c", "r")]
    for node in (*conv, *nodes):
        node.input[:] = [name.replace("__", ".") for name in node.input]
    return [*conv, *nodes], tensors | weights(stem__w=(4, 3, 3, 3), stem__b=(4,))


def loaded(made: ModelProto, folder: Path) -> LoadedModel:
    return load_model(saved(made, folder))


def captured(found: LoadedModel) -> Graph:
    return fuse(found.float_model.capture(SHAPE).graph)


def ops_of(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def expect_equal(found: LoadedModel, made: ModelProto, x: Array) -> None:
    """The module and its graph compute what ONNX's own evaluator does."""
    expected = reference(made, x)
    np.testing.assert_allclose(found.float_model.predict(x), expected, rtol=1e-4, atol=1e-5)
    by_graph = bw.float_model(found.float_model.capture(SHAPE)).predict(x)
    np.testing.assert_allclose(by_graph, expected, rtol=1e-4, atol=1e-5)
