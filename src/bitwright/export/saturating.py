"""What a processor without VNNI makes of an exported model, computed in NumPy on whatever processor.

There `vpmaddubsw` multiplies unsigned codes and signed weights: it adds up each two neighbouring products in int16, and what
does not fit saturates (ONNX Runtime's kernels for AVX2, and for AVX-512 without VNNI):

    acc = sum over pairs of clip(x_0 w_0 + x_1 w_1, -32768, 32767) - zero_point * sum w         x codes, w of 8 bits

Neighbours are input channels of one tap. Runtimes choose such kernels by the processor, and cannot be told to use them on
another one. What they compute otherwise does not saturate: layers with a residual and those that read an image with several
zero points, in float32, and depthwise ones, in int32.
"""

import numpy as np
import numpy.typing as npt

from bitwright.graph import Graph, Node, Value
from bitwright.ops import epilogue, integer_op, window
from bitwright.ops.op import Array, codes_of
from bitwright.walk import compute

LOWEST, HIGHEST = -32768, 32767
Integers = npt.NDArray[np.int64]


def saturated_logits(graph: Graph, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The logits [N, outputs] of an integer graph for images [N, H, W, C], one image at a time."""

    def run(node: Node, xs: list[Array]) -> Array:
        inputs, output = graph.inputs_of(node), graph.values[node.name]
        if not saturates(node, inputs):
            return integer_op(node).run(node, xs, inputs, output)
        acc = _accumulators(node, xs[0], inputs[0], output)
        return epilogue.per_channel(acc.astype(np.float64), node, output)

    planes = pixels.transpose(0, 3, 1, 2)
    parts = [compute(graph, {graph.input: planes[i : i + 1]}, run) for i in range(len(pixels))]
    return np.concatenate(parts)


def saturates(node: Node, inputs: list[Value]) -> bool:
    """Whether a runtime multiplies codes by this node's weight in pairs."""
    weight = node.tensors.get("weight")
    if weight is None or len(inputs) > 1 or weight[0, :].shape[0] == 1 or node.tensors["m"].ndim > 1:
        return False
    type_ = codes_of(inputs[0])
    return type_.step == 1 and len(set(np.atleast_1d(type_.zero_point).tolist())) == 1


def _accumulators(node: Node, x: Array, value: Value, output: Value) -> Integers:
    """acc of every output, int64 [1, O, H, W] or [1, ..., O]."""
    weight = node.tensors["weight"].astype(np.int64)
    zero = int(np.atleast_1d(codes_of(value).zero_point)[0])
    codes = x.astype(np.int64)
    if weight.ndim == 2:
        acc = products(weight, codes.reshape(-1, codes.shape[-1]).T)
        whole: Integers = acc - zero * weight.sum(1)[:, None]
        return whole.T.reshape(*codes.shape[:-1], len(weight))
    groups, (_, *kernel), size = node.attrs["groups"], weight.shape[1:], output.shape[1:]
    padded = window.pad(codes, node.attrs["padding"], zero)
    taps = (kernel[0], kernel[1]), (size[0], size[1])
    found = window.columns(padded, *taps, node.attrs["stride"], node.attrs["dilation"])
    found = found.reshape(groups, weight.shape[1], kernel[0] * kernel[1], -1).swapaxes(1, 2)
    columns = found.reshape(groups, weight[0].size, -1)
    turned = weight.reshape(groups, -1, weight.shape[1], kernel[0] * kernel[1]).swapaxes(2, 3)
    rows = turned.reshape(groups, -1, weight[0].size)
    parts = [products(w, c) - zero * w.sum(1)[:, None] for w, c in zip(rows, columns, strict=True)]
    return np.concatenate(parts).reshape(1, *output.shape)


def products(weight: Integers, codes: Integers) -> Integers:
    """weight [O, K] times codes [K, M], with the sums of neighbouring products saturated to int16."""
    if len(codes) % 2:
        weight, codes = np.pad(weight, ((0, 0), (0, 1))), np.pad(codes, ((0, 1), (0, 0)))
    exact = (weight.astype(np.float64) @ codes.astype(np.float64)).astype(np.int64)
    first, second = weight[:, 0::2], weight[:, 1::2]
    most = 255 * (np.maximum(first, 0) + np.maximum(second, 0))
    least = 255 * (np.minimum(first, 0) + np.minimum(second, 0))
    may = (most > HIGHEST) | (least < LOWEST)
    for o in np.flatnonzero(may.any(1)):
        pairs = np.flatnonzero(may[o])
        sums = first[o, pairs, None] * codes[2 * pairs] + second[o, pairs, None] * codes[2 * pairs + 1]
        exact[o] -= (sums - np.clip(sums, LOWEST, HIGHEST)).sum(0)
    return exact
