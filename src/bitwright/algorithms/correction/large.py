"""Summands of a stream that have a few channels hundreds of times larger than the rest are written in two parts.

A step that is right for the large ones rounds all other numbers of their channels to nothing, and clipping them leaves nothing
of the model: ViT-Tiny's block 7 adds 568 to one channel of 4 tokens, the sinks of later attention, and around 1 to all others.
`prepared.parts` says how the parts are made. It is no correction: no choice of ranges is worth judging without it.
"""

import torch

from bitwright.algorithms.correction import tokens
from bitwright.algorithms.correction.calibration import batch_of
from bitwright.algorithms.correction.channels import reading
from bitwright.algorithms.correction.extremes import Extremes
from bitwright.algorithms.correction.sample import Picked
from bitwright.ops import float_op
from bitwright.prepared import PreparedModel
from bitwright.prepared.histogram import Histogram
from bitwright.prepared.parts import split

RATIO = 32.0
"""Channels that much larger than the middle one are large: with 8 bits, a step of theirs is an eighth of all of its range."""
FEW = 1 / 8
"""The share of a value's channels that may be large; where there are more, they are no exception."""


def candidates(prepared: PreparedModel) -> list[str]:
    """The values that could be written in two parts: what a linear layer adds to a stream."""
    return [
        move.name
        for move in tokens.moves(prepared)
        if move.name not in prepared.parts
        and move.writers == (move.name,)
        and float_op(prepared.graph[move.name]).weighted
        and all("factors" in prepared.layer(reader.name).names for reader, _ in reading(prepared, move.name))
    ]


def split_large(prepared: PreparedModel, extremes: Extremes) -> set[str]:
    """Write values that have large channels in two parts; the names of all parts, whose ranges are to be observed again."""
    found, largest = set[str](), extremes.largest()
    for name in candidates(prepared):
        size = largest[name]
        large = size > RATIO * size.median()
        if 0 < int(large.sum()) <= FEW * len(size):
            part = split(prepared, name, large)
            extremes.split(name, part, large)
            found |= {name, part}
    return found


@torch.no_grad()
def observe_again(prepared: PreparedModel, names: set[str], images: Picked, extremes: Extremes) -> None:
    """Fill the histograms of these values anew, with these images and the extremes of all."""
    for name in names:
        quantizer = prepared.quantizer(name)
        assert quantizer is not None
        quantizer.histogram = Histogram()
    size = batch_of(images.shape[1:])
    for start in range(0, len(images), size):
        batch = images[slice(start, start + size)].to(prepared.image_scale.device)
        prepared.calibrator.observe(batch, quantizers=names)
    for name in names:
        quantizer = prepared.quantizer(name)
        assert quantizer is not None
        quantizer.histogram.extend(*extremes.ends(name, torch.ones(1)))
