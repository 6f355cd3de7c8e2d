"""The scales that `equalize` gave the channels of tokens (`algorithms.correction.tokens`), found again in an artifact.

Every one of them can be read where it was undone or done apart from weights: a stream's in the multipliers of the norms that
read it, that of a function's input and that of a norm in the multipliers of the layer that writes it, that of a function's
result in its table. Where a layer's multipliers say nothing, as those of dead channels do, whoever reads them still does: no
other scale gives a function its table, or a linear layer its columns.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bitwright.algorithms.correction import tokens
from bitwright.algorithms.correction.channels import LARGEST, STEPS, nearest_step, reading
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
            if not usable.all():
                scale[~usable] = _by_reader(prepared, move, nodes, artifact, scale, ~usable)
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
            reads = layer.tensors()["reads"].detach().double().numpy()
            return _of_table(layer, integer, artifact.graph.values[source(integer)], value, reads)
        m = np.abs(integer.tensors["m"].astype(np.float64))
        if not float_op(layer.node).weighted:
            return _floats(m / np.abs(layer.tensors()["bn_weight"].detach().double().numpy()))
        groups = m.shape[1] if m.ndim > 1 else 1
        weight = layer.tensors()["weight"].detach().double().numpy()
        ratio = m.reshape(-1) / weight_steps(integer.tensors["weight"], weight, groups)
        return _floats(np.median(ratio.reshape(-1, groups), axis=1))


def _by_reader(
    prepared: PreparedModel,
    move: tokens.Move,
    nodes: dict[str, Node],
    artifact: Artifact,
    scale: Floats,
    lost: npt.NDArray[np.bool_],
) -> Floats:
    """The scales of the channels [C] that are lost, by who reads them, where those of the others are known; else 1."""
    for reader, _ in reading(prepared, move.name):
        layer, tensors = prepared.layer(reader.name), nodes[reader.name].tensors
        if "reads" in layer.names and tensors["table"].ndim == 2:
            return _before_tables(prepared, reader, nodes, artifact, scale, lost)
        if float_op(reader).weighted and tensors["weight"].ndim == 2:
            weight = layer.tensors()["weight"].detach().double().numpy()
            return _of_columns(tensors["weight"], weight, scale, lost)
    return np.ones(int(lost.sum()))


def _of_columns(codes: npt.NDArray[np.int8], weight: Floats, scale: Floats, lost: npt.NDArray[np.bool_]) -> Floats:
    """The scales by which columns of a weight [O, C] were divided, the rows' steps being known by the other columns."""
    steps = weight_steps(codes[:, ~lost], weight[:, ~lost] / scale[~lost], 1)
    found = np.abs(codes[:, lost] * steps[:, None])
    large = (found > 0) & (found >= found.max(axis=0) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(large, np.abs(weight[:, lost]) / found, np.nan)
    told = large.any(axis=0)
    ratio[0, ~told] = 1.0
    return _floats(np.nanmedian(ratio, axis=0))


def _before_tables(
    prepared: PreparedModel,
    reader: Node,
    nodes: dict[str, Node],
    artifact: Artifact,
    scale: Floats,
    lost: npt.NDArray[np.bool_],
) -> Floats:
    """The scales s of the lost channels for which w * f(x / s) is the table of a function that reads them.

    w is a scale as well, of the function's result. Where f is nearly linear several pairs of them give the same table; then
    that one is taken whose w the layer has that reads the result.
    """
    layer, integer = prepared.layer(reader.name), nodes[reader.name]
    x, y = artifact.graph.values[source(integer)], artifact.graph.values[reader.name]
    table = integer.tensors["table"].astype(np.float64)
    writes = _of_table(layer, integer, x, y, 1 / scale)
    seen = np.ones(int(lost.sum()))
    for second, _ in reading(prepared, reader.name):
        if float_op(second).weighted and nodes[second.name].tensors["weight"].ndim == 2:
            weight = prepared.layer(second.name).tensors()["weight"].detach().double().numpy()
            seen = _of_columns(nodes[second.name].tensors["weight"], weight, writes, lost)
    scales, fitted, off = _fits(layer, table[lost], x, y)
    doubt = np.where(off <= off.min(axis=1, keepdims=True) + 1, np.abs(np.log2(fitted / seen[:, None])), np.inf)
    return _floats(scales[doubt.argmin(axis=1)])


def _fits(layer: Layer, table: Floats, x: Value, y: Value) -> tuple[Floats, Floats, Floats]:
    """All scales s [S] of a function's argument that there may be; for each of some channels the scale w [C, S] that fits its
    table best with that, and by how many codes in all the table differs from theirs.

    w = sum t * f / sum f**2, over what is not clipped: least squares, and then the nearest one in use
    """
    real, hi, shift, unit = _reals(x), codes_of(y).codes.hi, codes_of(y).one_shift, out_unit(y)
    scales = np.exp2(np.arange(0, STEPS * np.log2(LARGEST) + 1) / STEPS)
    wanted = _function(layer, real / scales[:, None])
    codes = table[:, : len(real)]
    inside = ((codes > 0) & (codes < hi)).astype(np.float64)
    power = inside @ (wanted * wanted).T
    fit = ((codes - shift) * unit * inside) @ wanted.T / np.where(power > 0, power, 1.0)
    fit = nearest_step(torch.from_numpy(np.clip(fit, 1 / LARGEST, LARGEST))).numpy()
    given = np.clip(np.rint(fit[..., None] * wanted / unit + shift), 0, hi)
    return scales, fit, np.abs(given - codes[:, None]).sum(axis=2)


def _function(layer: Layer, x: Floats) -> Floats:
    """The function of a layer, without any channel's scale."""
    op, node = float_op(layer.node), layer.float_node()
    assert isinstance(op, Unary)
    plain = {name: a for name, a in node.tensors.items() if name not in ("reads", "writes")}
    return op.function(x, replace(node, tensors=plain))


def _reals(x: Value) -> Floats:
    """What the codes of a value stand for, before its channels are scaled back."""
    type_ = codes_of(x)
    return _floats((type_.step * np.arange(type_.codes.hi + 1.0) - type_.one_zero_point) * type_.one_scale)


def _floats(numbers: npt.ArrayLike) -> Floats:
    return np.asarray(numbers, np.float64)


def _of_table(layer: Layer, integer: Node, x: Value, y: Value, reads: Floats) -> Floats:
    """What a function's tables hold where that is the most and not clipped, over what the function of reads * x is there."""
    table, real = integer.tensors["table"].astype(np.float64), _reals(x)
    wanted = np.broadcast_to(_function(layer, reads[:, None] * real), (x.channels, len(real)))
    codes = np.broadcast_to(table[..., : len(real)], wanted.shape)
    found = (codes - codes_of(y).one_shift) * out_unit(y)
    clipped = (codes == 0) | (codes == codes_of(y).codes.hi)
    at = np.where(clipped, 0, np.abs(wanted)).argmax(axis=1)
    rows = np.arange(len(at))
    return _floats(found[rows, at] / wanted[rows, at])
