"""The table of kernels: each is chosen by some layer on some processor, and runs here if this one is such."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from bitwright import _native
from bitwright.engine.backend import make_backend
from bitwright.engine.native import chosen_kernels, make_plan
from bitwright.engine.reference import Reference
from bitwright.errors import EngineError
from bitwright.graph import Graph
from tests.conformance.ops.cases import GROW
from tests.kernels.agreement import available
from tests.kernels.random_graph import RandomGraph

KERNELS = _native.kernels()
CASCADE_LAKE = ("avx2", "avx512", "avx512vnni")
ICE_LAKE = (*CASCADE_LAKE, "avx512vbmi", "avx512vpopcntdq")
SAPPHIRE_RAPIDS = (*ICE_LAKE, "avxvnni", "amx_int8")


def convolutions() -> RandomGraph:
    graph = RandomGraph((3, 9, 11))
    x = graph.conv2d("input", 40, 3)
    x = graph.conv2d(graph.conv2d(x, 40, 3, groups=40), 40, 5, groups=40)
    x = graph.max_pool2d(graph.add(x, x), 2, 2)
    graph.linear(graph.flatten(graph.global_avg_pool2d(x)), 10, to_float=True)
    return graph


def tables() -> RandomGraph:
    graph = RandomGraph((3, 9, 11))
    x = graph.conv2d(graph.table("input", per_channel=True), 40, 3)
    graph.dequantize(graph.add(graph.table(x), graph.table(x, per_channel=True)))
    return graph


def bits() -> RandomGraph:
    graph = RandomGraph((3, 9, 11))
    graph.dequantize(graph.conv2d(graph.conv2d("input", 40, 3, scheme="binary"), 40, 3, weights="binary"))
    return graph


def grouped() -> RandomGraph:
    graph = RandomGraph((70, 1, 1))
    x = graph.linear(graph.flatten(graph.conv2d("input", 70, 1)), 80, most=7)
    graph.linear(x, 30, scales=4, to_float=True)
    return graph


def few_bits() -> RandomGraph:
    graph = RandomGraph((3, 9, 11))
    x = graph.conv2d(graph.conv2d("input", 40, 3, weights="int7"), 64, 3, weights="int4", scheme="uint4", zp=0)
    graph.dequantize(graph.conv2d(x, 64, 3, weights="int4"))
    return graph


def windows() -> RandomGraph:
    graph = RandomGraph((3, 10, 12))
    graph.dequantize(graph.conv2d(graph.conv2d("input", 64, 3), 64, 3))
    return graph


def moves() -> RandomGraph:
    graph = RandomGraph((3, 9, 11))
    x = graph.moved("permute", graph.conv2d("input", 40, 3), dims=(0, 2, 1))
    graph.dequantize(
        graph.moved("concat", graph.flatten(graph.moved("pad", x, padding=((0, 0), (1, 0), (0, 1)))), axis=0)
    )
    return graph


def channels_moved() -> RandomGraph:
    graph = RandomGraph((3, 9, 11))
    x = graph.moved("pad", graph.conv2d("input", 40, 3), padding=((0, 9), (0, 0), (0, 0)))
    graph.dequantize(graph.conv2d(graph.moved("slice", x, axis=0, start=1, stop=49, step=3), 8, 3))
    return graph


def with_op(op: str) -> RandomGraph:
    """Any op on planes, by its row in tests/conformance/ops."""
    graph = RandomGraph((3, 9, 11))
    graph.dequantize(GROW[op](graph, graph.conv2d("input", 40, 3)))
    return graph


CASES: tuple[Callable[[], RandomGraph], ...] = (
    *(convolutions, tables, bits, grouped, few_bits, windows, moves, channels_moved),
    *(partial(with_op, op) for op in GROW),
)


def chosen(graph: Graph, features: tuple[str, ...]) -> set[tuple[str, str]]:
    return {(kernel, isa) for _, _, kernel, isa in chosen_kernels(graph, features)}


def choices(name: str, isa: str, needs: list[str]) -> Iterator[tuple[RandomGraph, tuple[str, ...]]]:
    """Cases and processors that choose a kernel; a processor has what some kernel needs, and what this one does."""
    processors = {tuple(other) for *_, other in KERNELS if set(needs) <= set(other)}
    for processor in sorted(processors, key=len):
        for case in CASES:
            if (name, isa) in chosen(case().build(), processor):
                yield case(), processor


def test_a_name_and_an_instruction_set_are_one_kernel() -> None:
    keys = [(name, isa) for _, name, isa, _ in KERNELS]
    assert len(set(keys)) == len(keys)
    assert all(isa in _native.isas() for _, isa in keys)


@pytest.mark.parametrize(("family", "name", "isa", "needs"), KERNELS, ids=lambda v: re.sub(r"\W+", "-", str(v)))
def test_every_kernel_is_chosen_and_agrees(family: str, name: str, isa: str, needs: list[str]) -> None:
    graph, _ = next(choices(name, isa, needs), (None, None))
    assert graph is not None, f"no case chooses {family} {name!r}"
    if isa not in available():
        pytest.skip(f"this processor has no {isa}")
    built, images = graph.build(), graph.images(2)
    plan = make_plan(built, 1, isa=isa)
    assert (name, isa) in {(kernel, of) for _, _, kernel, of, *_ in plan.time_steps(images[:1])}
    assert plan.run(images).tobytes() == Reference(built).run(images).tobytes()


def test_no_kernel_is_chosen_without_what_it_needs() -> None:
    needs = {(name, isa): set(features) for _, name, isa, features in KERNELS}
    for features in {tuple(of) for *_, of in KERNELS}:
        for case in CASES:
            for step in chosen_kernels(case().build(), features):
                assert needs.get(step[2:], set()) <= set(features), step


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), {"scalar"}),
        (("avx2",), {"avx2"}),
        (("avx2", "avx512"), {"avx2", "avx512"}),
        (CASCADE_LAKE, {"avx512", "avx512vnni_novbmi"}),
        (ICE_LAKE, {"avx512", "avx512vnni"}),
        (SAPPHIRE_RAPIDS, {"avx512", "avx512vnni", "amx"}),
    ],
)
def test_processors_get_their_best(features: tuple[str, ...], expected: set[str]) -> None:
    """Convolutions and what is pointwise; the copy of the image is plain on all of them."""
    steps = chosen_kernels(convolutions().build(), features)[1:]
    assert {isa for *_, isa in steps} == expected


def test_an_instruction_set_is_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = convolutions().build()
    monkeypatch.setenv("BITWRIGHT_ISA", "scalar")
    for isa in available():
        assert make_plan(graph, 1, isa=isa).isa == isa, "the argument goes before the environment"
    assert make_plan(graph, 1).isa == "scalar"
    assert {layer.isa for layer in make_backend(graph, "native", 1, "scalar").layers(convolutions().images())} == {
        "scalar"
    }


def test_other_instruction_sets_are_refused() -> None:
    graph = convolutions().build()
    with pytest.raises(EngineError, match="isa=sse9: expected one of scalar, avx2"):
        make_plan(graph, 1, isa="sse9")
    with pytest.raises(EngineError, match="expected isa=None for the reference"):
        make_backend(graph, "reference", None, "scalar")
    for isa in set(_native.isas()) - set(available()):
        with pytest.raises(EngineError, match=f"isa={isa}, but this processor has no"):
            make_plan(graph, 1, isa=isa)
    with pytest.raises(RuntimeError, match="feature 'sse9': expected"):
        chosen_kernels(graph, ["sse9"])
