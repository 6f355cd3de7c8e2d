"""Values of `binary` codes, written and read by every op, on every instruction set: -1 and +1, and exact zeros as padding."""

from typing import Any

import numpy as np
import pytest

from bitwright import _native
from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from bitwright.errors import EngineError
from bitwright.graph import Graph, Node, Value
from bitwright.qtensor import QType
from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph

BINARY: dict[str, Any] = {"scheme": "binary", "zp": 1}


def binary_conv(graph: RandomGraph, x: str, out: int, kernel: int, residual: str | None = None, **attrs: object) -> str:
    """A convolution that writes `binary` with both codes about as often."""
    name = graph.conv2d(x, out, kernel, residual, **BINARY, **attrs)
    node = graph.nodes[-1]
    node.tensors["m"][:] /= 70 if x == "input" else 1
    node.tensors["b"][:] = graph.rng.normal(0.5, 0.1, out)
    if residual is not None:
        node.tensors["m_r"][:] = 0.2
    return name


@pytest.mark.parametrize("channels", [3, 16, 40, 64])
def test_written_and_read_by_convolutions(channels: int) -> None:
    graph = RandomGraph((3, 9, 11), seed=channels)
    x = binary_conv(graph, "input", channels, 3)
    y = binary_conv(graph, x, channels, 3, residual=x)
    y = binary_conv(graph, y, channels, 3, groups=channels, stride=(2, 1))
    y = binary_conv(graph, y, 2 * channels, 1, padding=(1, 1, 0, 0))
    y = graph.conv2d(y, channels, 3, dilation=(2, 2), padding=(2, 2, 2, 2))
    graph.linear(graph.flatten(y), 7, to_float=True)
    assert_agreement(graph.build(), graph.images(2))
    values = dict(Reference(graph.build()).values(graph.images(1)))
    assert all(0.05 < np.mean(values[f"conv2d_{i}"]) < 0.95 for i in range(4))


@pytest.mark.parametrize("channels", [5, 64])
def test_every_op_on_binary_values(channels: int) -> None:
    graph = RandomGraph((3, 8, 8), seed=channels)
    graph.values["input"] = Value((3, 8, 8), QType("uint8", (0.02,) * 3, (128,) * 3, (0.0,) * 3))
    x, other = (binary_conv(graph, "input", channels, 3) for _ in range(2))
    y = graph.max_pool2d(x, 3, 1, (1, 1, 1, 1))
    y = graph.moved("concat", y, other, axis=0)
    y = graph.moved("slice", y, axis=0, start=1, stop=1 + channels, step=1)
    total = graph.add(y, other, **BINARY)
    product = graph.mul(total, x, **BINARY)
    scaled = graph.mul(x, graph.global_avg_pool2d(product, **BINARY), **BINARY)
    normed = graph.batch_norm(graph.add(product, scaled), **BINARY)
    pooled = graph.avg_pool2d(normed, 3, 2, (1, 1, 1, 1), **BINARY)
    looked_up = graph.table(pooled, zp=1, scheme="binary")
    per_channel = graph.table(looked_up, per_channel=True, zp=1, scheme="binary")
    widened = graph.table(graph.moved("permute", per_channel, dims=(0, 2, 1)), zp=3)
    pooled = graph.table(graph.max_pool2d(looked_up, 2, 1), zp=7, scheme="uint4")
    left, right = graph.flatten(widened), graph.flatten(pooled)
    a = graph.linear(left, 9, **BINARY)
    b = graph.linear(right, 9, residual=a, to_float=False)
    graph.dequantize(graph.add(a, b, **BINARY))
    assert_agreement(graph.build(), graph.images(3))


def test_the_values_are_codes() -> None:
    graph = RandomGraph((3, 5, 5))
    x = binary_conv(graph, "input", 6, 3)
    graph.global_avg_pool2d(x, to_float=True)
    images = graph.images(1)
    found = make_plan(graph.build(), 1, keep_values=True).values(images)
    expected = [value for _, value in Reference(graph.build()).values(images)]
    assert set(np.unique(expected[1])) == {0, 1}
    for value, code in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(value), code[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (((4, 4, 4), 0, 1, 2, [0]), "zero point"),
        (((4, 4, 4), 0, 3, 2, [1]), "step"),
        (((4, 4, 4), 0, 1, 3, [1]), "step"),
    ],
)
def test_other_steps_are_refused(value: tuple[Any, ...], message: str) -> None:

    image = ((4, 4, 4), 0, 255, 1, [0] * 4)
    table = np.zeros(256, np.uint8)
    node: tuple[Any, ...] = ("it", "table", [0], 1, {}, {"table": table})
    with pytest.raises(ValueError, match=message):
        _native.Plan([image, value], [node], [0], [1], 1, False)


def test_padding_binary_values_is_refused() -> None:
    type_ = QType("binary", 1.0, 1)
    graph = RandomGraph((3, 4, 4))
    x = binary_conv(graph, "input", 4, 1)
    values = {**graph.values, "pad": Value((4, 6, 6), type_)}
    node = Node("pad", "pad", (x,), {"padding": ((0, 0), (1, 1), (1, 1))})
    with pytest.raises(EngineError, match="no zero to pad with"):
        make_plan(Graph((*graph.nodes, node), values, "pad"))
