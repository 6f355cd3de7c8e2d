"""group_norm: cases, the contract in plain loops, and its real function."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, case, f32, signs
from tests.conformance.ops.contract import finish, real_code
from tests.conformance.ops.float_case import EPS, FloatCase, X, Y
from tests.conformance.ops.row import Row
from tests.kernels.random_graph import RandomGraph

SUMS: dict[tuple[int, int, int], tuple[Case, int, int]] = {}
"""For each group that was summed up: the case, which stays alive, S1 and S2."""


def group_norm_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, groups, *, x=U8, y=U8, bounds=FULL, e=20.0):
        tensors = {"m": signs(rng, shape[0], 60.0), "b": rng.uniform(60, 200, shape[0]).astype(np.float32), "e": f32(e)}
        attrs = {"groups": groups, **bounds}
        return case(rng, "group_norm", [Value(shape, x)], Value(shape, y), attrs, tensors)

    yield "planes", make((6, 4, 5), 3)
    yield "one-group", make((5, 3, 4), 1)
    yield "instances", make((40, 3, 4), 40)
    yield "one-pixel", make((12, 1, 1), 3)
    yield "one-number", make((4, 1, 1), 4)
    yield "odd", make((35, 5, 3), 5)
    yield "wider-than-a-block", make((96, 2, 3), 2)
    yield "blocks-of-groups", make((160, 3, 3), 16)
    yield "bounds", make((8, 4, 4), 2, bounds={"lo": 40, "hi": 200})
    yield "zero-points", make((6, 4, 5), 2, x=QType("uint8", 1.0, 255), y=QType("uint8", 1.0, 0))
    yield "uint2", make((6, 4, 5), 2, x=QType("uint2", 1.0, 3), y=QType("uint5", 1.0, 0), bounds={"lo": 0, "hi": 31})
    yield "binary", make((70, 4, 5), 7, x=QType("binary", 1.0, 1))
    yield (
        "bit",
        make((64, 4, 5), 4, y=QType("binary", 1.0, 1), bounds={"lo": 0, "hi": 1}).with_tensors(
            b=np.full(64, 0.5, np.float32)
        ),
    )
    yield "more-squares-than-an-int32-holds", make((1, 182, 182), 1)
    yield "float32", make((6, 4, 5), 3, y=None)
    flat = make((6, 4, 5), 3, e=1e-6)
    flat.xs[0][:] = 77
    yield "all-equal", flat
    for i in range(12):
        groups, each = int(rng.integers(1, 9)), int(rng.integers(1, 20))
        yield f"random-{i}", make((groups * each, *rng.integers(1, 7, 2).tolist()), groups, e=10 ** rng.uniform(-6, 6))


def slow_group_norm(case: Case, index) -> Any:
    (n, channel), tensors, (channels, height, width) = index[:2], case.node.tensors, case.inputs[0].shape
    each = channels // case.node.attrs["groups"]
    count = each * height * width
    key = (id(case), n, channel // each)
    if key not in SUMS:
        places = np.ndindex((each, height, width))
        numbers = [real_code(case, 0, (n, channel // each * each + i, y, x)) for i, y, x in places]
        SUMS[key] = case, sum(numbers), sum(c * c for c in numbers)
    _, s1, s2 = SUMS[key]
    variance = count * s2 - s1 * s1
    r = np.float32(1 / math.sqrt(float(variance) + float(tensors["e"][0])))
    t = np.float32(np.int32(count * real_code(case, 0, index) - s1)) * r
    return finish(case, t * tensors["m"][channel] + tensors["b"][channel], add_zero_point=False)


def float_group_norm(rng) -> Iterator[tuple[str, FloatCase]]:
    for label, shape, groups, clamp, y in (
        ("planes", (6, 4, 5), 2, None, Y),
        ("relu", (6, 4, 5), 3, (0, None), QType("uint6", 0.05, 0)),
        ("instances", (5, 6, 3), 5, None, Y),
        ("binary", (6, 4, 5), 1, None, Y),
        ("float32", (4, 3, 3), 2, None, None),
    ):
        tensors = {"bn_weight": signs(rng, shape[0], 1.0), "bn_bias": rng.normal(size=shape[0]).astype(np.float32)}
        attrs = {"groups": groups, "eps": EPS} | ({"clamp": clamp} if clamp else {})

        def function(v, groups=groups, clamp=clamp, t=tensors):
            grouped = v.reshape(len(v), groups, -1)
            gain = 1 / np.sqrt(grouped.var(axis=2, keepdims=True) + EPS)
            found = ((grouped - grouped.mean(axis=2, keepdims=True)) * gain).reshape(v.shape)
            found = found * t["bn_weight"].reshape(-1, 1, 1) + t["bn_bias"].reshape(-1, 1, 1)
            return np.clip(found, *clamp) if clamp else found

        x = QType("binary", 0.7, 1) if label == "binary" else X
        yield (
            label,
            FloatCase(Node("it", "group_norm", ("x0",), attrs, tensors), (Value(shape, x),), Value(shape, y), function),
        )


def grown(g: RandomGraph, x: str) -> str:
    channels = g.values[x].channels
    groups = int(g.rng.choice([d for d in range(1, channels + 1) if channels % d == 0]))
    m, b = signs(g.rng, channels, 40.0), g.rng.uniform(90, 160, channels).astype(np.float32)
    return g.node("group_norm", (x,), {"groups": groups, **FULL}, {"m": m, "b": b, "e": f32(50)}, U8)


def learned(norm: nn.Module) -> nn.Module:
    """With gains and shifts, and kept statistics, that no two channels share."""
    for tensor in (*norm.parameters(), *norm.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.3, 2)
    return norm


ROWS = (
    Row(
        "group_norm",
        group_norm_cases,
        slow_group_norm,
        grown,
        float_group_norm,
        {
            "group norm": learned(nn.GroupNorm(4, 8)),
            "group norm without parameters, relu": nn.Sequential(nn.GroupNorm(2, 8, affine=False, eps=0.1), nn.ReLU()),
            "instance norm": learned(nn.InstanceNorm2d(8, affine=True)),
            "instance norm without parameters, silu": nn.Sequential(nn.InstanceNorm2d(8), nn.SiLU()),
            "instance norm of kept statistics": learned(nn.InstanceNorm2d(8, affine=True, track_running_stats=True)),
        },
    ),
)
