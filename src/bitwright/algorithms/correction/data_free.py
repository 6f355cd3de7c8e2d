"""What batch norms know of a network without any image: each channel behind one is about normal, N(beta, gamma**2).

    largest |y| = |beta| + 6 |gamma|                                       for ranges of channels
    E[clip(y, a, b)] = a F(s) + b (1 - F(t)) + beta (F(t) - F(s)) + |gamma| (f(s) - f(t)),   s, t = (a, b - beta) / |gamma|
F and f are the normal distribution and its density. The ranges of values are those of noise that runs through the network with
every batch norm dividing by the deviation of the noise itself, so that each channel gets the mean and the deviation it had.
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4 and appendix C.
"""

import torch
from torch import Tensor

from bitwright.errors import CalibrationError
from bitwright.graph import Node
from bitwright.ops import float_op, operand
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.walk import compute

BATCHES = 4
BATCH = 16
DEVIATIONS = 6.0


def has_norms(prepared: PreparedModel) -> bool:
    """Whether a batch norm stands behind any layer with a weight."""
    return any(float_op(node).weighted and prepared.layer(node.name).has_batch_norm for node in prepared.graph.nodes)


def expect_norms(prepared: PreparedModel) -> None:
    """Raise CalibrationError unless the model has a batch norm behind a layer with a weight."""
    if not has_norms(prepared):
        raise CalibrationError(
            "without images, ranges come from batch norms behind convolutions, and this model has none; give it images"
        )


@torch.no_grad()
def observe_noise(prepared: PreparedModel, seed: int) -> None:
    """Add what the batch norms promise to every quantizer's histogram."""

    def observed(node: Node, xs: list[Tensor]) -> Tensor:
        layer, quantizer = prepared.layer(node.name), prepared.quantizer(node.name)
        tensors = {name: tensor.clone() for name, tensor in layer.tensors().items()}  # running statistics stay
        y = layer.function(tensors, xs, training=True)
        if quantizer is not None and not float_op(node).passes_type:
            quantizer.observe(y)
        return y

    generator = torch.Generator().manual_seed(seed)
    for _ in range(BATCHES):
        pixels = torch.randint(0, 256, (BATCH, *prepared.preprocess.shape), generator=generator, dtype=torch.uint8)
        image = prepared.real_input(pixels.to(prepared.image_scale.device))
        compute(prepared.graph, {prepared.graph.input: image}, observed)


def largest(layer: Layer) -> Tensor | None:
    """The greatest |y| of each channel of a layer's result; None without a batch norm."""
    tensors = layer.tensors()
    if not layer.has_batch_norm:
        return None
    beta, reach = tensors["bn_bias"].detach(), DEVIATIONS * tensors["bn_weight"].detach().abs()
    lo, hi = layer.node.attrs.get("clamp", (None, None))
    above, below = beta + reach, beta - reach
    if lo is not None or hi is not None:
        above, below = above.clamp(lo, hi), below.clamp(lo, hi)
    return torch.maximum(above.abs(), below.abs())


def mean(layer: Layer) -> Tensor | None:
    """E[y] of each channel of a layer's result; None without a batch norm, or with a residual."""
    tensors = layer.tensors()
    if not layer.has_batch_norm or operand(layer.node, "residual") is not None:
        return None
    beta, gamma = tensors["bn_bias"].detach().double(), tensors["bn_weight"].detach().double().abs().clamp_min(1e-12)
    lo, hi = layer.node.attrs.get("clamp", (None, None))
    normal = torch.distributions.Normal(0.0, 1.0)
    result, low, high = torch.zeros_like(beta), torch.zeros_like(beta), torch.ones_like(beta)
    if lo is not None:
        s = (lo - beta) / gamma
        low = normal.cdf(s)
        result += lo * low + gamma * normal.log_prob(s).exp()
    if hi is not None:
        t = (hi - beta) / gamma
        high = normal.cdf(t)
        result += hi * (1 - high) - gamma * normal.log_prob(t).exp()
    return result + beta * (high - low)
