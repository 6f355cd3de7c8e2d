"""layer_norm: cases, the contract in plain loops, and its real function."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn

from bitwright.graph import Node, Value
from bitwright.ops.layer_norm import MOST_SUMMANDS, most_sum
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, case, f32, signs
from tests.conformance.ops.contract import finish, real_code
from tests.conformance.ops.float_case import FloatCase, X, Y
from tests.conformance.ops.group_norm import learned
from tests.conformance.ops.row import Row
from tests.kernels.random_graph import RandomGraph


def layer_norm_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, *, channel=None, x=U8, y=U8, bounds=FULL, e=20.0, m_x=(), others=()):
        channel = len(shape) - 1 if channel is None else channel
        channels = shape[channel]
        tensors = {
            "m": signs(rng, channels, 60.0),
            "b": rng.uniform(60, 200, channels).astype(np.float32),
            "e": f32(e),
        }
        inputs = [Value(shape, type_, channel) for type_ in (x, *(others or (x,) * (len(m_x) - 1)))]
        tensors |= {"m_x": np.array(m_x, np.float32)} if len(m_x) else {}
        return case(rng, "layer_norm", inputs, Value(shape, y, channel), bounds, tensors)

    yield "tokens", make((6, 24))
    yield "planes", make((20, 4, 5), channel=0)
    yield "places", make((4, 5, 20))
    yield "features", make((70,))
    yield "one-number", make((4, 1))
    yield "odd", make((3, 35))
    yield "wider-than-a-block", make((2, 130))
    yield "bounds", make((5, 64), bounds={"lo": 40, "hi": 200})
    yield "zero-points", make((6, 33), x=QType("uint8", 1.0, 255), y=QType("uint8", 1.0, 0))
    yield "uint2", make((6, 20), x=QType("uint2", 1.0, 3), y=QType("uint5", 1.0, 0), bounds={"lo": 0, "hi": 31})
    yield "binary", make((6, 70), x=QType("binary", 1.0, 1))
    yield (
        "bit",
        make((6, 64), y=QType("binary", 1.0, 1), bounds={"lo": 0, "hi": 1}).with_tensors(
            b=np.full(64, 0.5, np.float32)
        ),
    )
    yield "float32", make((6, 20), y=None)
    flat = make((6, 20), e=1e-6)
    flat.xs[0][:] = 77
    yield "all-equal", flat
    yield "sum", make((6, 24), m_x=(3.7, -1.3), e=1e4)
    yield "sum-of-planes", make((70, 3, 2), channel=0, m_x=(0.3, 20.0, 5.0), e=1e4)
    yield "sum-of-ties", make((6, 33), m_x=(0.5, 1.0, 0.5))
    yield "sum-as-large-as-it-can-be", make((3, 130), m_x=((most_sum(130) - 1) / 128 / 2,) * 2, e=1e4)
    yield "sum-of-the-most", make((2, 20), m_x=tuple(rng.uniform(-9, 9, MOST_SUMMANDS).tolist()), e=1e4)
    yield (
        "sum-of-schemes",
        make(
            *((5, 40),),
            x=QType("uint2", 1.0, 3),
            others=(QType("binary", 1.0, 1), QType("uint8", 1.0, 255), QType("uint7", 1.0, 0)),
            m_x=(40.0, 9.0, 0.7, 1.9),
        ),
    )
    yield "sum-of-scaled-channels", make((6, 24), m_x=rng.uniform(-9, 9, (3, 24)), e=1e4)
    yield "sum-of-scaled-planes", make((70, 3, 2), channel=0, m_x=rng.uniform(-9, 9, (2, 70)), e=1e4)
    yield "sum-of-scaled-odd", make((5, 131), m_x=rng.uniform(-9, 9, (4, 131)), e=1e4)
    yield "sum-of-two-in-two-channels", make((5, 2), m_x=rng.uniform(-9, 9, (2, 2)), e=1e4)
    yield "sum-in-float32", make((6, 20), y=None, m_x=(3.7, -1.3))
    for i in range(8):
        yield (
            f"random-{i}",
            make(tuple(rng.integers(1, 90, 2).tolist()), e=10 ** rng.uniform(-6, 6)),
        )


def slow_layer_norm(case: Case, index) -> Any:
    axis, tensors = case.output.axis, case.node.tensors

    def number(channel: int) -> int:
        place = (*index[:axis], channel, *index[axis + 1 :])
        if len(case.inputs) == 1:
            return real_code(case, 0, place)
        multipliers = [m if m.ndim == 0 else m[channel] for m in tensors["m_x"]]
        terms = [np.float32(real_code(case, i, place)) * m for i, m in enumerate(multipliers)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        assert isinstance(total, np.float32)
        return round(float(total))

    channels = case.output.channels
    numbers = [number(channel) for channel in range(channels)]
    s1, s2 = sum(numbers), sum(x * x for x in numbers)
    variance = channels * s2 - s1 * s1
    r = np.float32(1 / math.sqrt(float(variance) + float(tensors["e"][0])))
    t = np.float32(np.int32(channels * numbers[index[axis]] - s1)) * r
    return finish(case, t * tensors["m"][index[axis]] + tensors["b"][index[axis]], add_zero_point=False)


def float_layer_norm(rng) -> Iterator[tuple[str, FloatCase]]:
    for label, shape, channel, clamp, y, *others in (
        ("tokens", (6, 20), 1, None, Y),
        ("relu", (6, 20), 1, (0, None), QType("uint6", 0.05, 0)),
        ("planes", (8, 4, 5), 0, None, Y),
        ("binary", (6, 20), 1, None, Y),
        ("sum", (6, 20), 1, None, Y, QType("uint8", 0.3, 7), QType("uint5", 0.01, 20)),
        ("scaled-sum", (6, 20), 1, None, Y, QType("uint8", 0.3, 7), QType("uint5", 0.01, 20)),
        ("scaled-planes", (8, 4, 5), 0, None, Y, QType("uint8", 0.3, 7)),
        ("float32", (4, 9), 1, None, None),
    ):
        size = shape[channel]
        tensors = {
            "bn_weight": signs(rng, size, 1.0),
            "bn_bias": rng.normal(size=size).astype(np.float32),
        }
        attrs = {"eps": 1e-2} | ({"clamp": clamp} if clamp else {})
        if label.startswith("scaled"):
            tensors["factors"] = signs(rng, (1 + len(others)) * size, 1.0).reshape(-1, size)

        def function(*xs, axis=channel + 1, clamp=clamp, t=tensors):
            ones = np.ones((len(xs), xs[0].shape[axis]))
            columns = [[-1 if i == axis else 1 for i in range(x.ndim)] for x in xs]
            v = sum(x * f.reshape(c) for x, f, c in zip(xs, t.get("factors", ones), columns, strict=True))
            column = [-1 if i == axis else 1 for i in range(v.ndim)]
            gain = 1 / np.sqrt(v.var(axis=axis, keepdims=True) + 1e-2)
            found = (v - v.mean(axis=axis, keepdims=True)) * gain * t["bn_weight"].reshape(column)
            found = found + t["bn_bias"].reshape(column)
            return np.clip(found, *clamp) if clamp else found

        types = (QType("binary", 0.7, 1) if label == "binary" else X, *others)
        inputs = tuple(Value(shape, type_, channel) for type_ in types)
        node = Node("it", "layer_norm", tuple(f"x{i}" for i in range(len(inputs))), attrs, tensors)
        yield label, FloatCase(node, inputs, Value(shape, y, channel), function)


def grown(g: RandomGraph, x: str) -> str:
    """Of one value and of three, in turn."""
    channels = g.values[x].channels
    several, draw = {}, g.rng.random()
    if draw < 0.5:
        m_x = f32(3, 0.7, -11)
        several = {"m_x": m_x if draw > 0.25 else np.outer(m_x, np.linspace(0.8, 1, channels)).astype(np.float32)}
    xs = (x, g.table(x), g.table(x, zp=3)) if several else (x,)
    m, b = signs(g.rng, channels, 40.0), g.rng.uniform(90, 160, channels).astype(np.float32)
    return g.node("layer_norm", xs, FULL, {**several, "m": m, "b": b, "e": f32(50)}, U8)


class OfChannels(nn.Module):
    """As ConvNeXt writes it: over the channels of a map."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


ROWS = (
    Row(
        "layer_norm",
        layer_norm_cases,
        slow_layer_norm,
        grown,
        float_layer_norm,
        {
            "layer norm": learned(nn.LayerNorm(8)),
            "layer norm without parameters, relu": nn.Sequential(
                nn.LayerNorm(8, eps=0.1, elementwise_affine=False), nn.ReLU()
            ),
            "layer norm without a bias": learned(nn.LayerNorm(8, bias=False)),
            "layer norm of channels": OfChannels(learned(nn.LayerNorm(8))),
        },
    ),
)
