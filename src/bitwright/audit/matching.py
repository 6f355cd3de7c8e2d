"""`matched`: the float model as a prepared model whose values are those of an artifact, number by number.

An artifact does not hold the float model, but it says which recipe it was made by, so that capturing the model again gives
the same nodes. Corrections may have scaled channels (`algorithms.correction.channels`); the factors are found again from the
artifact's multipliers, and the float model is scaled alike; those of tokens and of heads are others (`token_scales.py`,
`head_scales.py`).
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitwright.algorithms.correction import corrections
from bitwright.algorithms.correction.channels import is_channelwise, nearest_step, rescale, scaled_with
from bitwright.algorithms.correction.tokens import moves
from bitwright.artifact import Artifact
from bitwright.audit.head_scales import scale_heads_alike
from bitwright.audit.token_scales import scale_tokens_alike
from bitwright.audit.weight_steps import Floats, stored_steps, weight_steps
from bitwright.audit.witnesses import FEWEST, NEAR, by_bias, by_columns, common, overruled, whole
from bitwright.capture import Captured
from bitwright.errors import CaptureWarning, ModelError, RecipeError
from bitwright.graph import Node, Value
from bitwright.images.preprocess import Preprocess
from bitwright.ops import float_op, source
from bitwright.ops.conv2d import image_scale
from bitwright.prepared import PreparedModel
from bitwright.prepared.layer import Layer
from bitwright.prepared.parts import SUFFIX, split
from bitwright.quantization import prepare
from bitwright.recipe import Recipe
from bitwright.schemes import SCHEMES

FINE = 16
"""Smaller codes are each rounded by too much to tell a quarter of an octave alone; all of them together do."""
ALIKE = 0.6
"""The cosine of a channel's codes and its float weights, at least, where they belong together: one bit leaves about 0.8."""


def recipe_of(artifact: Artifact) -> Recipe:
    """The recipe that an artifact was made by; w8a8 where it does not say."""
    found = artifact.provenance.get("recipe")
    if not isinstance(found, Mapping):
        return Recipe()
    try:
        return Recipe.from_json(found)
    except RecipeError as error:
        raise ModelError(f"the artifact's own recipe cannot be read: {error}") from error


def prepared_quietly(captured: Captured, preprocess: Preprocess, recipe: Recipe) -> PreparedModel:
    """`prepare`, without saying once more what capture changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaptureWarning)
        return prepare(captured, preprocess=preprocess, recipe=recipe)


def matched(captured: Captured, artifact: Artifact) -> PreparedModel:
    """The float model with the artifact's nodes, its channels scaled as the artifact's are.

    Raises ModelError where the artifact was not made of this model.
    """
    recipe = recipe_of(artifact)
    prepared = prepared_quietly(captured, artifact.preprocess, recipe)
    _split_alike(prepared, artifact)
    found = {node.name: artifact.graph.values[node.name] for node in artifact.graph.nodes}
    for node in prepared.graph.nodes:
        value = found.get(node.name)
        if value is None or value.shape != prepared.graph.values[node.name].shape:
            raise ModelError(
                f"the artifact was not made of this model: expected a layer {node.name!r} of "
                f"{prepared.graph.values[node.name].shape}, found {'none' if value is None else value.shape}; give the "
                "model, and the outputs, that it was quantized from"
            )
    if _may_be_scaled(recipe, artifact):
        scale_tokens_alike(prepared, artifact)
        scale_heads_alike(prepared, artifact)
        _scale_alike(prepared, artifact)
    return prepared


def _split_alike(prepared: PreparedModel, artifact: Artifact) -> None:
    """Write the values in two parts that the artifact has in two."""
    weights = {node.name: node.tensors.get("weight") for node in artifact.graph.nodes}
    for node in prepared.graph.nodes:
        part = weights.get(f"{node.name}{SUFFIX}")
        if part is not None and len(part) == prepared.graph.values[node.name].channels:
            split(prepared, node.name, torch.from_numpy((part != 0).any(axis=1)))


def _may_be_scaled(recipe: Recipe, artifact: Artifact) -> bool:
    """Whether a correction that scales channels is part of the recipe, and was not undone."""
    calibration = artifact.provenance.get("calibration")
    verdicts = calibration.get("corrections", ()) if isinstance(calibration, Mapping) else ()
    undone = {verdict["name"] for verdict in verdicts if not verdict["kept"]}
    return any(c.before_ranges and c.name not in undone for c in corrections(recipe.algorithms))


def real_weight(layer: Layer, node: Node, x: Value) -> Floats:
    """The float weight as it is before it is divided by the scales: times the image's scales where it reads the image."""
    weight: Floats = layer.tensors()["weight"].detach().double().numpy()
    if x.type is not None and x.type.per_channel:
        weight = weight * image_scale(x.type, len(weight), node.attrs["groups"])
    return weight


