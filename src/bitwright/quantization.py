"""The verbs: `prepare`, `convert`, and `quantize`, which is both of them with `calibrate` between, in one call."""

import platform
import warnings
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from bitwright import __version__
from bitwright.artifact import Artifact
from bitwright.artifact_file.storable import expect_storable
from bitwright.class_files import Given, class_names
from bitwright.classes import named_anew
from bitwright.effort import BEST_MINUTES, Effort, at_effort
from bitwright.errors import (
    CaptureError,
    CaptureWarning,
    MissingExtraError,
    ModelError,
    RecipeError,
)
from bitwright.given import GivenTypes
from bitwright.gradients import own_gradients
from bitwright.images.preprocess import Preprocess, expect_preprocess
from bitwright.images.sources import ImageSource
from bitwright.labels import names_for, storable
from bitwright.prediction import class_count
from bitwright.progress import SILENT, Progress
from bitwright.ranks import ALONE, Ranks
from bitwright.recipe import Recipe

try:
    import torch
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

from bitwright.algorithms.correction import corrections, expect_rules
from bitwright.algorithms.correction.stream import Images
from bitwright.algorithms.ranges import range_algorithm
from bitwright.calibration import MEMORY_BYTES, calibrate, expect_prepared, expect_seed
from bitwright.capture import classifier, fuse
from bitwright.capture.given import is_plain, kept
from bitwright.capture.outputs import Output
from bitwright.faithful import expect_faithful
from bitwright.files import expect_writable
from bitwright.float_weights import FloatWeights
from bitwright.images.mode_hint import mode_hint
from bitwright.models.float_models import FloatModelLike, float_model
from bitwright.models.load import of_file
from bitwright.prepared import PreparedModel
from bitwright.prepared.foreign import foreign_encoder, foreign_schemes

__all__ = ["MEMORY_BYTES", "calibrate", "convert", "prepare", "quantize"]


@own_gradients
def prepare(
    model: FloatModelLike | str | PathLike[str],
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    output: Output = None,
    keep: bool = True,
) -> PreparedModel:
    """Capture and fuse a float model, and put quantizers on its values and weights.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes]; a module, an exported program or
            a graph; or the path of a .onnx file.
        preprocess: how a picture becomes the model's input; gives C, H and W.
        recipe: which layers get which schemes and algorithms: a short form such as "w4a8", a TOML file, or a `Recipe`.
        output: which of the model's outputs the logits are, where it has several; None: found by itself.
        keep: whether the scales of a quantized file are kept, where the recipe asks for nothing but w8a8; corrections, which
            would change them, are left out then.

    Returns:
        A module with the call signature of the model, in eval mode; `calibrate` comes next.

    Raises:
        ModelError: it is no model.
        CaptureError: it cannot be captured; names the op, the module and the source line.
        RecipeError: a pattern matches no layer, or a name is unknown.
        ArtifactError: no file could hold the names of its layers, or the recipe.

    What is not kept as it is, such as a softmax at the end, is told in a CaptureWarning and in the provenance.
    """
    expect_preprocess(preprocess)
    model, preprocess = of_file(model, preprocess)
    height, width, channels = preprocess.shape
    plan = Recipe.parse(recipe)
    try:
        for name in (plan.range, *(rule.range for rule in plan.rules if rule.range)):
            range_algorithm(name)
        chosen = corrections(plan.algorithms)
        expect_rules(plan)
    except RecipeError as error:
        raise RecipeError(f"recipe {plan.name!r}: {error}") from error
    try:
        source = float_model(model, output)
        found = source.capture((channels, height, width))
        graph = fuse(classifier(found.graph))
        pixels = np.random.default_rng(0).integers(0, 256, (2, height, width, channels), np.uint8)
        expect_faithful(
            source, graph, (channels, height, width), found.in_float32, pictures=preprocess.normalise(pixels)
        )
    except CaptureError as error:
        raise CaptureError(f"{error}{mode_hint(str(error), preprocess)}") from error
    notes, given = found.notes, GivenTypes()
    if found.file is not None:
        graph, given, more = kept(graph, found.file)
        if keep and is_plain(plan):
            plan, chosen = replace(plan, algorithms=()), []
        else:
            given, more = GivenTypes(), (f"the file is quantized; its scales give way to the recipe {plan.name!r}",)
        notes += more
    prepared = PreparedModel(graph, preprocess, plan, notes=notes, given=given).eval()
    for note in prepared.notes:
        warnings.warn(note, CaptureWarning, stacklevel=2)
    expect_storable(nodes=graph.nodes, provenance={"recipe": plan.to_json(), "capture": list(prepared.notes)})
    prepared.foreign |= {*found.foreign, *foreign_encoder(preprocess)}
    for correction in chosen:
        correction.check(prepared)
    return prepared


