"""Attention of several heads: each token of the result is a mean of values, weighted by how well keys fit its query.

    s[i, j] = sum over d of q[i, d] * k[j, d]                    exact in int32, of each head; q, k, v centred
    s[i, j] = s[i, j] + score_bias[h mod B, i, j]                exact in int32, where there is a bias
    n[i, j] = max over j of s[i, j] - s[i, j]                    exact in int32, 0 or more
    e[i, j] = exp[min(rint(f32(n[i, j]) * m_s), 255)]            one rounding to float32; exp uint8 [256]
    a[i, d] = sum over j of e[i, j] * v[j, d]                    exact in int32
    t       = f32(a[i, d]) * (m / f32(sum over j of e[i, j]))    quotient rounded to float32, then the product
    code    = clip(rint(t + y_zp / y_step), lo, hi)              one more

Scores are never rounded to codes, and weights only as multiples of the greatest one, since the division comes last. Lowering
makes exp[i] = rint(255 * exp(-i / 32)), whose last entry is 0, and m_s = 32 * scale * s_q * s_k, m = s_v / (s_y * y_step).

Queries are tokens [T, D], keys [S, D], values [S, E]; head h has the channels h * D / heads up to (h + 1) * D / heads, and of
the values and the result those of E. A bias of the float op, score_bias [B, T, S] for heads in turn, becomes whole numbers of 0
or less: what all keys of a query share changes no weight. Vaswani et al. 2017, "Attention Is All You Need"; a table for exp as
in Lin et al. 2022, "FQ-ViT", and Li & Gu 2023, "I-ViT: Integer-only Quantization for Efficient Vision Transformer Inference",
both of which round the quotient instead.
"""

from collections.abc import Sequence

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Node, Shape, Value
from bitwright.ops import epilogue
from bitwright.ops.op import (
    INT32_MAX,
    Array,
    FloatOp,
    IntegerOp,
    codes_of,
    expect_tensors,
    float32,
    integer,
)

STEPS = 32
"""Entries of the table for each factor of e."""
MOST = 2**15
"""Keys, and channels of a head: sums of 255 * 255 times so many stay within int32."""
ROUNDED = 128
"""What rounding the least bias to float32 may take off it."""


