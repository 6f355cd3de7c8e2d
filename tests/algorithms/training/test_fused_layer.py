"""What follows a layer's products, as one function, against PyTorch's own operations."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright import _native
from bitwright.algorithms.training.fused import flat
from bitwright.algorithms.training.fused_layer import CODES, SIGN, TRIANGLE, Rounding, finish
from bitwright.algorithms.training.one_bit import approx_slope
from bitwright.prepared.ops.op import FloatCall

SCALE, FACTOR = 0.3, 0.5


class _Rounded(torch.autograd.Function):
    """The roundings of `fused_layer`, written down once more in float64, with the gradients that their papers give them."""

    @staticmethod
    def forward(ctx, x, scale, kind, zero_point, hi):
        ctx.save_for_backward(x, scale)
        ctx.kind, ctx.ends = kind, (-zero_point, hi - zero_point)
        if kind != CODES:
            return torch.where(x > 0, scale, -scale)
        return ((x / scale + zero_point).round().clamp(0, hi) - zero_point) * scale

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        t = x / scale
        if ctx.kind == TRIANGLE:
            return g * approx_slope(t), None, None, None, None
        lo, hi = ctx.ends if ctx.kind == CODES else (-1, 1)
        inside = (t > lo) & (t < hi)
        of_scale = (
            torch.where(inside, t.round() - t, t.clamp(lo, hi)) if ctx.kind == CODES else torch.where(t > 0, 1, -1)
        )
        return g * inside, (g * of_scale).sum() * FACTOR, None, None, None


def plain(
    x: Tensor, residual: Tensor | None, t: dict[str, Tensor], clamp, rounding: Rounding, training: bool
) -> Tensor:
    y = x
    if "bn_mean" in t:
        norm = t["bn_mean"], t["bn_var"], t["bn_weight"], t["bn_bias"], training, 0.1, 1e-5
        y = F.batch_norm(y, *norm)
    if "before" in t:
        y = y + t["before"].reshape(-1, 1, 1)
    if residual is not None:
        y = y + residual
    if "slope" in t:
        y = torch.where(y > 0, y, y * t["slope"].reshape(-1, 1, 1)) + t["after"].reshape(-1, 1, 1)
    if clamp != (None, None):
        y = F.hardtanh(y, -math.inf if clamp[0] is None else clamp[0], math.inf if clamp[1] is None else clamp[1])
    return _Rounded.apply(y, rounding.scale, rounding.kind, rounding.zero_point, rounding.hi)


def tensors(channels: int, norm: bool, prelu: bool) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    if norm:
        made |= {"bn_mean": torch.randn(channels), "bn_var": torch.rand(channels) + 0.5}
        made |= {"bn_weight": torch.randn(channels).requires_grad_(), "bn_bias": torch.randn(channels).requires_grad_()}
    if prelu:
        made |= {name: torch.randn(channels).requires_grad_() for name in ("slope", "after")}
        if not norm:
            made["before"] = torch.randn(channels).requires_grad_()
    return made


@pytest.mark.parametrize("kind", [CODES, SIGN, TRIANGLE])
@pytest.mark.parametrize(
    ("shape", "norm", "training", "prelu", "residual", "clamp"),
    [
        ((4, 16, 6, 6), True, True, False, False, (0, None)),
        ((2, 32, 8, 8), True, True, False, True, (0, 1.5)),
        ((3, 10, 5, 7), True, True, True, True, (None, None)),  # rows that fill no vector
        ((2, 48, 40, 40), True, False, False, True, (None, None)),  # several pieces
        ((2, 7, 3, 3), False, False, True, False, (None, None)),
    ],
)
def test_it_is_what_the_operations_give(kind, shape, norm, training, prelu, residual, clamp):
    torch.manual_seed(kind)
    t = tensors(shape[1], norm, prelu)
    x, added, g = (3 + torch.randn(shape).contiguous(memory_format=torch.channels_last) for _ in range(3))
    g -= 3
    scale = torch.tensor(-SCALE, requires_grad=True)  # a scale below zero counts as its size
    rounding = Rounding(kind, scale, FACTOR, 3 if kind == CODES else 0, 7 if kind == CODES else 1)
    x.requires_grad_()
    added.requires_grad_()
    attrs = {"eps": 1e-5, "momentum": 0.1, "clamp": clamp}
    xs = [x, added] if residual else [x]
    copy = {name: value.detach().double().requires_grad_(value.requires_grad) for name, value in t.items()}
    x2, added2 = (v.detach().double().requires_grad_() for v in (x, added))
    scale2 = torch.tensor(SCALE, dtype=torch.float64, requires_grad=True)
    wide = Rounding(kind, scale2, FACTOR, rounding.zero_point, rounding.hi)
    expected = plain(x2, added2 if residual else None, copy, clamp, wide, training)
    expected.backward(g.double())

    y = finish(x, FloatCall("conv2d", attrs, t, xs, 1, training), rounding)
    assert y is not None
    y.backward(g)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    assert x.grad is not None
    assert x2.grad is not None
    torch.testing.assert_close(x.grad.double(), x2.grad, rtol=1e-4, atol=1e-4)
    if residual:
        assert added.grad is not None
        assert added2.grad is not None
        torch.testing.assert_close(added.grad.double(), added2.grad, rtol=1e-4, atol=1e-4)
    for name, value in t.items():
        if value.requires_grad:
            assert value.grad is not None
            torch.testing.assert_close(value.grad.double(), copy[name].grad, rtol=1e-3, atol=1e-3, msg=name)
        else:
            torch.testing.assert_close(value.double(), copy[name], rtol=1e-4, atol=1e-5, msg=name)
    if kind != TRIANGLE:
        assert scale.grad is not None
        assert scale2.grad is not None
        assert float(scale.grad) == pytest.approx(-float(scale2.grad), rel=1e-3, abs=1e-3)


def test_bfloat16_is_rounded_once():
    torch.manual_seed(0)
    x = torch.randn(4, 16, 8, 8).bfloat16().contiguous(memory_format=torch.channels_last)
    t = tensors(16, True, False)
    rounding = Rounding(CODES, torch.tensor(SCALE), 1.0, 0, 15)
    attrs = {"eps": 1e-5, "momentum": 0.1, "clamp": (0, None)}
    wide = x.float()
    low, high = (finish(v, FloatCall("conv2d", attrs, t, [v], 1, True), rounding) for v in (x, wide))
    assert low is not None
    assert high is not None
    assert low.dtype == torch.bfloat16
    assert torch.equal(low, high.bfloat16())


def test_the_number_of_threads_changes_nothing():
    rng = np.random.RandomState(0)
    x, g = (rng.randn(70_000 * 10).astype(np.float32) for _ in range(2))
    mean, gain, shift = (rng.randn(10).astype(np.float32) for _ in range(3))
    found = []
    for threads in (1, 3):
        y, dz = np.empty_like(x), np.empty_like(x)
        sums = [np.empty(10, np.float32) for _ in range(2)]
        how: tuple[Any, ...] = (10, mean, gain, shift, None, None, 0.0, math.inf, CODES, SCALE, 0, 15, threads)
        _native.finish(x, None, y, *how)
        ends = (*how, g, *sums, None, None)
        ds = _native.finish_gradient(x, None, dz, *ends)
        found.append((y, dz, *sums, ds))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_not_a_number_shows():
    x = torch.tensor([[1.0, math.nan]])
    for kind in (CODES, SIGN, TRIANGLE):
        y = finish(x, FloatCall("linear", {}, {}, [x], 1), Rounding(kind, torch.tensor(SCALE), 1.0, 0, 3))
        assert y is not None
        assert y.isnan().tolist() == [[False, True]]


def test_what_lies_otherwise_is_left_alone():
    x = torch.randn(2, 16, 4, 4)  # channels first
    assert finish(x, FloatCall("conv2d", {}, {}, [x], 1), Rounding(CODES, torch.tensor(SCALE), 1.0, 0, 3)) is None


def test_the_extension_refuses_what_does_not_fit():
    x, short = np.zeros(12, np.float32), np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="lengths"):
        _native.finish(x, None, x.copy(), 5, None, None, None, None, None, 0.0, 1.0, CODES, 1.0, 0, 3, 1)
    with pytest.raises(ValueError, match="lengths"):
        _native.finish(x, None, x.copy(), 4, short, None, None, None, None, 0.0, 1.0, CODES, 1.0, 0, 3, 1)
    assert flat(torch.zeros(3)).shape == (3,)
