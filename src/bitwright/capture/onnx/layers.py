"""Convolutions, linear layers, norms, pools and attention, as ONNX spells them."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.onnx import windows  # noqa: F401 - registers the pools with uneven padding
from bitwright.capture.onnx.call import Call, Function, Unread, rank_of

Sides = tuple[int, int, int, int]


def conv(call: Call) -> Tensor:
    x, weight = call.tensor(0), call.tensor(1)
    if x.dim() == 3:
        return _line(call, x, weight)
    if x.dim() != 4:
        raise Unread(f"a convolution over {x.dim() - 2} axes; only lines and planes, 1 and 2, are known")
    stride, dilation = call.attr("strides", [1, 1]), call.attr("dilations", [1, 1])
    top, left, bottom, right = sides(call, x, [int(size) for size in weight.shape[2:]], stride, dilation)
    padding = (top, left)
    if (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    bias = call.optional(2)
    bias = bias if bias is None or bias.dim() == 1 else bias.reshape(-1)
    return F.conv2d(x, weight, bias, stride, padding, dilation, call.attr("group", 1))


def _line(call: Call, x: Tensor, weight: Tensor) -> Tensor:
    """A convolution along one axis."""
    (stride,), (dilation,) = call.attr("strides", [1]), call.attr("dilations", [1])
    if call.attr("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unread(f"auto_pad {call.attr('auto_pad')} of a line")
    padded = F.pad(x, call.attr("pads", [0, 0]))
    return F.conv1d(padded, weight, call.optional(2), stride, 0, dilation, call.attr("group", 1))


def sides(call: Call, x: Tensor, kernel: list[int], stride: list[int], dilation: list[int]) -> Sides:
    """The padding of a window, (top, left, bottom, right)."""
    mode = call.attr("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        ends = []
        for size, taps, step, spread in zip(x.shape[2:], kernel, stride, dilation, strict=True):
            total = max(0, (-(-int(size) // step) - 1) * step + spread * (taps - 1) + 1 - int(size))
            ends.append((total // 2, total - total // 2)[:: 1 if mode == "SAME_UPPER" else -1])
        return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
    top, left, bottom, right = call.attr("pads", [0, 0, 0, 0]) if mode == "NOTSET" else (0, 0, 0, 0)
    return top, left, bottom, right


def gemm(call: Call) -> Tensor:
    x, weight = call.tensor(0), call.tensor(1)
    if call.attr("transA", 0):
        raise Unread("transA, the transpose of the images")
    weight = weight if call.attr("transB", 0) else weight.transpose(0, 1)
    alpha, beta = call.attr("alpha", 1.0), call.attr("beta", 1.0)
    bias = call.optional(2)
    if bias is not None:
        if any(size != 1 for size in bias.shape[:-1]):
            raise Unread(f"a bias of {list(bias.shape)}; expected one number for each output")
        bias = bias.reshape(-1) if beta == 1 else bias.reshape(-1) * beta
        bias = bias if len(bias) == len(weight) else bias.expand(len(weight))
    return F.linear(x, weight if alpha == 1 else weight * alpha, bias)


def matmul(call: Call) -> Tensor:
    """A linear layer where the second operand is a matrix of the model's."""
    x, other = call.tensor(0), call.tensor(1)
    if other.dim() == 2:
        return F.linear(x, other.transpose(0, 1))
    return torch.matmul(x, other)


def batch_norm(call: Call) -> Tensor:
    x, gain, shift, mean, var = (call.tensor(i) for i in range(5))
    if call.attr("training_mode", 0):
        raise Unread("training_mode; export the model in eval mode")
    return F.batch_norm(x, mean, var, gain, shift, eps=call.attr("epsilon", 1e-5))