@own_gradients
def convert(
    prepared: PreparedModel, *, classes: Given | None = None, provenance: Mapping[str, Any] | None = None
) -> Artifact:
    """Make the artifact of a calibrated model: its integers as they are now.

    Args:
        prepared: a calibrated or trained model.
        classes: the names of the classes, in the model's order, or a file of them.
        provenance: what else the artifact shall tell of how it was made; plain data.

    Raises:
        CalibrationError: the model has no ranges yet.
        OverflowBoundError: a sum of products could overflow int32.
        LabelError: there is not one name for each class.
    """
    expect_prepared(prepared)
    outputs = prepared.graph.values[prepared.graph.output].shape[0]
    named = None if classes is None else _names(classes, outputs)
    versions = {"bitwright": __version__, "torch": torch.__version__, "python": platform.python_version()}
    notes: dict[str, Any] = {"capture": list(prepared.notes)} if prepared.notes else {}
    foreign = sorted(prepared.foreign | foreign_schemes(prepared), key=lambda found: (found.kind, found.name))
    notes |= {"foreign": [found.to_json() for found in foreign]} if foreign else {}
    record = {"recipe": prepared.recipe.to_json(), "versions": versions, **notes, **(provenance or {})}
    return Artifact(prepared.lower(), prepared.preprocess, named, record)


def _names(classes: Given, outputs: int) -> tuple[str, ...]:
    given = storable(class_names(classes))  # a single output may have the one name, of what it is on for
    return given.names if len(given) == outputs else named_anew(None, given, class_count(outputs)).names


@own_gradients
def quantize(
    model: FloatModelLike | str | PathLike[str],
    images: Images | None,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    output: Output = None,
    range: str | None = None,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    guard: bool = True,
    effort: Effort = "normal",
    minutes: float | None = None,
    keep: bool = True,
    float_weights: str | PathLike[str] | None = None,
    classes: Given | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
    ranks: Ranks = ALONE,
) -> Artifact:
    """Turn a float model into an integer one: `prepare`, `calibrate` and `convert` in one call.

    Same inputs and same seed give the same bytes.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes]; a module, an exported program or
            a graph; or the path of a .onnx file.
        images: to calibrate on; uint8 [N, H, W, C], an iterable of such batches, or an image source. No labels are
            used. None: data-free, by the batch norms alone.
        preprocess: how a picture becomes the model's input.
        recipe: a short form such as "w4a8", a TOML file, or a `Recipe`.
        output: which of the model's outputs the logits are, where it has several.
        range: the range algorithm, in place of the recipe's.
        seed: of all that is drawn at random.
        memory: how many bytes corrections may hold; the rest lies in a temporary file.
        guard: whether corrections that do not help are undone.
        effort: "quick" or "best" in place of the recipe's corrections (`bitwright.effort`).
        minutes: what learning may take, see `calibrate`; None: 15 at the effort "best", else no limit.
        keep: whether the scales of a quantized file are kept, see `prepare`; it may need no images then.
        float_weights: where to write the float model's tensors, as corrections left them, as safetensors; see
            `bitwright.float_weights`.
        classes: names of the classes, or a file of them; looked at before anything is computed. None: those of the
            image source, if it has one for each class.
        provenance: what else the artifact shall tell of how it was made.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).
        ranks: processes that share the images, see `calibrate`; each returns the artifact, rank 0 writes `float_weights`.

    Raises:
        ModelError, CaptureError, RecipeError: see `prepare`.
        CalibrationError: see `calibrate`.
        OverflowBoundError, LabelError: see `convert`.
        ArtifactError: no file could hold the provenance, or the names of layers; before anything is computed.
    """
    expect_seed(seed)
    expect_storable(provenance=provenance)
    if float_weights is not None:
        expect_writable(float_weights, ModelError)
        model, preprocess = of_file(model, preprocess)
    plan = at_effort(Recipe.parse(recipe), effort)
    minutes = BEST_MINUTES if minutes is None and effort == "best" else minutes
    prepared = prepare(model, preprocess=preprocess, recipe=plan, output=output, keep=keep)
    outputs = prepared.graph.values[prepared.graph.output].shape[0]
    if classes is not None:
        classes = _names(classes, outputs)
    weights = None if float_weights is None else FloatWeights(model, prepared)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        how: dict[str, Any] = {"range": range, "seed": seed, "memory": memory, "guard": guard, "minutes": minutes}
        calibration = calibrate(prepared, images, **how, progress=progress, ranks=ranks)
    if weights is not None and float_weights is not None and ranks.rank == 0:
        for note in weights.save(float_weights):
            warnings.warn(note, CaptureWarning, stacklevel=2)
    if classes is None and isinstance(images, ImageSource):
        classes = names_for(images, outputs)
    return convert(
        prepared, classes=classes, provenance={"seed": seed, "calibration": calibration, **(provenance or {})}
    )
