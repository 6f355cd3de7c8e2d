"""The native backend as a whole: networks, threads, callers at once, and descriptions that must be refused."""

import os
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.networks import NETWORKS
from bitwright.engine.backend import make_backend
from bitwright.engine.native import Native, make_plan
from bitwright.engine.reference import Reference
from bitwright.errors import EngineError
from bitwright.graph import Graph
from tests.kernels.agreement import assert_agreement, available, forced
from tests.kernels.random_graph import RandomGraph


def small_network() -> RandomGraph:
    g = RandomGraph((3, 20, 20))
    x = g.conv2d("input", 24, 3, stride=(2, 2))
    y = g.table(g.conv2d(g.table(g.conv2d(x, 48, 1)), 48, 3, groups=48))
    y = g.mul(y, g.table(g.conv2d(g.global_avg_pool2d(y), 48, 1)))
    x = g.conv2d(y, 24, 1, residual=x)
    g.linear(g.flatten(g.max_pool2d(x, 2, 2)), 10, to_float=True)
    return g


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree(name: str) -> None:
    graph = NETWORKS[name](80)
    channels, height, width = graph.values["input"].shape
    images = np.random.default_rng(1).integers(0, 256, (1, height, width, channels)).astype(np.uint8)
    fast = [isa for isa in available() if isa != "scalar"] or ["scalar"]
    assert_agreement(graph, images, isas=fast, threads=(1, 2))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8])
def test_batches_are_images_one_by_one(count: int) -> None:
    g = small_network()
    graph, images = g.build(), g.images(count)
    plan = make_plan(graph, 3)
    one_by_one = [plan.run(image[None]) for image in images]
    expected = np.concatenate(one_by_one) if one_by_one else np.empty((0, 10), np.float32)
    np.testing.assert_array_equal(plan.run(images), expected)


@pytest.mark.parametrize("count", [2, 4, 9, 16])
def test_images_in_groups_are_images_one_by_one(count: int) -> None:
    """Layers with more weights than values do several images before the next weights; a padded one fills its halos too."""
    graph = RandomGraph((3, 8, 8))
    x = graph.conv2d("input", 300, 3, stride=(2, 2))
    x = graph.conv2d(graph.conv2d(x, 300, 3), 300, 3, residual=x)
    graph.linear(graph.flatten(x), 50, to_float=True)
    built, images = graph.build(), graph.images(count)
    expected = Reference(built).run(images).tobytes()
    for isa in available():
        with forced(isa):
            for threads in (1, 2, 3):
                assert make_plan(built, threads).run(images).tobytes() == expected, f"{isa}, {threads} threads"


def test_many_callers_share_one_plan() -> None:
    g = small_network()
    graph, images = g.build(), g.images(12)
    expected = Reference(graph).run(images)
    plan = make_plan(graph, 2)
    wrong: list[int] = []

    def call(start: int) -> None:
        for i in range(start, 240):
            at = i % len(images)
            if not np.array_equal(plan.run(images[at : at + 1])[0], expected[at]):
                wrong.append(i)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_workers_keep_off_the_callers_cpu_and_on_those_it_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one CPU only")
    g = small_network()
    before = set(os.listdir("/proc/self/task"))
    plan = make_plan(g.build(), 2)
    (worker,) = set(os.listdir("/proc/self/task")) - before
    try:
        for cpu in sorted(allowed)[:2]:
            for _ in range(100):  # until the caller is not moved between its release and the run
                os.sched_setaffinity(0, {cpu})
                os.sched_setaffinity(0, allowed)
                plan.run(g.images())
                if os.sched_getaffinity(int(worker)) == allowed - {cpu}:
                    break
            assert os.sched_getaffinity(int(worker)) == allowed - {cpu}
    finally:
        os.sched_setaffinity(0, allowed)


def test_every_value_is_that_of_the_reference() -> None:
    g = small_network()
    graph, images = g.build(), g.images(2)
    expected = dict(Reference(graph).values(images))
    found = dict(Native(graph, 2).values(images))
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_layers_say_what_runs() -> None:
    g = small_network()
    layers = Native(g.build(), 1).layers(g.images(1))
    assert sum(layer.share for layer in layers) == pytest.approx(1)
    convolutions = [layer for layer in layers if layer.op == "conv2d"]
    assert len(convolutions) == 5
    assert all(layer.macs > 0 and layer.bytes > 0 and layer.kernel for layer in convolutions)
    assert "table" not in {layer.op for layer in layers}, "tables are fused into what is before them"