def layer_norm(call: Call) -> Tensor:
    x = call.tensor(0)
    (axis,) = rank_of(x, [call.attr("axis", -1)])
    shape = [int(size) for size in x.shape[axis:]]
    gain, shift = (None if part is None else part.expand(shape) for part in (call.optional(1), call.optional(2)))
    return F.layer_norm(x, shape, gain, shift, call.attr("epsilon", 1e-5))


def instance_norm(call: Call) -> Tensor:
    return F.instance_norm(call.tensor(0), None, None, call.tensor(1), call.tensor(2), eps=call.attr("epsilon", 1e-5))


def group_norm(call: Call) -> Tensor:
    x, gain, shift = call.tensor(0), call.tensor(1).reshape(-1), call.tensor(2).reshape(-1)
    groups, channels = call.attr("num_groups"), int(x.shape[1])
    if gain.numel() == shift.numel() == 1:
        gain, shift = gain.expand(channels), shift.expand(channels)
    elif gain.numel() != channels:  # before opset 21, one for each group
        gain, shift = (part.repeat_interleave(channels // groups) for part in (gain, shift))
    return F.group_norm(x, groups, gain, shift, call.attr("epsilon", 1e-5))


def max_pool(call: Call) -> Tensor:
    if (line := _window_of_line(call)) is not None:
        return F.max_pool1d(call.tensor(0), *line[:4], ceil_mode=line[4])
    x, kernel, stride, dilation, padding = _window(call)
    ceil = bool(call.attr("ceil_mode", 0))
    if padding[:2] == padding[2:] and all(2 * p <= k for p, k in zip(padding[:2], kernel, strict=True)):
        return F.max_pool2d(x, kernel, stride, padding[:2], dilation, ceil_mode=ceil)
    found: Tensor = torch.ops.bitwright.max_pool2d(x, kernel, stride, padding, dilation, ceil)
    return found


def avg_pool(call: Call) -> Tensor:
    if (line := _window_of_line(call)) is not None and line[3] == 1:
        return F.avg_pool1d(call.tensor(0), *line[:3], line[4], bool(call.attr("count_include_pad", 0)))
    x, kernel, stride, dilation, padding = _window(call)
    if dilation != [1, 1]:
        raise Unread(f"means of windows with dilations {dilation}")
    ceil, counts = bool(call.attr("ceil_mode", 0)), bool(call.attr("count_include_pad", 0))
    if padding[:2] == padding[2:] and all(2 * p <= k for p, k in zip(padding[:2], kernel, strict=True)):
        return F.avg_pool2d(x, kernel, stride, padding[:2], ceil, counts)
    found: Tensor = torch.ops.bitwright.avg_pool2d(x, kernel, stride, padding, ceil, counts)
    return found


def lp_pool(call: Call) -> Tensor:
    """The p-norm of each window: of the mean of powers, what lies around the image counted as zeros."""
    x, kernel, stride, dilation, padding = _window(call)
    order = call.attr("p", 2)
    if dilation != [1, 1] or call.attr("ceil_mode", 0) or order < 1:
        raise Unread(f"a norm of order {order} of windows with dilations {dilation}, or rounded up")
    powers = x.abs() if order == 1 else x.abs().pow(order)
    means: Tensor = torch.ops.bitwright.avg_pool2d(powers, kernel, stride, padding, False, True)
    sums = means * math.prod(kernel)
    return sums if order == 1 else sums ** (1 / order)


def _window_of_line(call: Call) -> tuple[int, int, int, int, bool] | None:
    """(kernel, stride, padding, dilation, rounded up) of a pool along one axis; None for any other."""
    kernel = call.attr("kernel_shape", [])
    before, after = call.attr("pads", [0, 0]) if len(kernel) == 1 else (0, 1)
    if call.tensor(0).dim() != 3 or before != after or call.attr("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    (stride,), (dilation,) = call.attr("strides", [1]), call.attr("dilations", [1])
    return kernel[0], stride, before, dilation, bool(call.attr("ceil_mode", 0))


def _window(call: Call) -> tuple[Tensor, list[int], list[int], list[int], list[int]]:
    x, kernel = call.tensor(0), call.attr("kernel_shape", [])
    if x.dim() != 4 or len(kernel) != 2:
        raise Unread(f"a pool of windows {kernel} over {x.dim() - 2} axes; only planes, 2, are known")
    if call.attr("storage_order", 0):
        raise Unread("storage_order")
    stride, dilation = call.attr("strides", [1, 1]), call.attr("dilations", [1, 1])
    return x, kernel, stride, dilation, list(sides(call, x, kernel, stride, dilation))


def softmax(function: Any) -> Function:
    """A softmax; before opset 13 over all axes from one on."""

    def run(call: Call) -> Tensor:
        x = call.tensor(0)
        (axis,) = rank_of(x, [call.attr("axis", -1 if call.opset >= 13 else 1)])
        if call.opset < 13 and axis != x.dim() - 1 and any(int(size) != 1 for size in x.shape[axis + 1 :]):
            raise Unread(f"a softmax over the axes from {axis} on, as opset {call.opset} means it")
        found: Tensor = function(x, axis)
        return found

    return run


def found_linear(call: Call) -> Tensor:
    """`idioms.LINEAR`: a matrix [I, O], or [O, I] with `transB`, and a bias."""
    weight = call.tensor(1) if call.attr("transB") else call.tensor(1).transpose(0, 1)
    return F.linear(call.tensor(0), weight, call.tensor(2).reshape(-1))


def found_norm(call: Call) -> Tensor:
    """`norms.NORM`: gain and shift are optional, over the last axis."""
    x, gain, shift = call.tensor(0), call.optional(1), call.optional(2)
    size = int(x.shape[-1])
    gain, shift = (None if part is None else part.reshape(-1).expand(size) for part in (gain, shift))
    return F.layer_norm(x, [size], gain, shift, call.attr("epsilon"))


def found_attention(call: Call) -> Tensor:
    """`idioms.ATTENTION`: the key comes transposed, as it was multiplied; behind the mask, factors computed from shapes."""
    query, key, value = (call.tensor(i) for i in range(3))
    scale = call.attr("scale") * math.prod(call.number(i) ** p for i, p in enumerate(call.attr("powers"), 4))
    usual = int(query.shape[-1]) ** -0.5  # which files have as the square of a rounded root
    scale = usual if abs(scale / usual - 1) < 1e-6 else scale
    return F.scaled_dot_product_attention(query, key.transpose(-1, -2), value, call.optional(3), scale=scale)


def attention(call: Call) -> Tensor:
    """ONNX's own, of opset 23: of heads [N, heads, T, D], or of tokens [N, T, heads * D]."""
    query, key, value = (call.tensor(i) for i in range(3))
    tokens = query.dim() == 3
    extras = [name for name in ("softcap", "qk_matmul_output_mode") if call.attr(name, 0)]
    extras += [name for name in ("left_window_size", "right_window_size") if call.attr(name, -1) != -1]
    causal, mask = bool(call.attr("is_causal", 0)), call.optional(3)
    if causal and (mask is not None or query.shape[-2] != key.shape[-2]):
        extras.append("is_causal and a mask, or keys that are more than the queries")
    if extras or any(call.operand(i) is not None for i in (4, 5, 6)):
        raise Unread(f"an attention with {', '.join(extras) or 'a past, or lengths of keys'}")
    if tokens:
        counts = [call.attr(name) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
        query, key, value = (
            x.unflatten(2, (count, -1)).transpose(1, 2) for x, count in zip((query, key, value), counts, strict=True)
        )
    shares = query.shape[1] != key.shape[1]
    found = F.scaled_dot_product_attention(
        query, key, value, mask, is_causal=causal, scale=call.attr("scale"), enable_gqa=shares
    )
    return found.transpose(1, 2).flatten(2) if tokens else found
