"""The engine runs every case of every integer op, and random graphs of all of them, as the reference does, to the bit."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from bench import mutated_graphs, random_shapes
from bench.random_graphs import random_graph
from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from bitwright.errors import EngineError
from bitwright.graph import INPUT, Value
from bitwright.ops import FLOAT_OPS, INTEGER_OPS
from bitwright.ops.op import codes_of
from tests.conformance.ops.case import Case
from tests.conformance.ops.cases import CASES, FIRST, GROW
from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph


def graph_of(case: Case) -> RandomGraph:
    """A graph in which the node reads what was cut from an image and mapped to the type that it wants."""
    image = case.inputs[0] if case.inputs and _is_image(case.inputs[0]) else None
    sizes = [prod(value.shape) for value in case.inputs]
    g = RandomGraph(image.shape if image is not None else (1, 1, max(1, sum(sizes))), seed=3)
    if image is not None:
        g.values[INPUT] = image
        names = [INPUT]
    else:
        names = [_cut(g, value, sum(sizes[:i]), sizes[i]) for i, value in enumerate(case.inputs)]
    name = g.node(case.node.op, tuple(names), dict(case.node.attrs), dict(case.node.tensors), case.output.type)
    g.values[name] = case.output
    if case.output.type is not None:
        g.dequantize(name)
    return g


def _is_image(value: Value) -> bool:
    return value.type is not None and value.type.per_channel


def _cut(g: RandomGraph, value: Value, start: int, size: int) -> str:
    type_ = codes_of(value)
    x = g.moved("slice", INPUT, axis=2, start=start, stop=start + size, step=1)
    table = g.rng.permutation(np.arange(256) % (type_.codes.hi + 1)).astype(np.uint8)
    x = g.node("table", (x,), {}, {"table": table}, type_)
    return g.moved("reshape", x, channel=value.channel, shape=value.shape)


OF_CODES = {name: case for name, case in CASES.items() if all(value.type is not None for value in case.inputs)}
"""The engine is never given what moves float32."""


@pytest.mark.parametrize("case", OF_CODES.values(), ids=OF_CODES)
def test_the_engine_agrees_with_the_reference(case):
    graph = graph_of(case)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("op", [name for name, op in FLOAT_OPS.items() if op.passes_type])
def test_the_engine_too_refuses_a_move_that_changes_the_zero_point(op):
    graph = graph_of(FIRST[op]).build()
    name = next(node.name for node in reversed(graph.nodes) if node.op == op)
    value = graph.values[name]
    moved = replace(value, type=replace(codes_of(value), zero_point=codes_of(value).one_zero_point ^ 1))
    make_plan(graph, 1)
    with pytest.raises(EngineError, match="different types"):
        make_plan(replace(graph, values={**graph.values, name: moved}), 1)


def test_every_op_that_gives_codes_is_in_random_graphs():
    assert set(GROW) == {
        name for name in INTEGER_OPS if any(c.output.type for c in CASES.values() if c.node.op == name)
    }


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_of_all_ops(seed):
    """Each has every op once, in random order, on planes of a random size."""
    g = random_graph(seed, list(GROW), side=12)
    graph, images = g.build(), g.images(2)
    assert len(np.unique(Reference(graph).run(images))) >= 4, "codes that are all alike would agree too easily"
    assert_agreement(graph, images)


def test_damaged_graphs_are_refused_or_agree():
    assert {mutated_graphs.one(seed) for seed in range(60)} == {"refused", "accepted"}


def test_single_ops_of_random_shapes():
    assert {random_shapes.one(seed) for seed in range(30)} == {"conv2d", "linear", "others"}