def groups_of(node: Node) -> int:
    """How many scales each output channel of an integer node's weight has."""
    m = node.tensors["m"]
    return int(m.shape[1]) if m.ndim == 2 else 1


@torch.no_grad()
def _scale_alike(prepared: PreparedModel, artifact: Artifact) -> None:
    nodes: dict[str, Any] = {node.name: node for node in artifact.graph.nodes}
    unknown: dict[str, npt.NDArray[np.bool_]] = {}
    done = {writer for move in moves(prepared) for writer in move.writers}
    for node in prepared.graph.nodes:
        layer, op = prepared.layer(node.name), float_op(node)
        found = op.affine or (op.weighted and "weight" in nodes[node.name].tensors)
        if node.name in done or not found or not hasattr(layer, "equalized"):
            continue
        x, y = artifact.graph.values[source(node)], artifact.graph.values[node.name]
        readers = scaled_with(prepared, node.name)
        if not readers or y.type is None:
            continue
        integer = nodes[node.name]
        ratio = _ratio(layer, integer, x, y)
        known = np.isfinite(ratio) & (ratio > 0)
        if op.weighted:
            known &= _alike(integer.tensors["weight"], real_weight(layer, integer, x))
        above = unknown.get(source(node)) if is_channelwise(layer) else None
        if above is not None and above.shape == known.shape:
            known &= ~above
        factor = np.where(known, ratio, 1.0)
        if known.sum() > 1 and min(_greatest(nodes[r.node.name]) for r in (layer, *readers)) >= FEWEST:
            factor = _corroborated(prepared, artifact, node.name, readers, factor, known)
        dense = [reader for reader in readers if not is_channelwise(reader)]
        finer = [reader for reader in dense if _greatest(integer) < FEWEST <= _greatest(nodes[reader.node.name])]
        if finer and known.any():
            rescale(layer, readers, torch.from_numpy(factor).float())
            factor[known] *= _told_by(nodes[finer[0].node.name], finer[0], known, known)
        if known.all() and "smooth" not in prepared.recipe.algorithms:
            factor /= (
                factor.min()
            )  # `equalize` leaves the loudest channel: what all multipliers have in common is damage
        rescale(layer, readers, torch.from_numpy(factor).float())
        if not known.all() and dense:
            factor[~known] = _told_by(nodes[dense[0].node.name], dense[0], known, ~known)
            rescale(layer, readers, torch.from_numpy(factor).float())
            if above is not None and above.shape == known.shape:
                _settle(prepared, source(node), layer, above, factor / ratio)
        elif not known.all():
            unknown[node.name] = ~known


