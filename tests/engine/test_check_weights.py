"""Bits that flip in memory while an engine is in use are found within so many calls as were asked for."""

import copy
import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from bitwright.engine.native import make_plan
from bitwright.errors import EngineError
from tests.kernels.random_graph import RandomGraph

RESNET20 = Path(__file__).parents[2] / "examples/cifar10/resnet20-w4a4.bw.safetensors"


def flip(address: int, bit: int) -> None:
    ctypes.c_uint8.from_address(address + bit // 8).value ^= 1 << bit % 8


def graph_of_many_steps() -> RandomGraph:
    """Convolutions, few bits, grouped and pixel by pixel, a table, squeeze-and-excite, a constant, norms."""
    g = RandomGraph((3, 16, 16))
    x = g.conv2d("input", 32, 3)
    x = g.table(g.conv2d(x, 32, 3, groups=32), per_channel=True)
    x = g.mul(x, g.conv2d(g.global_avg_pool2d(x), 32, 1))
    x = g.conv2d(x, 32, 1, residual=x)
    x = g.conv2d(g.quantize(x, "binary"), 32, 3, weights="binary")
    x = g.add(x, g.constant((32, 16, 16)))
    x = g.linear(g.tokens(x), 24, scales=4)
    g.linear(g.flatten(x), 10, to_float=True)
    return g


def test_every_kind_of_step_tells_what_it_has_packed() -> None:
    g = graph_of_many_steps()
    graph = g.build()
    plan = make_plan(graph, 1)
    packed = plan.packed_memory
    expected = {node.name for node in graph.nodes if node.op in ("conv2d", "linear", "constant")}
    assert expected <= {name for name, _, _ in packed}
    weights = sum(node.tensors["weight"].size for node in graph.nodes if "weight" in node.tensors)
    assert sum(size for _, _, size in packed) > weights / 8


@pytest.mark.parametrize("calls", [1, 7])
def test_a_flip_anywhere_is_found_within_so_many_calls(calls: int) -> None:
    g = graph_of_many_steps()
    graph, image, rng = g.build(), g.images(), np.random.default_rng(0)
    plan = make_plan(graph, 1, check_weights=calls)
    for _ in range(3 * calls):
        expected = plan.run(image)
    pieces = plan.packed_memory
    if calls > 1:  # a kernel runs before it is found: only what is weights, and no places that lie outside then
        pieces = [max(pieces, key=lambda piece: piece[2])]
    for name, address, size in pieces:
        plan = make_plan(graph, 1, check_weights=calls)
        ((_, address, size),) = [p for p in plan.packed_memory if p[0] == name and p[2] == size][:1]
        flip(address, int(rng.integers(8 * size)))
        with pytest.raises(RuntimeError, match=f"weights of '{name}' have changed in memory"):  # noqa: PT012
            for _ in range(calls):
                plan.run(image)
    np.testing.assert_array_equal(make_plan(graph, 1).run(image), expected)


def test_an_engine_says_so_then_and_ever_after() -> None:
    engine: Any = bw.Engine(RESNET20, threads=1, check_weights=4)
    image = np.zeros((1, 32, 32, 3), np.uint8)
    expected = engine(image)
    _, address, _ = max(engine._backend._plan.packed_memory, key=lambda p: p[2])
    flip(address, 1234)
    for _ in range(3):
        with pytest.raises(EngineError, match="make a new engine"):  # noqa: PT012
            for _ in range(4):
                engine(image)
    again = copy.deepcopy(engine)  # as it goes to other processes: by its artifact
    np.testing.assert_array_equal(again(image), expected)
    assert again._made_with["check_weights"] == 4


@pytest.mark.parametrize("calls", [0, -1, True, 1.5, "1", 2**31])
def test_what_is_no_number_of_calls_is_refused(calls: Any) -> None:
    with pytest.raises(EngineError, match="calls of check_weights"):
        bw.Engine(RESNET20, check_weights=calls)


def test_the_reference_has_nothing_to_check() -> None:
    with pytest.raises(EngineError, match="the native one has packed weights"):
        bw.Engine(RESNET20, backend="reference", check_weights=10)


def test_a_classifier_checks_in_all_its_engines() -> None:
    classifier: Any = bw.Classifier(RESNET20, threads=2, check_weights=2)
    for engine in (classifier.engine, classifier._engine_of_a_thread):
        flip(max(engine._backend._plan.packed_memory, key=lambda p: p[2])[1], 99)
        with pytest.raises(EngineError, match="have changed in memory"):  # noqa: PT012
            for _ in range(2):
                engine(np.zeros((1, 32, 32, 3), np.uint8))
