"""The image as a graph reads it: the type of its codes, and a float graph that reads its bits in place of its pixels.

    pixel (real) of channel c = residue[c] + sum over k of scale[c, k] * (bit[c, k] - zero[c, k])
where zero are the bits of the pixel nearest to real zero, which padding is filled with, and residue what these stand for.
So a convolution of pixels is one of bits: its weight is repeated over the planes, and the residue, which every tap sees, inside
the image or not, goes into its bias.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitwright.graph import Graph, Node, Value
from bitwright.images.encoders import Pointwise
from bitwright.images.preprocess import Preprocess
from bitwright.ops import float_op
from bitwright.ops.conv2d import per_input
from bitwright.qtensor import QType

Floats = npt.NDArray[np.float64]


def image_type(preprocess: Preprocess) -> QType:
    """The type of what the integer graph reads: pixels or bits, with a scale and a zero point per channel."""
    scale, offset = preprocess.affine()
    zero = preprocess.zero_point()
    encoder = preprocess.bits
    if encoder is None:
        return QType("uint8", _floats(scale), _ints(zero), _floats(scale * zero + offset))
    scales = scale[:, None] * np.array(encoder.weights)
    return QType("bit", _floats(scales), _ints(encoder.of_levels(zero)), (0.0,) * scales.size)


def code_affine(preprocess: Preprocess) -> tuple[Floats, Floats]:
    """(scale, offset) of pixels or planes, float64 [C] each, with real = scale * code + offset."""
    if preprocess.bits is None:
        return preprocess.affine()
    type_ = image_type(preprocess)
    scale = np.array(type_.scale)
    return scale, -scale * np.array(type_.zero_point)


def read_bits(graph: Graph, preprocess: Preprocess) -> Graph:
    """The float graph that reads the planes of the preprocessing's encoder; the same graph where there is none.

    Where another op than a convolution reads the image, a convolution of 1 x 1 that adds up each channel's planes comes first.
    """
    encoder = preprocess.bits
    if encoder is None:
        return graph
    graph = _read_by_convolutions(graph, preprocess.channels)
    scale, offset = preprocess.affine()
    residue = scale * encoder.decode(encoder.of_levels(preprocess.zero_point())) + offset
    nodes = [_expanded(node, encoder.planes, residue) if graph.input in node.inputs else node for node in graph.nodes]
    return replace(graph, nodes=tuple(nodes), values={**graph.values, graph.input: Value(preprocess.codes_shape)})


def encode(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """What the integer graph reads of pixels [N, C, H, W], whole numbers in float32: themselves, or their bits."""
    encoder = preprocess.bits
    if encoder is None:
        return pixels
    if isinstance(encoder, Pointwise):
        table = torch.from_numpy(encoder.table).to(pixels.device)
        return table[pixels.long()].movedim(-1, 2).flatten(1, 2).float()
    pictures = pixels.detach().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
    return torch.from_numpy(encoder.encode(pictures)).to(pixels).permute(0, 3, 1, 2).contiguous()


def _read_by_convolutions(graph: Graph, channels: int) -> Graph:
    image = graph.input
    if all(float_op(node).folds_image for node in graph.nodes if image in node.inputs):
        return graph
    name = f"{image}.pixels"
    while name in graph.values:
        name += "_"
    one = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": channels}
    pixels = Node(name, "conv2d", (image,), one, {"weight": np.ones((channels, 1, 1, 1), np.float32)})
    nodes = [
        node
        if float_op(node).folds_image
        else replace(node, inputs=tuple(name if value == image else value for value in node.inputs))
        for node in graph.nodes
    ]
    return replace(graph, nodes=(pixels, *nodes), values={**graph.values, name: graph.values[image]})


def _expanded(node: Node, planes: int, residue: Floats) -> Node:
    weight = np.asarray(node.tensors["weight"])
    seen = per_input(residue, len(weight), node.attrs["groups"]) * weight.astype(np.float64)
    bias = seen.sum(axis=(1, 2, 3)) + node.tensors.get("bias", 0.0)
    expanded = {"weight": np.repeat(weight, planes, axis=1), "bias": bias.astype(np.float32)}
    return replace(node, tensors={**node.tensors, **expanded})


def _floats(array: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in array.reshape(-1))


def _ints(array: npt.NDArray[np.integer]) -> tuple[int, ...]:
    return tuple(int(v) for v in array.reshape(-1))
