"""attention where its integers end, and what it refuses."""

from typing import Any

import numpy as np
import pytest

from bitwright.engine.native import make_plan
from bitwright.errors import EngineError, GraphError
from bitwright.graph import INPUT, Graph, Node, Value
from bitwright.ops.attention import MOST, Attention
from bitwright.qtensor import QType
from tests.conformance.ops.attention import EXP
from tests.conformance.ops.case import FULL, U8, Case, f32, refuse
from tests.conformance.ops.cases import CASES
from tests.kernels.agreement import available


def case_of(q: np.ndarray, k: np.ndarray, v: np.ndarray, zero_points: tuple[int, int, int], **tensors: Any) -> Case:
    """One head, of codes [T, D], [S, D], [S, E]."""
    inputs = tuple(Value(x.shape, QType("uint8", 1.0, zp), 1) for x, zp in zip((q, k, v), zero_points, strict=True))
    node = Node("it", "attention", ("x0", "x1", "x2"), {"heads": 1, **FULL}, {"exp": EXP, **tensors})
    return Case(node, inputs, Value((len(q), v.shape[1]), U8, 1), (q[None], k[None], v[None]))


def graph_of(case: Case) -> Graph:
    """The node with constants as its inputs."""
    constants = [Node(f"x{i}", "constant", (), {}, {"codes": x[0]}) for i, x in enumerate(case.xs)]
    image = Value((1, 1, 1), QType("uint8", (1.0,), (0,), (0.0,)))
    values = {INPUT: image, **{f"x{i}": value for i, value in enumerate(case.inputs)}, "it": case.output}
    return Graph((*constants, case.node), values, "it")


def engines(case: Case) -> list[list[int]]:
    """The first codes of the result on every instruction set."""
    picture = np.zeros((1, 1, 1, 1), np.uint8)
    found = [np.asarray(make_plan(graph_of(case), 1, isa=isa).run(picture)) for isa in available()]
    return [codes.reshape(-1)[:3].tolist() for codes in found]


def many_keys(keys: int, code: int) -> Case:
    """All weights 255, all values at one end, far from their zero point."""
    q, k, v = np.zeros((1, 1), np.uint8), np.zeros((keys, 1), np.uint8), np.full((keys, 1), code, np.uint8)
    return case_of(q, k, v, (0, 0, 255 - code), m_s=f32(0), m=f32(0.29))


@pytest.mark.parametrize("code", [0, 255])
def test_the_most_keys_are_exact_and_more_are_refused(code: int) -> None:
    case, sign = many_keys(MOST, code), 1 if code else -1
    case.validate()
    expected = int(np.rint(np.float32(sign * 255 * 255 * MOST) * (np.float32(0.29) / np.float32(255 * MOST)) + 128))
    assert expected == 128 + sign * 74
    assert case.run().reshape(-1).tolist() == [expected]
    assert engines(case) == [[expected]] * len(available())
    more = many_keys(MOST + 1, code)
    refuse(more, "could overflow int32")
    with pytest.raises(EngineError, match="overflow int32"):
        make_plan(graph_of(more), 1)


def wide_head(width: int) -> Case:
    """Two keys with scores as far apart as they can be, and values that tell which weights they got."""
    q, v = np.full((1, width), 255, np.uint8), np.array([[128, 255], [255, 128]], np.uint8)
    k = np.stack([np.zeros(width, np.uint8), np.full(width, 255, np.uint8)])
    exp = np.where(np.arange(256) == 200, 100, 50).astype(np.uint8)
    m_s = f32(200 / (width * 255 * 255))
    return case_of(q, k, v, (0, 0, 128), m_s=m_s, m=f32(0.5), exp=exp)


def test_scores_that_are_farthest_apart_are_exact_and_farther_is_refused() -> None:
    width = (2**31 - 1) // (2 * 255 * 255)
    case = wide_head(width)
    case.validate()
    expected = [149, 170]  # (127 * 50, 127 * 100) / 150 / 2
    assert case.run().reshape(-1).tolist() == expected
    assert engines(case) == [expected] * len(available())
    wider = wide_head(width + 1)
    refuse(wider, "apart, past int32's")
    with pytest.raises(EngineError, match="a difference of scores could overflow int32"):
        make_plan(graph_of(wider), 1)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"exp": np.zeros(256, np.uint8)}, "first entry"),
        ({"exp": np.ones(255, np.uint8)}, "exp must be uint8"),
        ({"exp": np.ones(256, np.float32)}, "exp must be uint8"),
        ({"m_s": f32(-1)}, "m_s of 0 or more"),
        ({"m_s": f32(1, 1)}, "m_s must be float32"),
        ({"m": f32(1, 1)}, "m must be float32"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensors: dict[str, np.ndarray], reason: str) -> None:
    case = many_keys(3, 255).with_tensors(**tensors)
    refuse(case, reason)
    with pytest.raises(EngineError, match="node 'it'"):
        make_plan(graph_of(case), 1)


@pytest.mark.parametrize(
    ("shapes", "heads", "reason"),
    [
        (((3, 4), (5, 6), (5, 4)), 1, "do not fit"),
        (((3, 4), (5, 4), (6, 4)), 1, "do not fit"),
        (((3, 4), (5, 4), (5, 6)), 4, "heads do not divide"),
        (((3, 4), (5, 4), (5, 6)), 3, "heads do not divide"),
        (((3, 4), (5, 4), (5, 6)), 0, "heads"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[Any, ...], heads: int, reason: str) -> None:
    q, k, v = (np.zeros(shape, np.uint8) for shape in shapes)
    case = case_of(q, k, v, (0, 0, 0), m_s=f32(1), m=f32(1)).with_attrs(heads=heads)
    refuse(case, reason)
    with pytest.raises(EngineError, match="node 'it'"):
        make_plan(graph_of(case), 1)


def test_planes_are_no_tokens() -> None:
    case = CASES["attention-heads"]
    inputs = tuple(Value((1, *value.shape), value.type, 2) for value in case.inputs)
    refuse(Case(case.node, inputs, case.output, case.xs), "expected tokens")


@pytest.mark.parametrize("step", [1e-2, 1e-4, 1e-7])
def test_a_hidden_key_has_no_weight_or_is_refused(step: float) -> None:
    """Where queries and keys are nearly 0, int32 has no score that is far enough below the others."""
    x = Value((4, 8), QType("uint8", step, 128), 1)
    bias = np.where(np.eye(4) > 0, -1e9, 0.0)[None].astype(np.float32)
    node = Node(
        "it", "attention", ("q", "k", "v"), {"heads": 1, "scale": 0.3, "clamp": (None, None)}, {"score_bias": bias}
    )
    if step < 1e-6:
        with pytest.raises(GraphError, match="keys that are hidden would be seen"):
            Attention().lower(node, [x, x, x], x)
        return
    made = Attention().lower(node, [x, x, x], x).tensors
    index = np.minimum(np.rint(-made["score_bias"] * made["m_s"]), 255).astype(int)
    assert (made["exp"][index][0] == np.where(np.eye(4) > 0, 0, 255)).all()


def test_the_least_bias_is_the_same_for_every_engine() -> None:
    """Heads so wide that no bias is left: neither takes one."""
    codes = np.full((1, 16600), 128, np.uint8)
    case = case_of(
        codes, codes, codes[:, :1], (128, 128, 128), m_s=f32(1e-6), m=f32(1), score_bias=-f32(64)[None, None]
    )
    for check in (lambda: Attention().check(case.node, case.inputs, case.output, "here"), lambda: engines(case)):
        with pytest.raises((GraphError, EngineError), match="score_bias"):
            check()
