"""The scales that `equalize` gave the channels of tokens (`algorithms.correction.tokens`), found again in an artifact.

Every one of them can be read where it was undone or done apart from weights: a stream's in the multipliers of the norms that
read it, that of a function's input and that of a norm in the multipliers of the layer that writes it, that of a function's
result in its table.
"""

import numpy as np
import numpy.typing as npt
import torch

from bitwright.algorithms.correction import tokens
from bitwright.algorithms.correction.channels import nearest_step, reading
from bitwright.artifact import Artifact
from bitwright.audit.weight_steps import Floats, weight_steps
from bitwright.graph import Node, Value
from bitwright.ops import float_op, source
from bitwright.ops.epilogue import out_unit
from bitwright.ops.op import codes_of
from bitwright.ops.unary import Unary
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer


def scale_tokens_alike(prepared: PreparedModel, artifact: Artifact) -> None:
    """Scale the channels of a float model's tokens as those of an artifact made of it are."""
    nodes = {node.name: node for node in artifact.graph.nodes}
    for move in tokens.moves(prepared):
        scale = _scale(prepared, move, nodes, artifact)
        usable = np.isfinite(scale) & (scale > 0)
        if usable.any():
            scale = np.where(usable, scale / scale[usable].min(), 1.0)
            tokens.scale_channels(prepared, move, nearest_step(torch.from_numpy(scale)).float())


def _scale(prepared: PreparedModel, move: tokens.Move, nodes: dict[str, Node], artifact: Artifact) -> Floats:
    """The scales of a value's channels, times any one number; not finite, or 0, where they cannot be told."""
    reader = reading(prepared, move.name)[0][0]
    layer, integer, value = prepared.layer(move.name), nodes[move.name], artifact.graph.values[move.name]
    with np.errstate(divide="ignore", invalid="ignore"):
        if "factors" in prepared.layer(reader.name).names:
            m_x = nodes[reader.name].tensors["m_x"].astype(np.float64)
            row = m_x[reader.inputs.index(move.name)]
            return _floats(np.broadcast_to(1 / np.abs(row), value.channels))
        if "writes" in layer.names:
            return _of_table(layer, integer, artifact.graph.values[source(integer)], value)
        m = np.abs(integer.tensors["m"].astype(np.float64))
        if not float_op(layer.node).weighted:
            return _floats(m / np.abs(layer.tensors()["bn_weight"].detach().double().numpy()))
        groups = m.shape[1] if m.ndim > 1 else 1
        weight = layer.tensors()["weight"].detach().double().numpy()
        ratio = m.reshape(-1) / weight_steps(integer.tensors["weight"], weight, groups)
        return _floats(np.median(ratio.reshape(-1, groups), axis=1))


def _floats(numbers: npt.ArrayLike) -> Floats:
    return np.asarray(numbers, np.float64)


def _of_table(layer: Layer, integer: Node, x: Value, y: Value) -> Floats:
    """What a function's tables hold where that is the most and not clipped, over what the function is there."""
    op, table, type_ = float_op(layer.node), integer.tensors["table"].astype(np.float64), codes_of(x)
    assert isinstance(op, Unary)
    real = (type_.step * np.arange(type_.codes.hi + 1.0) - type_.one_zero_point) * type_.one_scale
    wanted = np.broadcast_to(op.function(real, layer.float_node()), (x.channels, len(real)))
    codes = np.broadcast_to(table[..., : len(real)], wanted.shape)
    found = (codes - codes_of(y).one_shift) * out_unit(y)
    clipped = (codes == 0) | (codes == codes_of(y).codes.hi)
    at = np.where(clipped, 0, np.abs(wanted)).argmax(axis=1)
    rows = np.arange(len(at))
    return _floats(found[rows, at] / wanted[rows, at])
