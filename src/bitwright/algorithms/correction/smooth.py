"""`smooth`: move what makes activations hard to round into the weights that read them, channel by channel.

    y[c] *= s[c],  W[:, c] /= s[c]  in every reader,    s[c] = max |w[:, c]|**(1 - p) / max |y[c]|**p * k
where y comes from a convolution, linear layer or batch norm without a residual, which takes s into its own scale and shift,
and w is W with each row divided by its greatest, since rows have scales of their own; s is the nearest power of 2**(1/4). p is
1/2, but 1 where all readers are depthwise or batch norms. k lets the greatest channel keep its size. Behind a clamp at anything
but zero, s is 1 or more and no channel grows beyond the greatest, so that the clamp goes on clipping what it did. Unlike
`equalize`, it weighs the weights, lets several layers read a value, and shrinks channels too. With both in a
recipe, the later one's scales count.
Xiao et al. 2023, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", equation 4.
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.channels import (
    LARGEST,
    commutes,
    is_channelwise,
    nearest_step,
    readers_of,
    rescale,
    steps_down,
)
from bitwright.algorithms.correction.correction import Correction
from bitwright.graph import Node
from bitwright.ops import float_op, operand
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer

TINY = 1e-20


class Smooth(Correction):
    name = "smooth"
    before_ranges = True
    quick = True

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        for node in prepared.graph.nodes:
            if readers := _readers(prepared, node):
                _smooth(prepared.layer(node.name), readers, calibration.largest[node.name])
        calibration.progress(1.0)

    def watches(self, prepared: PreparedModel) -> list[str]:
        return [node.name for node in prepared.graph.nodes if _readers(prepared, node)]


def _readers(prepared: PreparedModel, node: Node) -> list[Layer]:
    """The layers that read a node's channels; none where these cannot be scaled."""
    alone = operand(node, "residual") is None and not node.attrs.get("constant")
    scales = float_op(node).smoothable and alone
    if not scales or not commutes(node) or node.name == prepared.graph.output:
        return []
    return readers_of(prepared, node.name)


def _smooth(layer: Layer, readers: list[Layer], size: Tensor) -> None:
    """Scale `layer`'s channels and undo it in the readers, given the greatest |y| of each channel in the original model."""
    original = size.clamp_min(TINY)
    mixing = [reader for reader in readers if not is_channelwise(reader)]
    share = 0.5 if mixing else 1.0
    weight = torch.ones_like(original)
    if mixing:
        weight = torch.stack([_columns(reader, layer.equalized) for reader in mixing]).amax(0).clamp_min(TINY)
    scale = weight ** (1 - share) / original**share
    scale = scale * original.max() / (scale * original).max()
    bound = original.max() / original
    scale = scale.clamp(1 / LARGEST, LARGEST)
    if any(layer.node.attrs.get("clamp", ())):  # bounds other than zero
        rounded = steps_down(torch.minimum(scale, bound).clamp_min(1.0))
    else:
        rounded = nearest_step(scale)
    rescale(layer, readers, rounded)


def _columns(reader: Layer, equalized: Tensor) -> Tensor:
    """The greatest of each input channel's original weights, in rows divided by their own greatest: [C]."""
    weight = reader.tensors()["weight"]
    sizes = weight.abs().reshape(*weight.shape[:2], -1).amax(-1) * equalized
    return (sizes / sizes.amax(1, keepdim=True).clamp_min(TINY)).amax(0)
