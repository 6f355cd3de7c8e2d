"""Scales for the channels of tokens: the part of `equalize` that is for transformers.

    y[c] *= s[c], undone in every reader,    s[c] = 2**(floor(8 * p * log2(max |y| / max |y[c]|)) / 8)

| y | undone in | p |
| --- | --- | --- |
| what a linear layer adds to a stream that norms read | the norms' factors for that summand | 1 |
| what a linear layer writes for a function of one number (GELU) | the function, then one table for each channel | 1 |
| such a function | the columns of the linear layers that read it | 1/2 |
| a layer norm | the columns of the linear layers that read it | 1 |

Factors cost a stream and a table no precision, so they take all of s, and s need not be a power of two; an eighth of an octave
leaves hardly anything of 8 bits unused. Columns of weights lose what activations gain. A norm's channels differ by its gain,
which rows of weights see anyway, so that here the columns become alike; RepQ-ViT does that, too.
Li et al. 2023, "RepQ-ViT: Scale Reparameterization for Post-Training Quantization of Vision Transformers".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bitwright.algorithms.correction.channels import (
    LARGEST,
    commutes,
    reading,
    rescale,
    scaled_with,
    takes_factors,
    weighs,
)
from bitwright.graph import Node
from bitwright.ops import float_op
from bitwright.prepared import PreparedModel

STEPS = 8
"""Scales in an octave."""


@dataclass(frozen=True)
class Move:
    """A value whose channels can be scaled, and how much of what they differ by."""

    name: str
    share: float


def moves(prepared: PreparedModel) -> Iterator[Move]:
    """Every value over tokens whose channels can be scaled."""
    for node in prepared.graph.nodes:
        if not prepared.graph.values[node.name].channel or node.name in prepared.graph.outputs:
            continue
        readers = reading(prepared, node.name)
        if not readers or not commutes(node):
            continue
        weighing = all(weighs(prepared, *reader) for reader in readers)
        absorbing = all(takes_factors(prepared.layer(r.name)) and node.name in r.inputs for r, _ in readers)
        if absorbing and _is_linear(node):
            yield Move(node.name, 1.0)
        elif weighing and "writes" in prepared.layer(node.name).names:
            yield Move(node.name, 0.5)
        elif weighing and float_op(node).smoothable and not float_op(node).weighted:
            yield Move(node.name, 1.0)


def _is_linear(node: Node) -> bool:
    """Whether it has a weight and adds nothing else, so that its rows can be scaled."""
    return float_op(node).weighted and len(node.inputs) == 1


@torch.no_grad()
def apply(prepared: PreparedModel, move: Move, size: Tensor) -> None:
    """Scale the channels of a value, given the greatest |y| of each channel in the original model."""
    ratio = (size.max() / size.clamp_min(1e-20)).clamp(1, LARGEST)
    scale = torch.exp2(torch.floor(torch.log2(ratio) * move.share * STEPS) / STEPS)
    rescale(prepared.layer(move.name), scaled_with(prepared, move.name), scale)
