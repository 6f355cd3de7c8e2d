"""The gradients of the training algorithms against the formulas of their docstrings."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bitwright.algorithms.training import TRAINING, training_algorithm
from bitwright.ops.function import Result, Step
from bitwright.prepared.ops.function import float_function
from bitwright.prepared.ops.op import FloatCall
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer
from bitwright.schemes import SCHEMES


def quantizer(name: str, scheme: str, scale: float, zero_point: int = 0) -> ActivationQuantizer:
    made = ActivationQuantizer("quantizer", scheme)
    made.scale.fill_(scale)
    made.zero_point.fill_(zero_point)
    made.estimator = training_algorithm(name)
    made.estimator.learn_activation(made)
    return made


def weights(name: str, scheme: str, scale: list[float], progress: float = 1.0) -> WeightQuantizer:
    made = WeightQuantizer(scheme, torch.ones(1, 1), len(scale))
    made.scale.copy_(torch.tensor(scale))
    made.progress = progress
    made.estimator = training_algorithm(name)
    made.estimator.learn_weight(made)
    return made


def gradient(y: Tensor, *inputs: Tensor, seed: int = 1) -> tuple[Tensor, ...]:
    """dL/dinputs for L = <y, g> with a fixed g."""
    return torch.autograd.grad(y, inputs, upstream(y, seed))


def upstream(y: Tensor, seed: int = 1) -> Tensor:
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))


def values(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_lsq_activations() -> None:
    x, made = values(2, 50), quantizer("lsq", "uint3", 0.3, zero_point=2)
    y = made(x)
    dx, ds = gradient(y, x, made.scale)
    t = x.detach() / 0.3
    inside = (t > -2) & (t < 5)
    slope = torch.where(inside, t.round() - t, torch.where(t <= -2, -2.0, 5.0))
    torch.testing.assert_close(dx, upstream(y) * inside)
    torch.testing.assert_close(ds, (upstream(y) * slope).sum() / math.sqrt(50 * 7))


def test_lsq_weights() -> None:
    w, made = values(3, 20), weights("lsq", "int3", [0.3, 0.4, 0.5])
    y = made(w)
    dw, ds = gradient(y, w, made.scale)
    t = w.detach() / torch.tensor([[0.3], [0.4], [0.5]])
    inside = t.abs() < 3
    slope = torch.where(inside, t.round() - t, 3 * t.sign())
    torch.testing.assert_close(dw, upstream(y) * inside)
    torch.testing.assert_close(ds, (upstream(y) * slope).sum(1) / math.sqrt(20 * 3))


def test_lsq_plus_zero_points() -> None:
    x, made = values(1, 50), quantizer("lsq_plus", "uint2", 0.5, zero_point=1)
    y = made(x)
    (dz,) = gradient(y, made.zero_point)
    t = x.detach() / 0.5
    outside = (t < -1) | (t > 2)
    torch.testing.assert_close(dz, -0.5 * (upstream(y) * outside).sum() / math.sqrt(50 * 3))


def test_pact_learns_from_what_is_clipped() -> None:
    x, made = values(1, 50), quantizer("pact", "uint2", 0.2)
    y = made(x)
    dx, ds = gradient(y, x, made.scale)
    clipped = x.detach() >= 0.6
    torch.testing.assert_close(ds, 3 * (upstream(y) * clipped).sum())
    torch.testing.assert_close(dx, upstream(y) * ((x.detach() > 0) & ~clipped))


def test_dorefa_bends_weights() -> None:
    w, made = values(2, 20), weights("dorefa", "int2", [1.0, 1.0])
    effective, scale = made.effective(w)
    bent, largest = torch.tanh(w), w.abs().amax(1)
    torch.testing.assert_close(effective, bent / bent.abs().amax(1, keepdim=True) * largest[:, None])
    torch.testing.assert_close(scale, largest.detach())


def test_xnor_gradient_flows_through_the_scale() -> None:
    w, made = values(2, 20), weights("xnor", "binary", [1.0, 1.0])
    y = made(w)
    (dw,) = gradient(y, w)
    size, g = w.detach().abs().mean(1, keepdim=True), upstream(y)
    through_scale = w.detach().sign() / 20 * (g * w.detach().sign()).sum(1, keepdim=True)
    torch.testing.assert_close(y.detach(), w.detach().sign() * size)
    torch.testing.assert_close(dw, g * size * (w.detach().abs() < 1) + through_scale)


def test_xnor_activations_pass_gradients_within_the_scale() -> None:
    x = values(1, 200)
    y = quantizer("xnor", "binary", 0.5, zero_point=1)(x)
    (dx,) = gradient(y, x)
    inside = x.detach().abs() < 0.5
    assert 0 < int(inside.sum()) < 200
    torch.testing.assert_close(dx, upstream(y) * inside)
    assert torch.equal(y.detach(), 0.5 * x.detach().sign())


def test_irnet_sharpens() -> None:
    x = values(1, 50)
    for progress, t, k in ((0.0, 0.1, 10.0), (0.5, 1.0, 1.0), (1.0, 10.0, 1.0)):
        made = quantizer("irnet", "binary", 1.0, zero_point=1)
        made.progress = progress
        y = made(x)
        (dx,) = gradient(y, x)
        torch.testing.assert_close(dx, upstream(y) * k * t * (1 - torch.tanh(t * x.detach()) ** 2))
    effective, scale = weights("irnet", "binary", [1.0]).effective(values(1, 64))
    torch.testing.assert_close(effective.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert float(torch.log2(scale.detach())) == round(float(torch.log2(scale.detach())))


def test_react_and_recu_have_a_triangle_for_the_gradient_of_the_sign() -> None:
    x = values(1, 50)
    for name in ("react", "recu"):
        y = quantizer(name, "binary", 0.5, zero_point=1)(x)
        (dx,) = gradient(y, x)
        triangle = (2 - 2 * (x.detach() / 0.5).abs()).clamp_min(0)
        torch.testing.assert_close(dx, upstream(y) * triangle)
        assert set(y.detach().unique().tolist()) == {-0.5, 0.5}


def test_recu_pulls_dead_weights_back() -> None:
    w = values(1, 400)
    early, _ = weights("recu", "binary", [1.0], progress=0.0).effective(w)
    late, _ = weights("recu", "binary", [1.0], progress=1.0).effective(w)
    standard = (w - w.mean()) / w.std(correction=0)
    size = standard.abs().mean()
    torch.testing.assert_close(early.abs().max(), -size * math.log(2 - 2 * 0.85))
    assert float(late.detach().abs().max()) > float(early.detach().abs().max())


@pytest.mark.parametrize("function", [torch.sqrt, torch.reciprocal, torch.log])
def test_where_a_function_has_no_slope_nothing_else_loses_its_gradient(function: Callable[[Tensor], Tensor]) -> None:
    """Of zeros, which rounding makes of small numbers."""
    x = torch.tensor([[0.0, 0.25]], requires_grad=True)
    steps = (Step(function.__name__, (Result(0),)),)
    y = float_function(FloatCall("function", {"steps": steps}, {}, [x]))
    (dx,) = torch.autograd.grad(y.clamp(-4, 4).sum(), x)
    plain = torch.tensor(0.25, requires_grad=True)
    function(plain).clamp(-4, 4).backward()
    assert dx.tolist() == [[0.0, float(plain.grad or 0)]]


def test_ste_of_zero_is_negative_for_binary() -> None:
    x = torch.tensor([[0.0, 0.2, -0.2, 3.0]], requires_grad=True)
    y = quantizer("ste", "binary", 0.5, zero_point=1)(x)
    assert y.tolist() == [[-0.5, 0.5, -0.5, 0.5]]
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert dx.tolist() == [[1.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize("scheme", ["int4", "ternary", "binary"])
@pytest.mark.parametrize("name", TRAINING)
def test_what_is_lowered_is_what_training_rounds(name: str, scheme: str) -> None:
    """The weight reads the image, whose channels have scales of their own."""
    image_scale = torch.tensor([[0.5, 1.0, 3.0, 0.2]])
    w, made = values(3, 4), weights(name, scheme, [0.3, 0.4, 0.5])
    made.image_scale.resize_(1, 4).copy_(image_scale)
    with torch.no_grad():
        effective, scale = made.effective(w)
        unit = effective * image_scale / scale[:, None]
        codes = torch.from_numpy(SCHEMES[scheme].nearest(unit.double().numpy()))
        torch.testing.assert_close((codes * scale[:, None] / image_scale).float(), made(w))
