"""`bias_correct`: shift each convolution's and linear layer's channels so that their mean is the float model's.

    b[c] += mean over images and places of (y_float[c] - y_quantized[c])
where y is the result in front of the clamp, and the quantized path has all layers before it quantized and corrected.
Both paths walk through the network side by side, so one pass corrects every layer.
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2 and appendix D
(the empirical form); Finkelstein et al. 2019, "Fighting Quantization Bias With Bias".
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.path import each_layer
from bitwright.nn import PreparedModel


class BiasCorrect(Correction):
    name = "bias_correct"

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        for layer, node, exact, rounded in each_layer(prepared, calibration, self.most_images):
            total = torch.zeros_like(layer.correction, dtype=torch.float64)
            count = 0
            for rows in exact.rows:
                wanted = layer(exact.inputs(node, rows), quantized=False, clamped=False)
                error = wanted - layer(rounded.inputs(node, rows), quantized=True, clamped=False)
                total += error.double().sum(_all_but_channels(error))
                count += error.numel() // error.shape[1]
            layer.correction.add_(total / count)


def _all_but_channels(y: Tensor) -> list[int]:
    return [axis for axis in range(y.dim()) if axis != 1]
