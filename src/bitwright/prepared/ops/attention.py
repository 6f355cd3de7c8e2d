"""`attention` in PyTorch; `bitwright/ops/attention.py` defines it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.prepared.ops.epilogue import clamp
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    heads, count = call.attrs["heads"], max(map(len, call.xs))  # constants are there once for all images
    q, k, v = (of_heads(x.expand(count, *x.shape[1:]), heads) for x in call.xs)
    bias = call.tensors.get("score_bias")
    mask = None if bias is None else bias.repeat(heads // len(bias), 1, 1)
    y = F.scaled_dot_product_attention(q, k, v, mask, scale=call.attrs["scale"])
    return clamp(y.transpose(1, 2).flatten(2), call.attrs)


def integer_function(call: IntegerCall) -> Tensor:
    q, k, v = (of_heads(call.centred(i).double(), call.node.attrs["heads"]) for i in range(3))
    t, scores = call.tensors, torch.matmul(q, k.mT)
    if "score_bias" in t:
        parts = scores.unflatten(1, (-1, len(t["score_bias"])))
        scores = (parts + t["score_bias"].double()).flatten(1, 2)
    index = ((scores.amax(-1, keepdim=True) - scores).float() * t["m_s"]).round().clamp_max(255)
    weights = t["exp"][index.long()]
    sums = torch.matmul(weights.double(), v).float()
    y = (sums + 0.0) * (t["m"] / weights.double().sum(-1, keepdim=True).float())
    return call.store_with_zero_point(y.transpose(1, 2).flatten(2))


def of_heads(x: Tensor, heads: int) -> Tensor:
    """[N, T, D] as [N, heads, T, D / heads]."""
    parted: Tensor = x.unflatten(2, (heads, -1))
    return parted.transpose(1, 2)


OP = TorchOp("attention", float_function, integer_function)
