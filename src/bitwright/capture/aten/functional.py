"""Programs that can be read as `torch.export` gives them. `run_decompositions` makes any program functional, but takes three
times as long as exporting it; most models write over nothing but what a layer has just computed, as `F.relu_(conv(x))` does.
"""

from typing import Any

import torch

Fx = torch.fx.Node
aten: Any = torch.ops.aten

FRESH = frozenset(
    {
        *(aten.conv2d.default, aten.conv2d.padding, aten.linear.default, aten.batch_norm.default, aten.prelu.default),
        *(aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.leaky_relu.default, aten.gelu.default),
        *(aten.silu.default, aten.sigmoid.default, aten.hardswish.default, aten.hardsigmoid.default),
        *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.clamp.default),
        *(aten.cat.default, aten.mean.dim, aten.softmax.int),
        *(aten.max_pool2d.default, aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default),
        *(
            aten.layer_norm.default,
            aten.group_norm.default,
            aten.rms_norm.default,
            aten.scaled_dot_product_attention.default,
        ),
        *(
            aten.matmul.default,
            aten.bmm.default,
            aten.einsum.default,
            aten.roll.default,
            aten.stack.default,
            aten.flip.default,
        ),
        *(aten.sum.dim_IntList, aten.amax.default, aten.linalg_vector_norm.default, aten.conv1d.default),
        *(
            aten.pow.Tensor_Scalar,
            aten.sqrt.default,
            aten.rsqrt.default,
            aten.exp.default,
            aten.tanh.default,
            aten.neg.default,
        ),
        *(aten.add.Scalar, aten.sub.Scalar, aten.mul.Scalar, aten.div.Scalar, aten.rsub.Scalar, aten.addcmul.default),
        *(aten.clamp_min.default, aten.clamp_max.default, aten.elu.default, aten.mish.default, aten.softplus.default),
        *(
            aten.upsample_nearest2d.vec,
            aten.upsample_bilinear2d.vec,
            aten.upsample_bicubic2d.vec,
            aten.pixel_shuffle.default,
        ),
        *(
            aten.masked_fill.Scalar,
            aten.index.Tensor,
            aten.index_select.default,
            aten.repeat.default,
            aten.clone.default,
        ),
        *(
            aten.conv_transpose2d.input,
            aten.im2col.default,
            aten.adaptive_max_pool2d.default,
            aten.channel_shuffle.default,
        ),
        *(aten.arange.default, aten.arange.start, aten.zeros.default, aten.ones.default, aten.full.default),
    }
)
"""Ops that write into memory of their own, and that `run_decompositions` leaves as they are, or as good as that."""
SHARING = frozenset(
    {
        *(aten.flatten.using_ints, aten.view.default, aten.reshape.default, aten.transpose.int, aten.permute.default),
        *(aten.expand.default, aten.contiguous.default, aten.chunk.default, aten.pad.default, aten.slice.Tensor),
        *(aten.dropout.default, aten.dropout_.default, aten.sym_size.int),
        *(aten.select.int, aten.unbind.int, aten.split.Tensor, aten.split_with_sizes.default, aten.unflatten.int),
        *(
            aten.unsqueeze.default,
            aten.squeeze.dim,
            aten.squeeze.dims,
            aten.movedim.int,
            aten.alias.default,
            aten.detach.default,
        ),
    }
)
"""Ops whose result may be the memory that they read, or no tensor."""


def _in_place() -> dict[Any, Any]:
    """By the overload that writes over its first argument: the functional one."""
    found = {}
    for op in FRESH:
        name, overload = str(op).removeprefix("aten.").split(".")
        writer = getattr(getattr(aten, f"{name}_", None), overload, None)
        if writer is not None:
            found[writer] = op
    return found


IN_PLACE = _in_place()
TRAINING = {aten.batch_norm.default: 5, aten.dropout.default: 2, aten.dropout_.default: 2}
"""Which argument says that an op trains: its meaning is another one then."""


def made_functional(exported: torch.export.ExportedProgram) -> bool:
    """Give every op that writes over what it reads the functional op's name, and its result to those that read it later.

    False, with the program left as it was, where there are other ops, or where what is written over is not surely the memory of
    one value alone: a part of the input, a view, or read through one.
    """
    memory, shared, writers = dict[Fx, Fx](), set[Fx](), list[Fx]()
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        op = IN_PLACE.get(node.target, node.target)
        if op in TRAINING and (len(node.args) <= TRAINING[op] or node.args[TRAINING[op]] is not False):
            return False
        if node.target in IN_PLACE:
            if not _may_write(node, memory, shared):
                return False
            memory[node] = memory[node.args[0]]
            writers.append(node)
        elif op in FRESH:
            memory[node] = node
        elif op in SHARING or getattr(op, "__module__", "") == "_operator":
            shared |= {memory[read] for read in node.all_input_nodes if read in memory}
        else:
            return False
    outputs = set(exported.graph_signature.user_outputs)
    if any(node.name in outputs for writer in writers for node in _before(writer, memory)):
        return False
    places = {node: place for place, node in enumerate(exported.graph.nodes)}
    for writer in writers:
        writer.target = IN_PLACE[writer.target]
        for node in _before(writer, memory):
            node.replace_all_uses_with(writer, lambda user, place=places[writer]: places[user] > place)  # type: ignore[misc]
    return True


def _may_write(node: Fx, memory: dict[Fx, Fx], shared: set[Fx]) -> bool:
    """Whether what is written over is one value's alone, and of the type of all that is read: else the result's is another."""
    types = {read.meta["val"].dtype for read in node.all_input_nodes}
    first = node.args[0]
    return first in memory and memory[first] not in shared and types == {node.meta["val"].dtype}  # type: ignore[index]


def _before(writer: Fx, memory: dict[Fx, Fx]) -> list[Fx]:
    """The values that were in the memory before `writer` wrote into it."""
    order = [node for node, where in memory.items() if where is memory[writer]]
    return order[: order.index(writer)]
