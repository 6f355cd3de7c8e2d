"""What one code of a weight is worth: by the float weights that it was rounded from, and by an artifact's multipliers."""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Node, Value
from bitwright.ops.epilogue import channel_affine, out_unit
from bitwright.prepared.layer import Layer

Floats = npt.NDArray[np.float64]


def weight_steps(codes: npt.NDArray[np.int8], real: Floats, groups: int) -> Floats:
    """What one code is worth in each channel and group [O * groups], as most of the large weights have it."""
    rows, numbers = codes.reshape(codes.shape[0] * groups, -1).astype(float), real.reshape(len(codes) * groups, -1)
    large = np.abs(rows) >= np.maximum(1, np.abs(rows).max(axis=1, keepdims=True) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(large & (numbers != 0), numbers / rows, np.nan)
    count, ordered = (~np.isnan(ratio)).sum(axis=1), np.sort(ratio, axis=1)  # what is no number comes last
    middle = np.maximum(np.stack([(count - 1) // 2, count // 2], axis=1), 0)
    medians = np.take_along_axis(ordered, middle, axis=1).mean(axis=1)
    steps: Floats = np.abs(np.where(count > 0, medians, 0.0))
    return steps


def gain_and_shift(layer: Layer, channels: int) -> tuple[Floats, Floats]:
    """What the float layer does to its sums of products: times gain, plus shift."""
    tensors = {name: tensor.detach().numpy() for name, tensor in layer.tensors().items()}
    return channel_affine(Node(layer.node.name, layer.node.op, (), layer.node.attrs, tensors), channels)


def stored_steps(layer: Layer, node: Node, x: Value, y: Value) -> Floats:
    """What one code of the weight is worth by the artifact's multipliers, [O * groups]; may be 0 where these are damaged."""
    gain = gain_and_shift(layer, len(node.tensors["m"]))[0]
    scale = 1.0 if x.type is None or x.type.per_channel else x.type.one_scale
    m = node.tensors["m"].astype(np.float64).reshape(len(gain), -1)
    found: Floats = (m * out_unit(y) / np.where(gain == 0, 1.0, gain)[:, None] / scale).reshape(-1)
    return found
