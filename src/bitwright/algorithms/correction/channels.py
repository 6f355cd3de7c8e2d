"""Channels of one layer scaled up and the layers that read them scaled down: what `equalize` and `smooth` share.

Scales are powers of two, so the float model stays as it was, to the bit; `Layer.equalized` remembers them.
"""

from collections.abc import Collection, Iterable

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.graph import INPUT, Node
from bitwright.nn import PreparedModel
from bitwright.nn.layer import Layer

LARGEST = 2.0**12


def largest(
    prepared: PreparedModel, names: Collection[str], calibration: Calibration, most_images: int
) -> dict[str, Tensor]:
    """The greatest |y| of each channel of these float values, as they are now."""
    found: dict[str, Tensor] = {}
    for images in calibration.batches(most_images):
        values = {INPUT: prepared.real_input(images.to(prepared.image_scale.device))}
        for node, done in prepared.steps():
            y = prepared.layer(node.name)([values[name] for name in node.inputs], quantized=False)
            values[node.name] = y
            if node.name in names:
                size = y.abs().amax([axis for axis in range(y.dim()) if axis != prepared.layer(node.name).axis])
                found[node.name] = torch.maximum(size, found.get(node.name, size))
            for name in done:
                del values[name]
    return found


def commutes(node: Node) -> bool:
    """Whether a node's clamp clips the same values when channels grow, though none beyond the greatest one.

    It does at zero, in [0, hi] and in [-hi, hi], where a channel that is clipped is a greatest one; elsewhere it may not.
    """
    lo, hi = node.attrs.get("clamp", (None, None))
    return (not lo and not hi) or (hi is not None and lo is not None and lo in (0, -hi))


def is_depthwise(reader: Layer) -> bool:
    """Whether each channel it reads has output channels, and so scales, of its own."""
    return bool(reader.node.attrs.get("groups", 1) > 1)


def rescale(layer: Layer, readers: Iterable[Layer], scale: Tensor) -> None:
    """Let the channels of `layer` be `scale` [C] times those of the original model, and undo it in the readers."""
    factor = scale / layer.equalized
    layer.equalized.copy_(scale)
    tensors = layer.tensors()
    for name in ("bn_weight", "bn_bias") if "bn_weight" in tensors else ("weight", "bias"):
        if name in tensors:
            tensors[name].mul_(factor.reshape(-1, *(1,) * (tensors[name].dim() - 1)))
    for reader in readers:
        weight = reader.tensors()["weight"]
        if is_depthwise(reader):
            weight.div_(factor.repeat_interleave(len(weight) // len(factor)).reshape(-1, 1, 1, 1))
        else:
            weight.div_(factor.reshape(1, -1, *(1,) * (weight.dim() - 2)))
