"""The table from ATen ops (functional, as `run_decompositions` or `made_functional` leaves them) to the builder's methods.

A mapping reads the arguments as ATen means them: defaults, signs of axes, the batch axis. The rest is the builder's.
"""

from typing import Any

import numpy as np

from bitwright.capture.aten import displaced
from bitwright.capture.aten.arguments import Mapping, args
from bitwright.capture.aten.displaced import anywhere
from bitwright.capture.aten.layers import (
    adaptive_avg_pool2d,
    avg_pool2d,
    batch_norm,
    conv2d,
    linear,
    max_pool2d,
    mean,
    native_batch_norm,
    uneven_avg_pool2d,
    uneven_max_pool2d,
)
from bitwright.capture.aten.moves import (
    chunk,
    concat,
    expand,
    flip,
    index,
    index_select,
    pad,
    permute,
    reshape,
    select,
    slice_,
    split,
    transpose,
    unbind,
)
from bitwright.capture.aten.pointwise import (
    add,
    clamp,
    clamp_max,
    clamp_min,
    clamp_to,
    glu,
    hardtanh,
    neg,
    of_two,
    rsub,
    sub,
)
from bitwright.capture.draft import Constant, Unmapped
from bitwright.capture.program import Fx, Program
from bitwright.errors import PluginError
from bitwright.ops.functions import FUNCTIONS
from bitwright.registry import Registry


def group_norm(p: Program, fx: Fx) -> str:
    x, groups, weight, bias, eps, _ = args(fx, None, None, 1e-5, True)
    return p.builder.group_norm(p.operand(x), groups, p.optional(weight), p.optional(bias), float(eps))


def instance_norm(p: Program, fx: Fx) -> str:
    """A group norm of one channel a group; a batch norm where it has kept statistics and uses them."""
    x, weight, bias, mean, var, of_the_input, _, eps, _ = args(fx)
    learned = p.optional(weight), p.optional(bias)
    if of_the_input:
        return p.builder.group_norm(p.operand(x), None, *learned, float(eps))
    return p.builder.batch_norm(p.operand(x), *learned, p.operand(mean), p.operand(var), float(eps))


def layer_norm(p: Program, fx: Fx) -> str:
    x, sizes, weight, bias, eps, _ = args(fx, None, None, 1e-5, True)
    return p.builder.layer_norm(p.operand(x), len(sizes), p.optional(weight), p.optional(bias), float(eps))


def attention(p: Program, fx: Fx) -> str:
    query, key, value, mask, dropout, causal, scale, shares_heads = args(fx, None, 0.0, False, None, False)
    wrong = {
        "a mask": mask is not None and not _hides_nothing(p, mask),
        "dropout": dropout > 0,
        "is_causal": causal,
        "enable_gqa": shares_heads,
    }
    if any(wrong.values()):
        raise Unmapped(f"an attention with {' and '.join(name for name, is_so in wrong.items() if is_so)}")
    return p.builder.attention(_tokens(p, query), _tokens(p, key), _tokens(p, value), scale)


def _hides_nothing(p: Program, mask: Any) -> bool:
    """Whether a mask is there that lets every query see every key: all true, or zeros that are added to scores."""
    found = p.operand(mask)
    if not isinstance(found, Constant):
        return False
    return bool(found.array.all() if found.array.dtype == np.bool_ else not found.array.any())


def _tokens(p: Program, fx: Any) -> str:
    """A value, or a constant that is repeated for each image."""
    found = p.operand(fx)
    return found if isinstance(found, str) else p.builder.constant_value(found, p.shape(fx), len(p.shape(fx)) - 1)


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
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze.default",
)
FREE = (expand, same, getitem, batch_size)

OURS: dict[str, Mapping] = {
    **{f"aten.{name}": anywhere(reshape, displaced.reshape) for name in RESHAPES},
    "aten.conv2d.default": conv2d,
    "aten.conv2d.padding": conv2d,
    "aten.linear.default": anywhere(linear, displaced.linear),
    "aten.batch_norm.default": batch_norm,
    "aten._native_batch_norm_legit_no_training.default": native_batch_norm,
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
    "aten.neg.default": neg,
    "aten.mul.Tensor": of_two("mul"),
    "aten.mul.Scalar": of_two("mul"),
    "aten.glu.default": glu,
    "aten.div.Tensor": of_two("div"),
    "aten.div.Scalar": of_two("div"),
    "aten.maximum.default": of_two("maximum"),
    "aten.minimum.default": of_two("minimum"),
    "aten.cat.default": concat,
    "aten.max_pool2d.default": max_pool2d,
    "aten.avg_pool2d.default": avg_pool2d,
    "aten.adaptive_avg_pool2d.default": adaptive_avg_pool2d,
    "bitwright.max_pool2d.default": uneven_max_pool2d,
    "bitwright.avg_pool2d.default": uneven_avg_pool2d,
    "aten.mean.dim": mean,
    "aten.permute.default": anywhere(permute, displaced.permute),
    "aten.transpose.int": anywhere(transpose, displaced.transpose),
    "aten.slice.Tensor": slice_,
    "aten.select.int": anywhere(select, displaced.select),
    "aten.unbind.int": anywhere(unbind, displaced.unbind),
    "aten.split.Tensor": split,
    "aten.split_with_sizes.default": split,
    "aten.chunk.default": chunk,
    "aten.pad.default": pad,
    "aten.flip.default": flip,
    "aten.index.Tensor": index,
    "aten.index_select.default": index_select,
    "aten.clone.default": same,
    "aten.contiguous.default": same,
    "aten.alias.default": same,
    "aten.detach.default": same,
    "aten.dropout.default": same,
    "aten.dropout_.default": same,
    "aten._to_copy.default": to_copy,
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
