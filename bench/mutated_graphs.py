"""Damaged graphs that are sound, native against the reference: `python -m bench.mutated_graphs [--count N] [--kept FILE]`.

A small random graph has one to three fields drawn anew: a value's type or channel, an attribute, an operand, an op, a weight, a
multiplier, an output. Shapes that follow from others are inferred again, or most would be refused. The check must refuse it by
an error of ours, or the engine gives the reference's bytes on every instruction set here, on 1 to 3 threads. Seeds that are
done are counted in `--kept`, so that a run can go on.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.random_graphs import random_graph
from bench.seeds import main
from bitwright.errors import GraphError
from bitwright.graph import Graph, Node, Value
from bitwright.graph_check import check_graph
from bitwright.ops import INTEGER_OPS
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES
from tests.conformance.ops.cases import GROW
from tests.kernels.agreement import assert_agreement

FLOATS = np.array(
    [0.0, -0.0, 1e-45, -1e-38, 1e-6, 1.0, -1.0, 127.5, 255.5, -(2.0**23), 2.0**23 + 1, 1e24, -1e24, np.inf]
)
NUMBERS = (-1, 0, 1, 2, 3, 4, 7, 8, 255, 256, 2**31 - 1)
SCHEMES_OF_CODES = [name for name, scheme in SCHEMES.items() if scheme.activations]
SCHEMES_OF_WEIGHTS = [name for name, scheme in SCHEMES.items() if scheme.weights]


def mutant(seed: int) -> tuple[Graph, np.ndarray] | None:
    """A damaged graph that the check accepts, and images for it; None where it is refused."""
    rng = np.random.default_rng([seed, 2])
    ops = [str(name) for name in rng.choice(list(GROW), int(rng.integers(1, 5)))]
    g = random_graph(seed, ops, side=10)
    sound, images = g.build(), g.images(1 + seed % 3)
    graph = sound
    while same(graph, sound):
        for _ in range(int(rng.choice([1, 1, 2, 3]))):
            graph = DAMAGES[int(rng.integers(len(DAMAGES)))](graph, rng)
    graph = inferred(graph)
    try:
        check_graph(graph)
    except GraphError:
        return None
    image = graph.values[graph.input]
    channels, height, width = image.shape
    codes = image.type.codes.hi + 1 if image.type is not None else 256
    return graph, np.resize(images, (len(images), height, width, channels)) % np.uint16(codes)


def same(graph: Graph, other: Graph) -> bool:
    """Whether two graphs say the same; of tensors, by their bytes."""

    def said(g: Graph) -> tuple[Any, ...]:
        nodes = [
            (n.op, n.inputs, n.attrs, [(key, t.shape, t.tobytes()) for key, t in n.tensors.items()]) for n in g.nodes
        ]
        return nodes, g.values, g.output

    return said(graph) == said(other)


def one_of(rng: np.random.Generator, things: Any) -> Any:
    things = list(things)
    return things[int(rng.integers(len(things)))]


def with_node(graph: Graph, node: Node, **changes: Any) -> Graph:
    return replace(graph, nodes=tuple(replace(n, **changes) if n is node else n for n in graph.nodes))


def with_value(graph: Graph, name: str, value: Value) -> Graph:
    return replace(graph, values={**graph.values, name: value})


def a_type(graph: Graph, rng: np.random.Generator) -> Graph:
    """Another scheme, another zero point, or float32."""
    name = one_of(rng, graph.values)
    before = graph.values[name]
    image = before.type if before.type is not None and before.type.per_channel else None
    scheme = one_of(rng, SCHEMES_OF_CODES) if image is None else "uint8"  # check_classifier wants images so
    zero_point = int(rng.integers(-1, SCHEMES[scheme].hi + 2))
    after = QType(scheme, 0.02, zero_point)
    if image is not None:
        count = len(image.offset)
        after = QType(scheme, (0.02,) * count, (zero_point,) * count, (0.0,) * count)
    return with_value(graph, name, replace(before, type=None if rng.random() < 0.1 else after))


def a_channel(graph: Graph, rng: np.random.Generator) -> Graph:
    name = one_of(rng, graph.values)
    return with_value(graph, name, replace(graph.values[name], channel=int(rng.integers(-1, 4))))


def an_attribute(graph: Graph, rng: np.random.Generator) -> Graph:
    node = one_of(rng, graph.nodes)
    if not node.attrs:
        return graph
    key = one_of(rng, node.attrs)
    return with_node(graph, node, attrs={**node.attrs, key: another(node.attrs[key], rng)})


def another(value: Any, rng: np.random.Generator) -> Any:
    """A number near by or on an edge; of a tuple, one of its numbers, or one more, or one less."""
    if isinstance(value, tuple):
        place, kind = int(rng.integers(len(value) + 1)), rng.random()
        if kind < 0.1 or place == len(value):
            return (*value, 1) if kind < 0.05 else value[:-1]
        return (*value[:place], another(value[place], rng), *value[place + 1 :])
    if isinstance(value, int):
        return int(one_of(rng, NUMBERS)) if rng.random() < 0.5 else value + int(rng.integers(-2, 3))
    return one_of(rng, SCHEMES_OF_WEIGHTS)


def an_operand(graph: Graph, rng: np.random.Generator) -> Graph:
    node, other = one_of(rng, graph.nodes), one_of(rng, graph.values)
    inputs, kind = list(node.inputs), rng.random()
    if kind < 0.2:
        inputs.append(other)
    elif inputs:
        inputs[int(rng.integers(len(inputs)))] = other
    return with_node(graph, node, inputs=tuple(inputs))


def an_op(graph: Graph, rng: np.random.Generator) -> Graph:
    return with_node(graph, one_of(rng, graph.nodes), op=one_of(rng, INTEGER_OPS))


def a_number(graph: Graph, rng: np.random.Generator) -> Graph:
    """In a tensor: a weight, a multiplier, an entry of a table."""
    node = one_of(rng, graph.nodes)
    if not node.tensors:
        return graph
    key = one_of(rng, node.tensors)
    tensor = node.tensors[key].copy()
    place = int(rng.integers(tensor.size))
    tensor.flat[place] = one_of(rng, FLOATS) if tensor.dtype == np.float32 else int(rng.integers(-128, 128)) % 128
    return with_node(graph, node, tensors={**node.tensors, key: tensor})


def an_output(graph: Graph, rng: np.random.Generator) -> Graph:
    """Another value as output, or the last node gone."""
    if rng.random() < 0.5 or len(graph.nodes) < 2:
        return replace(graph, output=one_of(rng, graph.values))
    last = graph.nodes[-1].name
    values = {name: value for name, value in graph.values.items() if name != last}
    before = graph.nodes[-2].name
    return replace(
        graph, nodes=graph.nodes[:-1], values=with_value(graph, before, replace(values[before], type=None)).values
    )


DAMAGES: list[Callable[[Graph, np.random.Generator], Graph]] = [
    a_type,
    a_type,
    an_attribute,
    an_attribute,
    an_operand,
    a_number,
    a_number,
    a_channel,
    an_op,
    an_output,
]


def inferred(graph: Graph) -> Graph:
    """With the shapes that follow from what nodes read now, as far as they can be inferred."""
    for node in graph.nodes:
        try:
            shape = INTEGER_OPS[node.op].infer(node, graph.inputs_of(node)).shape
        except (GraphError, LookupError, ValueError, TypeError, ArithmeticError):
            continue
        graph = with_value(graph, node.name, replace(graph.values[node.name], shape=shape))
    return graph


def one(seed: int) -> str:
    found = mutant(seed)
    if found is None:
        return "refused"
    graph, images = found
    assert_agreement(graph, images.astype(np.uint8), threads=(1 + seed % 3,))
    return "accepted"


if __name__ == "__main__":
    main(__doc__, "damaged graphs", 50_000, Path("mutated_graphs.json"), one)