def _corroborated(
    prepared: PreparedModel,
    artifact: Artifact,
    name: str,
    readers: list[Layer],
    factor: Floats,
    known: npt.NDArray[np.bool_],
) -> Floats:
    """The factors [O] of a layer, with what biases and readers say where multipliers are damaged."""
    layer, graph = prepared.layer(name), artifact.graph
    octaves = np.where(known, by_bias(layer, graph[name], graph, factor), np.nan)
    shared = common(octaves)
    factor, octaves = factor * 2**shared, octaves - shared
    rescale(layer, readers, torch.from_numpy(factor).float())
    doubted = known & (np.isnan(octaves) | (np.abs(octaves) > 0.5))
    sure, read = known & ~doubted, np.full(len(factor), np.nan)
    if 2 * sure.sum() <= len(sure):
        return factor  # most of them cannot be damaged alike
    reader = next((reader for reader in readers if not is_channelwise(reader)), readers[0])
    integer = graph[reader.node.name]
    if is_channelwise(reader):  # it reads one channel each, whose factor its multiplier has and its bias has not
        ratio = _ratio(reader, integer, graph.values[source(integer)], graph.values[integer.name])
        if len(ratio) == len(factor):
            read = np.where(np.isnan(octaves), np.nan, whole(by_bias(reader, integer, graph, ratio), NEAR))
    else:
        codes, real = integer.tensors["weight"], reader.tensors()["weight"].detach().double().numpy()
        read = by_columns(codes, real, weight_steps(codes[:, sure], real[:, sure], 1), doubted)
    added = np.where(doubted, overruled(octaves, read, doubted), 0.0)
    found: Floats = factor * 2**added
    return found


def _settle(prepared: PreparedModel, name: str, reader: Layer, unknown: npt.NDArray[np.bool_], factors: Floats) -> None:
    """Scale the channels of a layer that only a depthwise layer, whose own factor is known by now, could tell."""
    layer = prepared.layer(name)
    usable = unknown & np.isfinite(factors) & (factors > 0)
    scale = np.where(usable, factors, layer.equalized.detach().double().numpy())
    rescale(layer, [reader], torch.from_numpy(scale).float())


def _ratio(layer: Layer, integer: Node, x: Value, y: Value) -> Floats:
    """The scale by which each channel's multiplier differs from the one that its codes ask for; 0 or inf where lost."""
    groups = groups_of(integer)
    steps: Floats = np.ones(1)
    if "weight" in integer.tensors:
        steps = weight_steps(integer.tensors["weight"], real_weight(layer, integer, x), groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.median((np.abs(stored_steps(layer, integer, x, y)) / steps).reshape(-1, groups), axis=1)
    found: Floats = _step(ratio)
    return found


def _alike(codes: npt.NDArray[np.int8], real: Floats) -> npt.NDArray[np.bool_]:
    """Which channels [O] have codes that are of these float weights: a damaged one says nothing about scales."""
    a, b = codes.reshape(len(codes), -1).astype(float), real.reshape(len(real), -1)
    sizes = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    found: npt.NDArray[np.bool_] = np.abs((a * b).sum(axis=1)) > ALIKE * sizes
    return found


def _greatest(integer: Node) -> int:
    """The greatest code of a layer's weights: few bits tell a scale badly, and whoever reads the channels may do it better.

    A batch norm's multipliers tell it as well as any.
    """
    return 127 if "weights" not in integer.attrs else SCHEMES[integer.attrs["weights"]].hi


def _told_by(integer: Node, reader: Layer, known: npt.NDArray[np.bool_], asked: npt.NDArray[np.bool_]) -> Floats:
    """What the factors of the `asked` channels lack, by the weights that read them, whose rows the `known` ones give steps."""
    codes, real = integer.tensors["weight"].astype(float), reader.tensors()["weight"].detach().double().numpy()
    steps = (
        weight_steps(integer.tensors["weight"][:, known], real[:, known], 1) if known.any() else np.zeros(len(codes))
    )
    stands_for = codes * steps.reshape(-1, *(1,) * (codes.ndim - 1))
    found = np.ones(int(asked.sum()))
    for k, channel in enumerate(np.flatnonzero(asked)):
        a, b = stands_for[:, channel].reshape(-1), real[:, channel].reshape(-1)
        large = (np.abs(a) >= np.abs(a).max(initial=0.0) / 2) & (a != 0)
        if large.any():
            small = np.abs(codes[:, channel]).max() < FINE
            found[k] = _step(abs(a @ b) / (a @ a) if small else np.median(np.abs(b[large] / a[large])))
    return np.where(np.isfinite(found) & (found > 0), found, 1.0)


def _step(ratio: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return nearest_step(torch.as_tensor(ratio, dtype=torch.float64)).numpy()
