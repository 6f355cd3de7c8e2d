"""The table from ATen ops (functional, as `run_decompositions` or `made_functional` leaves them) to the builder's methods.

A mapping reads the arguments as ATen means them: defaults, signs of axes, the batch axis. The rest is the builder's.
"""

from typing import Any

import numpy as np

from bitwright.capture.aten import assignments, displaced, layers, moves, pads, pools, reductions
from bitwright.capture.aten.arguments import Mapping, args
from bitwright.capture.aten.displaced import anywhere
from bitwright.capture.aten.idioms import tokens
from bitwright.capture.aten.moves import expand, permute, reshape, transpose
from bitwright.capture.aten.pointwise import (
    add,
    addcmul,
    clamp,
    clamp_max,
    clamp_min,
    clamp_to,
    glu,
    hardtanh,
    lerp,
    masked_fill,
    neg,
    of_two,
    power,
    rsub,
    sub,
    where,
)
from bitwright.capture.aten.scores import as_bias
from bitwright.capture.builder import HIDDEN
from bitwright.capture.draft import Constant, Operand, Unmapped
from bitwright.capture.program import Fx, Program
from bitwright.errors import PluginError
from bitwright.ops.function import Result, Step
from bitwright.ops.functions import FUNCTIONS
from bitwright.qtensor import QType
from bitwright.registry import Registry


def group_norm(p: Program, fx: Fx) -> str:
    x, groups, weight, bias, eps, _ = args(fx, None, None, 1e-5, True)
    return _normed(p, p.value(x), groups, p.optional(weight), p.optional(bias), float(eps))


def _normed(p: Program, x: str, groups: int | None, weight: Operand | None, bias: Operand | None, eps: float) -> str:
    """A group norm; where each image has several planes, of windows or heads, each has groups of its own."""
    shape = p.builder.values[x].shape
    if len(shape) < 4:
        return p.builder.group_norm(x, groups, weight, bias, eps)
    count = shape[0]
    many = p.builder.reshape(x, (count * shape[1], *shape[2:]))
    weight, bias = (None if operand is None else layers.repeated(operand, count) for operand in (weight, bias))
    found = p.builder.group_norm(many, None if groups is None else count * groups, weight, bias, eps)
    return p.builder.reshape(found, shape)


def instance_norm(p: Program, fx: Fx) -> str:
    """A group norm of one channel a group; a batch norm where it has kept statistics and uses them."""
    x, weight, bias, mean, var, of_the_input, _, eps, _ = args(fx)
    learned = p.optional(weight), p.optional(bias)
    if of_the_input:
        return _normed(p, p.value(x), None, *learned, float(eps))
    return p.builder.batch_norm(p.operand(x), *learned, p.operand(mean), p.operand(var), float(eps), p.axis(x, 1))


def layer_norm(p: Program, fx: Fx) -> str:
    x, sizes, weight, bias, eps, _ = args(fx, None, None, 1e-5, True)
    return p.builder.layer_norm(p.operand(x), len(sizes), p.optional(weight), p.optional(bias), float(eps))


def attention(p: Program, fx: Fx) -> str:
    query, key, value, mask, dropout, causal, scale, shares_heads = args(fx, None, 0.0, False, None, False)
    if dropout > 0:
        raise Unmapped("an attention with dropout")
    of_values = isinstance(mask, Fx) and not isinstance(p.operand(mask), Constant)
    bias = None if mask is None or of_values else as_bias(p, fx, mask)
    if causal:
        count = [x.meta["val"].shape[-2] for x in (query, key)]
        bias = np.where(np.tri(*count) > 0, 0.0, HIDDEN)[None]
    q, k, v = (tokens(p, x) for x in (query, key, value))
    if shares_heads:  # each head of k and v serves as many of q
        k, v = (_for_each_head(p, x, p.builder.values[q].shape[0]) for x in (k, v))
    if of_values:
        return _with_scores_of(p, q, k, v, p.value(mask), scale)
    return p.builder.attention(q, k, v, scale, bias)


