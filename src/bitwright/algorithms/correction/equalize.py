"""`equalize`: give small channels more of the codes, by scaling a layer's channels up and the next layer's weights down.

    y_A[c] *= s[c],  W_B[:, c] /= s[c],   s[c] = (max |y_A| / grown |y_A[c]|)**p, at least 1, down to a power of 2**(1/4)
A and B are convolutions, linear layers or batch norms. p is 1 where B is depthwise or a batch norm, whose scale per channel
takes all of it, and 1/2 where B mixes channels, so that B's small columns keep half of their precision; `grown` is what
|y_A[c]| may be on more images than were seen (`extremes.py`). Relu and clamps commute with s because a scaled channel stays
below the greatest one.
Layers that residual connections add up share s, and max |y_A[c]| is over all of them: the stream of a residual network has few
large channels and many small ones, and every block reads it.
A second run starts from the first one's scales. Channels of tokens have rules of their own: see `tokens.py`, and `heads.py` for
queries, keys and values.
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1, with the ranges
of activations in place of those of weights (Meller et al. 2019, "Same, Same But Different").
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction import data_free, heads, tokens
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.channels import (
    LARGEST,
    commutes,
    is_channelwise,
    reading,
    rescale,
    scaled_with,
    steps_down,
    weighs,
)
from bitwright.algorithms.correction.correction import Correction
from bitwright.graph import Node
from bitwright.ops import float_op, operand, source
from bitwright.prepared import PreparedModel


class Equalize(Correction):
    name = "equalize"
    before_ranges = True
    quick = True
    most_images = 0  # the channels' sizes are known from all images

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        for names in _groups(prepared):
            sizes = torch.stack([calibration.largest[name] for name in names])
            grown = torch.stack([calibration.largest[name] * calibration.growth[name] for name in names])
            _equalize(prepared, names, sizes.amax(0), grown.amax(0))
        for move in tokens.moves(prepared):
            tokens.apply(prepared, move, calibration.largest[move.name])
        for attention in heads.heads(prepared):
            heads.apply(prepared, attention, calibration.largest)
        calibration.progress(1.0)

    def watches(self, prepared: PreparedModel) -> list[str]:
        groups = [name for names in _groups(prepared) for name in names]
        writers = [name for attention in heads.heads(prepared) for name in attention.writers]
        return [*groups, *(move.name for move in tokens.moves(prepared)), *writers]

    @torch.no_grad()
    def apply_without_images(self, prepared: PreparedModel) -> None:
        for name, *others in _groups(prepared):
            layer = prepared.layer(name)
            size = None if others else data_free.largest(layer)
            if size is not None:
                size = size / layer.equalized
                _equalize(prepared, [name], size, size)


def _groups(prepared: PreparedModel) -> list[list[str]]:
    """The layers whose channels can be scaled: each alone, or with all those that residual connections add to it."""
    layers = [node for node in prepared.graph.nodes if float_op(node).weighted or float_op(node).affine]
    read = {node.name: reading(prepared, node.name) for node in layers}
    group_of = {name: [name] for name in read}
    for name, readers in read.items():
        for reader, roles in readers:
            added = roles == {"residual"} and reader.name in group_of
            if added and group_of[reader.name] is not group_of[name]:
                joined = group_of[name] + group_of[reader.name]
                group_of |= dict.fromkeys(joined, joined)
    groups = {id(group): group for group in group_of.values()}.values()
    return [group for group in groups if all(_scales(prepared, name, group, read[name]) for name in group)]


def _scales(prepared: PreparedModel, name: str, group: list[str], readers: list[tuple[Node, set[str]]]) -> bool:
    """Whether a layer of a group can scale its channels, and every reader undo it or add it to what has the same scales."""
    node = prepared.graph[name]
    fixed = name in prepared.graph.outputs or bool(node.attrs.get("constant"))
    bounded = len(group) > 1 and node.attrs.get("clamp", (None, None))[1] is not None
    added, images = operand(node, "residual"), prepared.graph.inputs
    while added is not None and added not in images and float_op(prepared.graph[added]).requantizes:
        added = source(prepared.graph[added])
    return (
        not (fixed or bounded)
        and commutes(node)
        and (added is None or added in group)
        and any(weighs(prepared, *reader) for reader in readers)
        and all(weighs(prepared, reader, roles) or reader.name in group for reader, roles in readers)
    )


def _equalize(prepared: PreparedModel, names: list[str], size: Tensor, grown: Tensor) -> None:
    """Scale the channels of these layers and undo it in their readers; `size`: the greatest |y| of each channel in the
    original model, in any of the layers, and `grown`: what it may be on other images."""
    readers = {name: scaled_with(prepared, name) for name in names}
    ratio = (size.max() / grown.clamp_min(1e-20)).clamp(1, LARGEST)
    channelwise = all(is_channelwise(reader) for of_one in readers.values() for reader in of_one)
    scale = steps_down(ratio if channelwise else ratio.sqrt())
    for name in names:
        rescale(prepared.layer(name), readers[name], scale)
