"""`bias_correct`: shift each convolution's and linear layer's channels so that their mean is the float model's.

    b[c] += mean over images and places of (y_float[c] - y_quantized[c])
where y is the result in front of the clamp, and the quantized path has all layers before it quantized and corrected.
Both paths walk through the network side by side, so one pass corrects every layer.
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2 and appendix D
(the empirical form); Finkelstein et al. 2019, "Fighting Quantization Bias With Bias".
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction.correction import Correction
from bitwright.graph import INPUT
from bitwright.nn import PreparedModel
from bitwright.nn.layer import Layer


class BiasCorrect(Correction):
    name = "bias_correct"

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, images: Tensor) -> None:
        real = prepared.real_input(images)
        exact, rounded = {INPUT: real}, {INPUT: real}
        for node, done in prepared.steps():
            layer, edge = prepared.layer(node.name), prepared.edge(node.name)
            xs, qs = [exact[name] for name in node.inputs], [rounded[name] for name in node.inputs]
            exact[node.name] = layer(xs, quantized=False)
            if layer.quantizer is not None:
                _correct(layer, xs, qs)
            y = layer(qs, quantized=True)
            rounded[node.name] = y if edge is None else edge(y)
            for name in done:
                del exact[name], rounded[name]


def _correct(layer: Layer, xs: list[Tensor], qs: list[Tensor]) -> None:
    error = layer(xs, quantized=False, clamped=False) - layer(qs, quantized=True, clamped=False)
    layer.shift(error.double().mean([axis for axis in range(error.dim()) if axis != 1]))