def test_a_forced_instruction_set_is_the_one_that_runs() -> None:
    for isa in available():
        with forced(isa):
            assert make_plan(small_network().build(), 1).isa == isa


def test_unknown_instruction_sets_and_backends_are_refused() -> None:
    graph = small_network().build()
    with forced("sse9"), pytest.raises(EngineError, match="BITWRIGHT_ISA=sse9"):
        make_plan(graph, 1)
    with pytest.raises(EngineError, match="native, reference"):
        make_backend(graph, "gpu", None)
    with pytest.raises(EngineError, match="1 to 1024 threads"):
        make_backend(graph, "native", 0)


def changed(graph: Graph, op: str, **changes: Any) -> Graph:
    """The graph with the first `op` changed: attributes by name, tensors as arrays, `inputs`, or `shape` of its value."""
    node = next(node for node in graph.nodes if node.op == op)
    values = dict(graph.values)
    for key, change in changes.items():
        if key == "inputs":
            node = replace(node, inputs=change)
        elif key == "shape":
            values[node.name] = replace(values[node.name], shape=change)
        elif isinstance(change, np.ndarray):
            node = replace(node, tensors={**node.tensors, key: change})
        else:
            node = node.with_attrs(**{key: change})
    nodes = tuple(node if n.name == node.name else n for n in graph.nodes)
    return Graph(nodes, values, graph.output)


@pytest.mark.parametrize(
    ("op", "changes"),
    [
        ("conv2d", {"stride": (0, 1)}),
        ("conv2d", {"stride": (1, 1)}),
        ("conv2d", {"padding": (-1, 0, 0, 0)}),
        ("conv2d", {"padding": (1, 1, 1)}),
        ("conv2d", {"groups": 7}),
        ("conv2d", {"dilation": (10**6, 1)}),
        ("conv2d", {"hi": 256}),
        ("conv2d", {"lo": 200, "hi": 100}),
        ("conv2d", {"weight": np.zeros((24, 3, 3), np.int8)}),
        ("conv2d", {"weight": np.zeros((24, 3, 3, 3), np.float32)}),
        ("conv2d", {"weight": np.full((24, 3, 3, 3), -128, np.int8)}),
        ("conv2d", {"m": np.zeros(23, np.float32)}),
        ("conv2d", {"m": np.full(24, np.nan, np.float32)}),
        ("conv2d", {"shape": (24, 11, 10)}),
        ("max_pool2d", {"kernel": (99, 99)}),
        ("max_pool2d", {"shape": (24, 6, 5)}),
        ("table", {"table": np.zeros(255, np.uint8)}),
        ("mul", {"m": np.zeros(2, np.float32)}),
        ("reshape", {"shape": (601,)}),
        ("linear", {"weight": np.zeros((10, 599), np.int8)}),
        ("linear", {"inputs": ("input",)}),
    ],
)
def test_malformed_graphs_are_refused(op: str, changes: dict[str, Any]) -> None:
    with pytest.raises(EngineError):
        make_plan(changed(small_network().build(), op, **changes), 1)


@pytest.mark.parametrize("change", [{"dilation": (1,)}, {"kernel": (10**6, 1)}, {"table": np.zeros(1, np.uint8)}])
def test_what_an_op_has_not_is_refused_and_never_read(change: dict[str, Any]) -> None:
    """A window's dilation, read for a pool that has none and whose check knows none, was a read beyond the end."""
    graph = small_network().build()
    (key,) = change
    ops = {node.op for node in graph.nodes if key not in {**node.attrs, **node.tensors}}
    assert len(ops) > 4
    for op in ops:
        with pytest.raises(EngineError, match=f"{key} is no (attribute|tensor) of this op"):
            make_plan(changed(graph, op, **change), 1)


def test_an_accumulator_that_could_overflow_is_refused() -> None:
    g = RandomGraph((1, 8, 8400))
    g.conv2d("input", 1, (8, 8400), padding=(0, 0, 0, 0))
    g.nodes[-1].tensors["weight"][:] = 127
    g.dequantize(g.nodes[-1].name)
    with pytest.raises(EngineError, match=r"overflow|out of range"):
        make_plan(g.build(), 1)


def test_images_of_another_shape_are_refused() -> None:
    plan = make_plan(small_network().build(), 1)
    with pytest.raises(ValueError, match="shape"):
        plan.run(np.zeros((1, 20, 21, 3), np.uint8))
