"""`bias_correct`: shift each convolution's and linear layer's channels so that their mean is the float model's.

    b[c] += mean over images and places of (y_float[c] - y_quantized[c]) / mean slope of y[c]
where y is the result behind the clamp, so that what a relu cuts off is not corrected for; behind a clamp the mean slope is
the share of the places that it lets pass. Where a function of one number, a leaky relu or a silu, is all that reads the
layer, y is that function's result: it is bent, so noise moves the mean behind it, which is what the next layer reads. The
quantized path has all layers before it quantized and corrected. What is not certain of a mean, since it is that of a few
images, is left away (`certain`).
Both paths walk through the network side by side, so one pass corrects every layer. Without images, the analytic form:
    b[c] += gain[c] * sum (w[c] - w_q[c]) * E[x]        where x comes from a batch norm, E[x] as in data_free.py
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2 and appendix D
(both forms); Finkelstein et al. 2019, "Fighting Quantization Bias With Bias".
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bitwright.algorithms.correction import data_free
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.moments import gain, grouped
from bitwright.algorithms.correction.path import Path
from bitwright.graph import Node
from bitwright.ops import float_op, source
from bitwright.prepared import PreparedModel

LEAST_IMAGES, MOST_NUMBERS = 8, 2**25
LEAST_SLOPE = 1 / 16
"""The least share of a shift that must pass the clamp: where a channel hardly ever passes, its mean can hardly be moved."""


class BiasCorrect(Correction):
    name = "bias_correct"
    quick = True
    most_images = 128  # a channel's mean is over every place of every image: few are enough

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        nodes, most = prepared.graph.nodes, self._images(prepared)
        exact, rounded = (Path(prepared, calibration, most, quantized=quantized) for quantized in (False, True))
        for i, node in enumerate(nodes):
            if prepared.layer(node.name).quantizer is None:
                exact.compute([node])
                rounded.compute([node])
            else:
                _correct(prepared, node, exact, rounded)
            exact.drop([node])
            rounded.drop([node])
            calibration.progress((i + 1) / len(nodes))

    def _images(self, prepared: PreparedModel) -> int:
        """Fewer images where values are large, which have more pixels each."""
        widest = max(math.prod(value.shape) for value in prepared.graph.values.values())
        return min(self.most_images, max(LEAST_IMAGES, MOST_NUMBERS // widest))

    @torch.no_grad()
    def apply_without_images(self, prepared: PreparedModel) -> None:
        for node in prepared.graph.nodes:
            layer = prepared.layer(node.name)
            expected = _expected(prepared, node) if layer.quantizer is not None else None
            if expected is not None and layer.quantizer is not None:
                weight = layer.tensors()["weight"]
                lost = grouped(node, weight - layer.codes() * layer.quantizer.step(weight))
                windows = expected.reshape(len(lost), -1, 1).repeat_interleave(weight[0, 0].numel(), dim=1)
                layer.correction.add_((lost @ windows).reshape(-1) * gain(layer))


def _correct(prepared: PreparedModel, node: Node, exact: Path, rounded: Path) -> None:
    """Correct one layer, and take both paths past it: its results are computed once, shifted and clamped where they lie."""
    layer, quantizer = prepared.layer(node.name), prepared.quantizer(node.name)
    function = _function_behind(prepared, node)

    def compute(rows: slice) -> tuple[Tensor, Tensor]:
        y_q = layer(rounded.inputs(node, rows), quantized=True, clamped=False)
        rounded.write(node.name, rows, y_q)
        y = layer(exact.inputs(node, rows), quantized=False, clamped=False)
        behind, behind_q = layer.clamp(y), layer.clamp(y_q)
        exact.write(node.name, rows, behind)
        slope = ((behind == y) | (behind_q == y_q)).to(y.dtype)
        if function is None:
            lost = behind - behind_q
        else:
            slope = slope * _slope(function, behind_q)
            lost = _finite(function(behind) - function(behind_q))
        return _by_channel(lost, layer.axis), _by_channel(slope, layer.axis)

    def finish(rows: slice) -> None:
        y = layer.clamp(layer.shifted(rounded.read(node.name, rows), shift))
        rounded.write(node.name, rows, y if quantizer is None else quantizer(y))

    lost, slopes = (torch.cat(parts) for parts in zip(*map(compute, exact.rows), strict=True))
    slope = slopes.mean(0)
    shift = certain(lost * slope / slope.square().clamp_min(LEAST_SLOPE**2)).to(layer.correction)
    layer.correction.add_(shift)
    for rows in rounded.rows:
        finish(rows)


def _function_behind(prepared: PreparedModel, node: Node) -> Callable[[Tensor], Tensor] | None:
    """The function of one number, such as a leaky relu, that alone reads what a node writes; None where there is none."""
    readers = [reader for reader in prepared.graph.nodes if node.name in reader.inputs]
    if len(readers) != 1 or not float_op(readers[0]).elementwise or node.name in prepared.graph.outputs:
        return None
    layer = prepared.layer(readers[0].name)
    return lambda y: layer([y], quantized=False)


def _slope(function: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """How much a shift of y moves the function's result, everywhere in y; 0 where it has no slope."""
    step = 0.01 * float(y.std()) + torch.finfo(y.dtype).eps
    return _finite((function(y + step) - function(y - step)) / (2 * step))


def _finite(y: Tensor) -> Tensor:
    """Zero where y is not finite: the logarithm of what is only rounded below zero."""
    return y.nan_to_num(0, 0, 0)


def _by_channel(y: Tensor, axis: int) -> Tensor:
    """The mean of each channel of each image, [N, C]."""
    y = y.movedim(axis, 1).double()
    return y.mean(list(range(2, y.dim()))) if y.dim() > 2 else y


def certain(found: Tensor) -> Tensor:
    """What is certain of the mean of each column of [N, C]: the means, shrunk by what chance alone would make of them.

        m[c] * t / (t + v[c]),  v[c] the variance of a mean of N rows,  t = max(mean of m**2 - mean of v, 0)
    This is the posterior mean where the true means come from a normal distribution of variance t, which is estimated from
    all the columns (empirical Bayes; Efron & Morris 1973, "Stein's Estimation Rule and Its Competitors").
    """
    mean = found.mean(0)
    if len(found) < 2:
        return mean
    variance = found.var(0) / len(found)
    spread = (mean.square().mean() - variance.mean()).clamp_min(0)
    return mean * (spread / (spread + variance).clamp_min(torch.finfo(mean.dtype).tiny))


def _expected(prepared: PreparedModel, node: Node) -> Tensor | None:
    """The mean of each channel that a node reads, if it is that of a batch norm's result, pooled perhaps; else None."""
    name = source(node)
    while name not in prepared.graph.inputs and float_op(prepared.graph[name]).keeps_mean:
        before = source(prepared.graph[name])
        if prepared.graph.values[before].channels != prepared.graph.values[name].channels:
            return None  # a reshape that mixes channels with places
        name = before
    expected = None if name in prepared.graph.inputs else data_free.mean(prepared.layer(name))
    inputs = node.tensors["weight"].shape[1] * node.attrs.get("groups", 1)
    return expected if expected is not None and len(expected) == inputs else None
