"""Which power of two a channel was scaled by, where its own multiplier may be damaged.

Three witnesses say it: the multiplier, the bias, which was scaled alike, and whoever reads the channel, whose weights were
scaled back. Where one of them differs from the others, that one is damaged.
"""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Graph, Node
from bitwright.ops.epilogue import channel_affine, out_unit
from bitwright.prepared.layer import Layer

Floats = npt.NDArray[np.float64]
CODES = 8.0
"""A bias of fewer codes tells no factor: what a correction adds may be as much."""
NEAR, CLEAN = 0.15, 0.03
"""How far from a power of two, in octaves, the ratio of two biases may be; and where nobody else tells."""
FEWEST = 7
"""The greatest code of weights, at least, where single weights tell a factor of two."""


def by_bias(layer: Layer, node: Node, graph: Graph, factor: Floats) -> Floats:
    """The octaves [O] by which biases were scaled more than by `factor`; nan where one does not tell."""
    y = graph.values[node.name]
    if y.type is None:
        return np.full(len(factor), np.nan)
    tensors = {name: tensor.detach().numpy() for name, tensor in layer.tensors().items()}
    _, shift = channel_affine(Node(node.name, layer.node.op, (), layer.node.attrs, tensors), len(factor))
    stored, wanted = node.tensors["b"].astype(np.float64) - y.type.one_shift, shift * factor / out_unit(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.log2(stored / wanted)
    said = np.isfinite(octaves) & (np.minimum(np.abs(stored), np.abs(wanted)) >= CODES)
    found: Floats = np.where(said, octaves, np.nan)
    return found


def whole(octaves: Floats, most: float) -> Floats:
    """The whole octaves, as far as they are near one; else nan."""
    near = np.rint(octaves)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(np.abs(octaves - near) <= most, near, np.nan)
    return found


def common(octaves: Floats) -> float:
    """What most channels that tell anything agree on; 0 where they do not."""
    near = whole(octaves, NEAR)
    values, counts = np.unique(near[~np.isnan(near)], return_counts=True)
    agree = 2 * counts > (~np.isnan(octaves)).sum()
    return float(values[agree][0]) if agree.any() else 0.0


def overruled(octaves: Floats, read: Floats, doubted: npt.NDArray[np.bool_]) -> Floats:
    """The octaves to add to what the multipliers [O] say, by the biases' and the readers', nan where one does not tell.

    Both have to agree; where only one of them tells, that has to be clear. Biases alone are clear only where most of those
    that are `doubted` are near a power of two: a correction moves them, too, and some by as much as that.
    """
    by_bias, clear = whole(octaves, NEAR), whole(octaves, CLEAN)
    told = doubted & ~np.isnan(octaves)
    if 2 * (~np.isnan(by_bias[told])).sum() <= told.sum():
        clear = np.full(len(octaves), np.nan)
    found = np.where(by_bias == read, by_bias, 0.0)
    found = np.where(np.isnan(read) & ~np.isnan(clear), clear, found)
    return np.where(np.isnan(octaves) & ~np.isnan(read), read, found)


def by_columns(codes: npt.NDArray[np.int8], real: Floats, steps: Floats, doubted: npt.NDArray[np.bool_]) -> Floats:
    """The octaves by which doubted channels of a dense weight [O, I, ...] are smaller than their codes; nan elsewhere."""
    found = np.full(codes.shape[1], np.nan)
    stands_for = codes * steps.reshape(-1, *(1,) * (codes.ndim - 1))
    for channel in np.flatnonzero(doubted):
        a, b = stands_for[:, channel].reshape(-1), real[:, channel].reshape(-1)
        large = (np.abs(a) >= np.abs(a).max(initial=0.0) / 2) & (a != 0) & (b != 0)
        if large.sum() >= 2:
            found[channel] = np.median(np.log2(np.abs(b[large] / a[large])))
    return whole(found, NEAR)
