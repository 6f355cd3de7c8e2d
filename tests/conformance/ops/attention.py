"""attention: cases, the contract in plain loops, and its real function."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.graph import Node, Value
from bitwright.ops.attention import STEPS
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, case, f32
from tests.conformance.ops.contract import finish, real_code
from tests.conformance.ops.float_case import FloatCase, X
from tests.conformance.ops.row import Row
from tests.kernels.random_graph import RandomGraph

EXP = np.rint(255 * np.exp(-np.arange(256) / STEPS)).astype(np.uint8)
WEIGHTS: dict[tuple[int, int, int, int], tuple[Case, list[int]]] = {}
"""Of each query of a head: the case, which stays alive, and the weights of all keys."""


def attention_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(
        queries,
        keys,
        depth,
        width,
        heads=1,
        *,
        types=(U8, U8, U8),
        y=U8,
        bounds=FULL,
        m_s=0.003,
        m=1.3,
        exp=EXP,
        bias=None,
    ):
        shapes = (queries, heads * depth), (keys, heads * depth), (keys, heads * width)
        inputs = [Value(shape, type_, 1) for shape, type_ in zip(shapes, types, strict=True)]
        attrs, tensors = {"heads": heads, **bounds}, {"exp": exp, "m_s": f32(m_s), "m": f32(m)}
        if bias is not None:
            tensors["score_bias"] = -np.abs(np.rint(bias)).astype(np.float32)
        return case(rng, "attention", inputs, Value((queries, heads * width), y, 1), attrs, tensors)

    def u8(zero_point):
        return QType("uint8", 1.0, zero_point)

    yield "heads", make(5, 7, 4, 6, 2)
    yield "one-key", make(3, 1, 4, 4)
    yield "one-channel", make(3, 4, 1, 1, 3)
    yield "more-keys-than-a-vector", make(3, 70, 5, 3)
    yield "wider-than-a-vector", make(2, 3, 70, 67)
    yield "more-queries-than-a-block", make(35, 9, 3, 2, 2)
    yield "zero-points", make(5, 7, 4, 6, 2, types=(u8(0), u8(255), u8(255)), y=u8(0))
    yield "other-zero-points", make(5, 7, 4, 6, 2, types=(u8(255), u8(0), u8(0)), y=u8(255))
    yield (
        "schemes",
        make(
            *(5, 6, 4, 6, 2),
            types=(QType("uint2", 1.0, 1), QType("uint5", 1.0, 30), QType("uint7", 1.0, 9)),
            y=QType("uint3", 1.0, 2),
            bounds={"lo": 1, "hi": 7},
            m_s=1.0,
            m=0.06,
        ),
    )
    yield "binary", make(5, 8, 16, 6, types=(QType("binary", 1.0, 1),) * 3, m_s=3.0, m=90.0)
    yield "bounds", make(5, 7, 4, 6, 2, bounds={"lo": 120, "hi": 140})
    yield "the-same-weights", make(4, 9, 4, 4, m_s=0.0)
    yield "the-best-alone", make(4, 9, 4, 4, m_s=1e6)
    yield "ties-of-the-index", make(4, 9, 4, 4, m_s=0.5)
    yield "any-table", make(4, 40, 4, 4, exp=np.concatenate([[1], rng.integers(0, 256, 255)]).astype(np.uint8))
    yield "a-negative-multiplier", make(4, 9, 4, 4, m=-1.0)
    yield "bias", make(5, 7, 4, 6, 2, bias=rng.normal(0, 30000, (2, 5, 7)))
    yield "bias-of-heads-in-turn", make(35, 70, 3, 2, 6, bias=rng.normal(0, 30000, (3, 35, 70)))
    yield "bias-of-all-heads", make(3, 9, 4, 5, 3, bias=rng.normal(0, 30000, (1, 3, 9)))
    yield "mask", make(5, 40, 4, 6, 2, bias=(rng.random((2, 5, 40)) < 0.5) * 2_146_000_000.0)
    yield "mask-of-all-keys", make(5, 7, 4, 6, 2, types=(u8(0), u8(255), U8), bias=np.full((1, 5, 7), 2_146_000_000.0))
    for i in range(6):
        queries, keys, depth, width, heads = (int(rng.integers(1, most)) for most in (90, 90, 40, 40, 5))
        yield f"random-{i}", make(queries, keys, depth, width, heads)


def weights_of(case: Case, n: int, query: int, head: int) -> list[int]:
    key = (id(case), n, query, head)
    if key not in WEIGHTS:
        depth = case.inputs[0].shape[1] // case.node.attrs["heads"]
        channels = range(head * depth, (head + 1) * depth)
        scores = [
            sum(real_code(case, 0, (n, query, d)) * real_code(case, 1, (n, j, d)) for d in channels)
            for j in range(case.inputs[1].shape[0])
        ]
        if "score_bias" in case.node.tensors:
            bias = case.node.tensors["score_bias"]
            scores = [s + int(bias[head % len(bias), query, j]) for j, s in enumerate(scores)]
        below = [np.float32(np.int32(max(scores) - s)) * case.node.tensors["m_s"][0] for s in scores]
        WEIGHTS[key] = case, [int(case.node.tensors["exp"][int(min(np.rint(b), 255))]) for b in below]
    return WEIGHTS[key][1]


def slow_attention(case: Case, index) -> Any:
    n, query, channel = index
    head = channel // (case.inputs[2].shape[1] // case.node.attrs["heads"])
    weights = weights_of(case, n, query, head)
    total = sum(e * real_code(case, 2, (n, j, channel)) for j, e in enumerate(weights))
    each = case.node.tensors["m"][0] / np.float32(sum(weights))
    return finish(case, np.float32(np.int32(total)) * each, add_zero_point=True)


def float_attention(rng) -> Iterator[tuple[str, FloatCase]]:
    y = QType("uint8", 0.1, 100)
    for label, heads, clamp, biases in (
        *(("heads", 3, None, 0), ("one head", 1, None, 0), ("relu", 2, (0, None), 0)),
        *(("bias", 2, None, 2), ("one bias", 2, None, 1)),
    ):
        bias = rng.normal(0, 2, (biases, 5, 7)).astype(np.float32)
        bias[:, :, 2] = -1e9
        shapes = (5, 6 * heads), (7, 6 * heads), (7, 4 * heads)
        attrs = {"heads": heads, "scale": 0.3} | ({"clamp": clamp} if clamp else {})

        def function(q, k, v, heads=heads, clamp=clamp, bias=bias):
            q, k, v = (x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2) for x in (q, k, v))
            added = np.tile(bias, (heads // len(bias), 1, 1)) if len(bias) else 0.0
            e = np.exp(0.3 * q @ k.swapaxes(2, 3) + added)
            found = (e / e.sum(3, keepdims=True) @ v).swapaxes(1, 2)
            found = found.reshape(*found.shape[:2], -1)
            return np.clip(found, *clamp) if clamp else found

        inputs = tuple(Value(shape, X, 1) for shape in shapes)
        node = Node("it", "attention", ("x0", "x1", "x2"), attrs, {"score_bias": bias} if biases else {})
        yield label, FloatCase(node, inputs, Value((5, 4 * heads), y, 1), function, steps=0.9)


def grown(g: RandomGraph, x: str) -> str:
    channels, height, _ = g.values[x].shape
    heads = int(g.rng.choice([d for d in range(1, channels + 1) if channels % d == 0]))
    queries = g.tokens(x)
    keys = g.table(queries, zp=int(g.rng.integers(256)))
    tensors = {"exp": EXP, "m_s": f32(STEPS / 60**2 / np.sqrt(channels / heads)), "m": f32(1.5)}
    if g.rng.random() < 0.5:
        biases = int(g.rng.choice([d for d in range(1, heads + 1) if heads % d == 0]))
        count = g.values[queries].shape[0]
        tensors["score_bias"] = -np.rint(g.rng.exponential(4000, (biases, count, count))).astype(np.float32)
    y = g.node("attention", (queries, keys, g.table(queries)), {"heads": heads, **FULL}, tensors, U8)
    return g.planes(y, height)


class Heads(nn.Module):
    """Self-attention of maps as transformers write it."""

    def __init__(self, write: str, heads: int = 2) -> None:
        super().__init__()
        self.qkv, self.out, self.heads, self.write = nn.Linear(8, 24), nn.Linear(8, 8), heads, write

    def forward(self, x: Tensor) -> Tensor:
        planes = x
        x = x.flatten(2).transpose(1, 2)
        qkv, heads = self.qkv(x), self.heads
        if self.write == "timm":
            q, k, v = qkv.reshape(x.shape[0], x.shape[1], 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        elif self.write == "separate":
            q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in qkv.chunk(3, -1))
            y = F.scaled_dot_product_attention(q, k, v, scale=0.7).transpose(1, 2).flatten(2)
        else:
            y = F.scaled_dot_product_attention(*qkv.chunk(3, -1))
        return self.out(y).transpose(1, 2).reshape(planes.shape)


class Pooled(nn.Module):
    """Queries that are learned, as heads of pooling have them, in nn.MultiheadAttention, which moves the batch axis about."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 3, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        y, _ = self.attention(self.query.expand(x.shape[0], -1, -1), tokens, tokens, need_weights=False)
        tokens, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return tokens.transpose(1, 2).reshape(x.shape) * y.mean(1).unflatten(-1, (8, 1, 1))


ROWS = (
    Row(
        "attention",
        attention_cases,
        slow_attention,
        grown,
        float_attention,
        {
            **{f"attention, {write}": Heads(write) for write in ("timm", "separate", "one head")},
            "attention, nn.MultiheadAttention": Pooled(),
        },
    ),
)
