"""Planes in another size, as ONNX spells it: resizing, and convolutions that are transposed."""

import math

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.onnx.call import Call, Unread, rank_of

MOST = 2**16
"""Numbers of a matrix that resizes one axis."""


def resize(call: Call) -> Tensor:
    """Rows and columns one after another, each by the matrix that ONNX's own evaluator gives for the call's attributes."""
    x, sizes, scales = call.tensor(0), call.sizes(3), _scales(call)
    axes = rank_of(x, call.attr("axes", range(x.dim())))
    if call.attr("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise Unread("tf_crop_and_resize")
    if call.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unread(f"the policy {call.attr('keep_aspect_ratio_policy')}; only 'stretch' is known")
    if len(scales or sizes or ()) != len(axes):
        raise Unread(f"expected a scale or a size for each of {len(axes)} axes, found {scales or sizes}")
    for place, axis in enumerate(axes):
        if axis == 0:
            if (scales and scales[place] != 1) or (sizes and sizes[place] not in (call.batch, x.shape[0])):
                raise Unread("another number of images")
            continue
        have = int(x.shape[axis])
        factor = scales[place] if scales else None
        out = int(sizes[place]) if factor is None else math.floor(have * factor)
        if out != have or factor not in (None, 1):
            x = _mixed(x, axis, _resizing(call, have, out, factor))
    return x


def _scales(call: Call) -> list[float]:
    """The operand with one factor for each axis; none where it is left out, or empty."""
    found = call.operand(2)
    if found is None:
        return []
    if not isinstance(found, np.ndarray):
        raise Unread("its scales are computed from the image")
    return [float(scale) for scale in found.reshape(-1)]


def _resizing(call: Call, size: int, out: int, factor: float | None) -> npt.NDArray[np.float32]:
    """[out, size]: what becomes of each number of a line by itself."""
    if not 0 < out * size <= MOST:
        raise Unread(f"a line of {size} numbers made one of {out}; expected at most {MOST} for both together")
    names = ("coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value", "mode")
    attrs = {name: call.attr(name) for name in (*names, "nearest_mode", "antialias") if call.attr(name) is not None}
    last = ["x", "", "", "to"] if factor is None else ["x", "", "to"]
    to = np.array([size, out]) if factor is None else np.array([1, factor], np.float32)
    node = onnx.helper.make_node("Resize", last, ["y"], **attrs)
    value, shape = onnx.helper.make_tensor_value_info, [size, size]
    graph = onnx.helper.make_graph([node], "line", [value("x", 1, shape)], [value("y", 1, None)])
    graph.initializer.append(onnx.numpy_helper.from_array(to, "to"))
    opset = [onnx.helper.make_opsetid("", max(call.opset, 19))]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opset))
    (found,) = evaluator.run(None, {"x": np.eye(size, dtype=np.float32)})
    return np.asarray(found, np.float32).T


def _mixed(x: Tensor, axis: int, matrix: npt.NDArray[np.float32]) -> Tensor:
    """The numbers along an axis by a matrix: picked where it only picks."""
    if ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(1) == 1).all():
        return x.index_select(axis, torch.from_numpy(matrix.argmax(1)))
    moved = F.linear(x.transpose(axis, -1), torch.from_numpy(matrix))
    return moved.transpose(axis, -1)


def conv_transpose(call: Call) -> Tensor:
    """PyTorch's without padding, which it has for both ends alike: what is too much is cut off, zeros fill what lacks."""
    x, weight, bias = call.tensor(0), call.tensor(1), call.optional(2)
    axes = x.dim() - 2
    if axes not in (1, 2):
        raise Unread(f"a convolution over {axes} axes; only lines, 1, and planes, 2, are known")
    stride, dilation = call.attr("strides", [1] * axes), call.attr("dilations", [1] * axes)
    more, wanted = call.attr("output_padding", [0] * axes), call.attr("output_shape")
    mode = call.attr("auto_pad", "NOTSET")
    pads = call.attr("pads", [0] * 2 * axes) if mode == "NOTSET" else [0] * 2 * axes
    sides = []
    for i in reversed(range(axes)):
        before, after, size = pads[i], pads[i + axes], int(x.shape[2 + i])
        if wanted or mode in ("SAME_UPPER", "SAME_LOWER"):
            reach = (size - 1) * stride[i] + dilation[i] * (int(weight.shape[2 + i]) - 1) + 1 + more[i]
            total = reach - (wanted[-axes:][i] if wanted else size * stride[i])
            before = total // 2 if mode == "SAME_UPPER" else total - total // 2
            after = total - before
        sides += [-before, -after]
    transposed = F.conv_transpose1d if axes == 1 else F.conv_transpose2d
    whole = transposed(x, weight, None, stride, 0, more, call.attr("group", 1), dilation)
    found = F.pad(whole, sides)
    return found if bias is None else found + bias.reshape(-1, *[1] * axes)
