"""`bn_restat`: batch norms of the quantized network get the statistics of its own numbers.

    factor[c] = sqrt((var z[c] + eps) / (var z_q[c] + eps)),   y = gamma * (factor * (z_q - mean z_q)) / sqrt(var z + eps) + ...
z and z_q are the products in front of the norm, of the float and the quantized network, over images and places: what rounding
has shrunk or shifted is as wide and as high again. The factor goes into the scale of the channel's weights, whose codes stay
as they are, the means into the correction. Sun et al. 2019, "Hybrid 8-bit Floating Point (HFP8) Training and Inference for Deep
Neural Networks", section 3.3; Hubara et al. 2020, "Improving Post Training Neural Quantization", section 5.
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.data_free import has_norms
from bitwright.algorithms.correction.moments import gain
from bitwright.algorithms.correction.path import Path, each_layer
from bitwright.errors import RecipeError
from bitwright.ops import source
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer

MOST = 2.0
"""The greatest factor that is believed: a greater one is chance, or a channel that is never on."""


class BnRestat(Correction):
    name = "bn_restat"
    most_images = 512

    def check(self, prepared: PreparedModel) -> None:
        if not has_norms(prepared):
            raise RecipeError(
                "'bn_restat' needs batch norms behind convolutions, and this model has none; leave it out"
            )

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        for layer, node, exact, rounded in each_layer(prepared, calibration, self.most_images):
            if not layer.has_batch_norm:
                continue
            assert layer.quantizer is not None
            codes, eps = layer.codes(), float(node.attrs["eps"])
            mean, variance = _statistics(layer, layer.tensors()["weight"], exact)
            mean_q, variance_q = _statistics(layer, codes * layer.quantizer.step(codes), rounded)
            factor = ((variance + eps) / (variance_q + eps)).sqrt()
            factor[(factor > MOST) | (factor < 1 / MOST)] = 1.0
            layer.quantizer.scale.mul_(factor)
            layer.set_codes(codes)
            layer.correction.copy_(gain(layer) * (mean - factor * mean_q))


def _statistics(layer: Layer, weight: Tensor, path: Path) -> tuple[Tensor, Tensor]:
    """Mean and variance [O] of the product of a weight and what a path brings, over images and places; float64."""
    node = layer.node
    attrs = {key: value for key, value in node.attrs.items() if key != "clamp"}
    total, squares = torch.zeros(2, len(weight), dtype=torch.float64)
    count = 0
    for rows in path.rows:
        z = layer.function({"weight": weight}, [path.read(source(node), rows)], attrs=attrs)
        z = z.movedim(layer.axis, 0).flatten(1)
        total += z.sum(1)
        squares += z.square().sum(1)
        count += z.shape[1]
    mean = total / count
    return mean, (squares / count - mean.square()).clamp_min(0)
