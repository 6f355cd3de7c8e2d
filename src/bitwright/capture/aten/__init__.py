"""The table from ATen ops (functional, as `run_decompositions({})` leaves them) to what the builder calls them.

A mapping reads the arguments as ATen means them: defaults, signs of axes, the batch axis. The rest is the builder's.
"""

from typing import Any

from bitwright.capture.aten.arguments import Mapping, args
from bitwright.capture.aten.layers import adaptive_avg_pool2d, avg_pool2d, batch_norm, conv2d, linear, max_pool2d, mean
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
from bitwright.capture.draft import Unmapped
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


OURS: dict[str, Mapping] = {
    "aten.conv2d.default": conv2d,
    "aten.conv2d.padding": conv2d,
    "aten.linear.default": linear,
    "aten._native_batch_norm_legit_no_training.default": batch_norm,
    "aten.group_norm.default": group_norm,
    "aten.instance_norm.default": instance_norm,
    "aten.layer_norm.default": layer_norm,
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
    "aten.mean.dim": mean,
    "aten.view.default": reshape,
    "aten._unsafe_view.default": reshape,
    "aten.reshape.default": reshape,
    "aten.flatten.using_ints": reshape,
    "aten.squeeze.dim": reshape,
    "aten.squeeze.dims": reshape,
    "aten.unsqueeze.default": reshape,
    "aten.permute.default": permute,
    "aten.transpose.int": transpose,
    "aten.slice.Tensor": slice_,
    "aten.select.int": select,
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
    "aten._to_copy.default": to_copy,
    "getitem": getitem,
    "aten.sym_size.int": batch_size,
    "aten._assert_tensor_metadata.default": batch_size,
    "mul": batch_size,
}
ON_CONSTANTS = frozenset(
    name for name, mapping in OURS.items() if mapping in (reshape, expand, same, getitem, batch_size)
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