class Attention(FloatOp, IntegerOp):
    name = "attention"
    has_epilogue = True
    arity = (3, 3)
    roles = ("codes", "keys", "values")
    carries = "values"
    attrs = {"heads": integer(1, 2**15), **epilogue.BOUNDS}

    def infer(self, node: Node, inputs: Sequence[Value]) -> Value:
        query, key, value = inputs
        if any(len(x.shape) != 2 or x.channel != 1 for x in inputs):
            raise GraphError(f"expected tokens of channels as queries, keys and values, found {_listed(inputs)}")
        if key.shape[1] != query.shape[1] or value.shape[0] != key.shape[0]:
            raise GraphError(f"queries, keys and values do not fit: {_listed(inputs)}; expected [T, D], [S, D], [S, E]")
        if any(x.channels % node.attrs["heads"] for x in inputs):
            raise GraphError(f"{node.attrs['heads']} heads do not divide the channels of {_listed(inputs)}")
        width = query.channels // node.attrs["heads"]
        if max(key.shape[0], width) > MOST:
            raise GraphError(
                f"sums over {key.shape[0]} keys or {width} channels could overflow int32; expected at most {MOST}"
            )
        bias = node.tensors.get("score_bias")
        if bias is not None and (
            bias.ndim != 3
            or bias.shape[1:] != (query.shape[0], key.shape[0])
            or not len(bias)
            or node.attrs["heads"] % len(bias)
        ):
            raise GraphError(
                f"a bias of {bias.shape} does not fit {node.attrs['heads']} heads of {_listed(inputs)}; expected [B, T, S], "
                "where B divides the heads"
            )
        return Value((query.shape[0], value.shape[1]), channel=1)

    def channel_of(self, shape: Shape) -> int | None:
        return 1

    def lower(self, node: Node, inputs: Sequence[Value], output: Value) -> Node:
        s_q, s_k, s_v = (codes_of(x).one_scale for x in inputs)
        tensors = {
            "exp": np.rint(255 * np.exp(-np.arange(256) / STEPS)).astype(np.uint8),
            "m_s": float32(STEPS * node.attrs["scale"] * s_q * s_k),
            "m": float32(s_v / epilogue.out_unit(output)),
        }
        attrs = {"heads": node.attrs["heads"], **epilogue.bounds(node, output)}
        if "score_bias" in node.tensors:
            bias = np.asarray(node.tensors["score_bias"], np.float64) / (node.attrs["scale"] * s_q * s_k)
            below = np.rint(bias - bias.max(axis=2, keepdims=True))
            most = max(_most_bias(inputs[0].channels // node.attrs["heads"]) - ROUNDED, 0)
            if below.min() < -most and tensors["exp"][int(min(most * float(tensors["m_s"][0]), 255))]:
                raise GraphError(
                    f"the bias of the scores of {node.name} reaches {below.min():.3g} scores below 0, and int32 has {most}: "
                    "queries and keys are all nearly 0, so that keys that are hidden would be seen"
                )
            tensors["score_bias"] = np.maximum(below, -most).astype(np.float32)
        return Node(node.name, self.name, node.inputs, attrs, tensors, origin=node.origin)

    def check(self, node: Node, inputs: Sequence[Value], output: Value, where: str) -> None:
        bias = node.tensors.get("score_bias")
        expected: dict[str, tuple[str, Shape]] = {
            "exp": ("uint8", (256,)),
            "m_s": ("float32", (1,)),
            "m": ("float32", (1,)),
        }
        expect_tensors(node, where, expected if bias is None else {**expected, "score_bias": ("float32", bias.shape)})
        if output.type is None:
            raise GraphError(f"{where}: the result must be codes")
        if node.tensors["m_s"][0] < 0:
            raise GraphError(f"{where}: expected an m_s of 0 or more, found {node.tensors['m_s'][0]}")
        if node.tensors["exp"][0] == 0:
            raise GraphError(f"{where}: expected a table whose first entry is above 0: weights would add up to nothing")
        width = inputs[0].channels // node.attrs["heads"]
        most = 2 * width * codes_of(inputs[0]).reach * codes_of(inputs[1]).reach
        if most > INT32_MAX:
            raise GraphError(
                f"{where}: scores of heads of {width} channels may be {most} apart, past int32's {INT32_MAX}; "
                "use fewer bits for queries or keys, or more heads"
            )
        least = -float(_most_bias(width))
        if bias is not None and not ((bias == np.rint(bias)) & (bias <= 0) & (bias >= least)).all():
            raise GraphError(f"{where}: expected a score_bias of whole numbers from {least:.0f} to 0")
        epilogue.check_bounds(node, output, where)

    def run(self, node: Node, xs: Sequence[Array], inputs: Sequence[Value], output: Value) -> Array:
        q, k, v = (
            _heads(epilogue.centred(x, value, np.float64), node.attrs["heads"])
            for x, value in zip(xs, inputs, strict=True)
        )
        scores = q @ k.swapaxes(2, 3)
        if "score_bias" in node.tensors:
            bias = node.tensors["score_bias"].astype(np.float64)
            scores = scores + np.tile(bias, (node.attrs["heads"] // len(bias), 1, 1))
        below = (scores.max(axis=3, keepdims=True) - scores).astype(np.float32) * node.tensors["m_s"]
        e = node.tensors["exp"][np.minimum(np.rint(below), 255).astype(np.int64)].astype(np.float64)
        each = node.tensors["m"] / e.sum(axis=3, keepdims=True).astype(np.float32)
        t = (e @ v + 0.0).astype(np.float32) * each
        t = t.swapaxes(1, 2).reshape(len(t), *output.shape)
        return epilogue.store(epilogue.with_zero_point(t, output), node, output)


def _most_bias(width: int) -> int:
    """How far below 0 a bias of heads this wide may be: with scores of any codes, no sum and no difference leaves int32."""
    return max(INT32_MAX - 2 * width * 255**2, 0)


def _heads(x: Array, heads: int) -> Array:
    """[N, T, D] as [N, heads, T, D / heads]."""
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _listed(inputs: Sequence[Value]) -> str:
    return ", ".join(str(x.shape) for x in inputs)