def _with_scores_of(p: Program, q: str, k: str, v: str, mask: str, scale: float | None) -> str:
    """An attention whose scores have something computed added to them, op by op."""
    *heads, count, width = p.builder.values[q].shape
    last = len(heads) + 1
    scores = p.builder.matmul(q, p.builder.transpose(k, last - 1, last))
    scaled = p.builder.mul(scores, width**-0.5 if scale is None else scale)
    shape = (*heads, count, p.builder.size_of(k, last - 1))
    return p.builder.matmul(p.builder.softmax(p.builder.add(scaled, p.builder.broadcast(mask, shape)), last), v)


def _for_each_head(p: Program, x: str, heads: int) -> str:
    own = p.builder.size_of(x, 0)
    return p.builder.index_select(x, 0, [head * own // heads for head in range(heads)])


def given(p: Program, fx: Fx) -> str:
    """A rounding of `capture/onnx/codes.py`: a clamp with the type of the codes."""
    x, scheme, scale, zero_point, lo, hi = args(fx)
    return p.builder.given(p.operand(x), QType(scheme, scale, zero_point), lo, hi)


def lookup(p: Program, fx: Fx) -> str:
    x, table, *types = args(fx)
    return p.builder.function(p.operand(x), [Step("lookup", (Result(0), tuple(table), *types))])


def same(p: Program, fx: Fx) -> Any:
    """An op that changes no number: a copy, or dropout outside training."""
    return p.env[fx.args[0]]  # type: ignore[index]


def to_copy(p: Program, fx: Fx) -> Any:
    if not fx.meta["val"].dtype.is_floating_point:
        raise Unmapped(f"a conversion to {fx.meta['val'].dtype}")
    return same(p, fx)


def getitem(p: Program, fx: Fx) -> Any:
    found, place = same(p, fx), fx.args[1]
    if place >= len(found):  # type: ignore[operator]
        raise Unmapped(f"output {place} of {fx.args[0]}")
    return found[place]


def batch_size(p: Program, fx: Fx) -> None:
    """The batch size, or a check: shapes and dtypes are known without it."""


RESHAPES = (
    "view.default",
    "_unsafe_view.default",
    "reshape.default",
    "flatten.using_ints",
    "unflatten.int",
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze.default",
)
FREE = (expand, same, getitem, batch_size)

OURS: dict[str, Mapping] = {
    **{f"aten.{name}": anywhere(reshape, displaced.reshape) for name in RESHAPES},
    "aten.conv2d.default": layers.conv2d,
    "aten.conv2d.padding": layers.conv2d,
    "aten.linear.default": layers.linear,
    "aten.batch_norm.default": layers.batch_norm,
    "aten._native_batch_norm_legit_no_training.default": layers.native_batch_norm,
    "aten.group_norm.default": group_norm,
    "aten.instance_norm.default": instance_norm,
    "aten.layer_norm.default": layer_norm,
    "aten.scaled_dot_product_attention.default": attention,
    "aten.relu.default": clamp(0, None),
    "aten.relu6.default": clamp(0, 6),
    "aten.clamp.default": clamp_to,
    "aten.clamp_min.default": clamp_min,
    "aten.clamp_max.default": clamp_max,
    "aten.hardtanh.default": hardtanh,
    "aten.prelu.default": of_two("prelu"),
    "aten.expand.default": expand,
    "aten.add.Tensor": add,
    "aten.add.Scalar": add,
    "aten.sub.Tensor": sub,
    "aten.sub.Scalar": sub,
    "aten.rsub.Scalar": rsub,
    "aten.rsub.Tensor": rsub,
    "aten.lerp.Scalar": lerp,
    "aten.lerp.Tensor": lerp,
    "aten.neg.default": neg,
    "aten.mul.Tensor": of_two("mul"),
    "aten.mul.Scalar": of_two("mul"),
    "aten.glu.default": glu,
    "aten.pow.Tensor_Tensor": power,
    **{f"aten.where.{form}": where for form in ("self", "ScalarSelf", "ScalarOther", "Scalar")},
    **{f"aten.masked_fill.{form}": masked_fill for form in ("Scalar", "Tensor")},
    "aten.div.Tensor": of_two("div"),
    "aten.div.Scalar": of_two("div"),
    "aten.maximum.default": of_two("maximum"),
    "aten.minimum.default": of_two("minimum"),
    "aten.cat.default": moves.concat,
    "bitwright.given.default": given,
    "bitwright.lookup.default": lookup,
    **pools.POOLS,
    **reductions.REDUCTIONS,
    "aten.avg_pool3d.default": layers.avg_pool3d,
    "aten.conv1d.default": layers.conv1d,
    "aten.conv1d.padding": layers.conv1d,
    "aten.conv_transpose1d.default": layers.conv_transpose1d,
    "aten.conv_transpose2d.input": layers.conv_transpose2d,
    "aten.rms_norm.default": layers.rms_norm,
    "aten.matmul.default": layers.matmul,
    "aten.bmm.default": layers.matmul,
    "aten.mm.default": layers.matmul,
    "aten.einsum.default": layers.matmul,
    **{
        f"aten.{name}.vec": layers.resampled
        for name in ("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
    },
    "aten.upsample_nearest2d.vec": layers.upsample_nearest,
    "aten.upsample_nearest2d.default": layers.upsample_nearest,
    "aten._upsample_nearest_exact2d.vec": layers.upsample_nearest,
    "aten._upsample_nearest_exact2d.default": layers.upsample_nearest,
    "aten.roll.default": moves.roll,
    "aten.stack.default": moves.stack,
    "aten.repeat.default": moves.repeat,
    "aten.repeat_interleave.self_int": moves.repeat_interleave,
    "aten.movedim.int": moves.movedim,
    "aten.movedim.intlist": moves.movedim,
    "aten.pixel_shuffle.default": moves.pixel_shuffle,
    "aten.pixel_unshuffle.default": moves.pixel_unshuffle,
    "aten.channel_shuffle.default": moves.channel_shuffle,
    "aten.unfold.default": moves.unfold,
    "aten.im2col.default": moves.im2col,
    "aten.col2im.default": moves.col2im,
    **{f"aten.{name}.default": moves.filled(0) for name in ("zeros", "new_zeros", "zeros_like")},
    **{f"aten.{name}.default": moves.filled(1) for name in ("ones", "new_ones", "ones_like")},
    **{f"aten.{name}.default": moves.filled(None) for name in ("full", "new_full", "full_like")},
    "aten.constant_pad_nd.default": pads.constant_pad,
    "aten.addcmul.default": addcmul,
    "aten.permute.default": anywhere(permute, displaced.permute),
    "aten.transpose.int": anywhere(transpose, displaced.transpose),
    "aten.slice.Tensor": moves.slice_,
    "aten.select.int": moves.select,
    "aten.slice_scatter.default": assignments.slice_scatter,
    "aten.select_scatter.default": assignments.select_scatter,
    "aten.copy.default": assignments.copied,
    "aten.fill.Tensor": assignments.fill,
    "aten.fill.Scalar": assignments.fill,
    "aten.unbind.int": moves.unbind,
    "aten.split.Tensor": moves.split,
    "aten.split_with_sizes.default": moves.split,
    "aten.chunk.default": moves.chunk,
    "aten.pad.default": pads.pad,
    "aten.flip.default": moves.flip,
    "aten.index.Tensor": moves.index,
    "aten.index_select.default": moves.index_select,
    "aten.clone.default": same,
    "aten.contiguous.default": same,
    "aten.alias.default": same,
    "aten.detach.default": same,
    "aten.dropout.default": same,
    "aten.dropout_.default": same,
    "aten._to_copy.default": to_copy,
    "aten.type_as.default": to_copy,
    "getitem": getitem,
    "aten.sym_size.int": batch_size,
    "aten._assert_tensor_metadata.default": batch_size,
    "mul": batch_size,
    "floordiv": batch_size,
}
ON_CONSTANTS = frozenset(
    (*(f"aten.{name}" for name in RESHAPES), *(name for name, mapping in OURS.items() if mapping in FREE))
)
"""What is mapped for constants as for values: so that a parameter that only changes its shape stays a parameter."""


def _check(name: str, thing: Any) -> Mapping:
    """A mapping from outside, of an op that has none here."""
    if not callable(thing):
        raise PluginError(
            f"the mapping {name!r}: expected a function of a Program and an fx node, found {thing!r:.100}"
        )
    if name.removeprefix("aten.").split(".")[0] in FUNCTIONS:
        raise PluginError(f"the mapping {name!r}: bitwright has this function of one number; give yours another op")
    return thing  # type: ignore[no-any-return]


ATEN: Registry[Mapping] = Registry("mapping", OURS, _check)
"""The table: by op and overload, as `str(fx.target)` spells them."""
