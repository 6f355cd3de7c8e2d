"""The verbs: `prepare`, `calibrate`, `convert`, and `quantize`, which is all of them in one call."""

import hashlib
import platform
import warnings
from collections.abc import Mapping
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np

from bitwright import __version__
from bitwright.artifact import Artifact
from bitwright.calibration_check import Seen
from bitwright.class_files import Given, class_names
from bitwright.classes import named_anew
from bitwright.errors import (
    CalibrationError,
    CalibrationWarning,
    CaptureError,
    CaptureWarning,
    MissingExtraError,
    ModelError,
    RecipeError,
)
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import Batches, ImageSource
from bitwright.labels import names_for
from bitwright.prediction import class_count
from bitwright.progress import SILENT, Progress
from bitwright.recipe import Recipe

try:
    import torch
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

from bitwright.algorithms.correction import CORRECTIONS, Correction, corrections
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.channels import Extremes
from bitwright.algorithms.correction.channels import undo as undo_scales
from bitwright.algorithms.correction.data_free import expect_norms, observe_noise
from bitwright.algorithms.correction.guard import Corrector, Yardstick
from bitwright.algorithms.correction.sample import Picked, Sample
from bitwright.algorithms.correction.stream import Images, Stream
from bitwright.algorithms.correction.values import Memory
from bitwright.algorithms.ranges import RANGES, Range, range_algorithm
from bitwright.capture import classifier, fuse
from bitwright.capture.outputs import Output
from bitwright.images.mode_hint import mode_hint
from bitwright.models.float_models import FloatModelLike, float_model
from bitwright.prepared import PreparedModel
from bitwright.prepared.foreign import foreign_encoder, foreign_schemes

MEMORY_BYTES = 2**31
AGAIN = 64
"""So many images are enough to see again what a correction has scaled: the extremes are known from all of them."""
HELD_OUT, FEW_HELD_OUT = 448, 64
"""At most so many images judge the corrections: all that no correction needs to see, or a quarter of all, whichever is more;
where there are few, up to half of them until there are 64."""
LEAST_IMAGES = 16
"""Where there are fewer, none are held out: the corrections are judged on what they have seen."""


def prepare(
    model: FloatModelLike,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    output: Output = None,
) -> PreparedModel:
    """Capture and fuse a float model, and put quantizers on its edges and weights.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes]; a module, an exported program or
            a graph.
        preprocess: how a picture becomes the model's input; gives C, H and W.
        recipe: which layers get which schemes and algorithms: a short form such as "w4a8", a TOML file, or a `Recipe`.
        output: which of the model's outputs the logits are, where it has several; None: found by itself.

    Returns:
        A module with the call signature of the model, in eval mode; `calibrate` comes next.

    Raises:
        ModelError: it is no model.
        CaptureError: it cannot be captured; names the op, the module and the source line.
        RecipeError: a pattern matches no layer, or a name is unknown.

    What is not kept as it is, such as a softmax at the end, is told in a CaptureWarning and in the provenance.
    """
    height, width, channels = preprocess.shape
    plan = Recipe.parse(recipe)
    try:
        range_algorithm(plan.range)
        chosen = corrections(plan.algorithms)
    except RecipeError as error:
        raise RecipeError(f"recipe {plan.name!r}: {error}") from error
    try:
        found = float_model(model, output).capture((channels, height, width))
        graph = fuse(classifier(found.graph))
    except CaptureError as error:
        raise CaptureError(f"{error}{mode_hint(str(error), preprocess)}") from error
    for note in found.notes:
        warnings.warn(note, CaptureWarning, stacklevel=2)
    prepared = PreparedModel(graph, preprocess, plan, notes=found.notes).eval()
    prepared.foreign |= {*found.foreign, *foreign_encoder(preprocess)}
    for correction in chosen:
        correction.check(prepared)
    return prepared


def _expect_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise CalibrationError(f"expected a whole number from 0 to {2**32 - 1} as the seed, found {seed!r:.100}")


def calibrate(
    prepared: PreparedModel,
    images: Images | None,
    *,
    range: str | None = None,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    guard: bool = True,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Choose every scale from images, then run the recipe's corrections. A second calibration starts anew.

    Ranges come from all images. Corrections get some of them, drawn at random from the seed over all of them, and of
    every class its share where labels are known. Neither the order of the images nor how they are cut into batches
    makes a difference. Images that no correction has seen then tell what each one did to the integer model's logits:
    one that did not help is undone.

    Args:
        prepared: what `prepare` returned; it is changed.
        images: uint8 [N, H, W, C], an iterable of such batches, or an image source. None: the batch norms have to tell
            what the images were like; nothing is measured then, so expect less.
        range: the range algorithm, in place of the recipe's.
        seed: of the choice of images and of what corrections draw.
        memory: how many bytes corrections may hold of what they compute; the rest lies in a temporary file.
        guard: whether corrections that do not help are undone.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).

    Returns:
        A record as plain data: `images`, `sha256` of the pixels, `range`, `corrections` and what they did, `bad` for
            images that could not be read, `warnings`, `data_free`.

    Raises:
        CalibrationError: there are no images, or the float model does not stay finite.
        ModelError: `prepared` is no prepared model.

    Images that are a single one, nearly equal, or of one colour are told in a CalibrationWarning and in `warnings`.
    """
    _expect_prepared(prepared)
    _expect_seed(seed)
    algorithm = range_algorithm(range or prepared.recipe.range)
    chosen = corrections(prepared.recipe.algorithms)
    origins = [RANGES.origin(algorithm.name), *(CORRECTIONS.origin(correction.name) for correction in chosen)]
    if isinstance(images, ImageSource | Batches):
        origins.append(images.opened_by)
    prepared.foreign |= {origin for origin in origins if origin is not None}
    training = prepared.training
    undo_scales(prepared.eval())
    prepared.calibrator.forget()
    if images is None:
        return _calibrate_without_images(prepared.train(training), algorithm, chosen, seed)
    stream = Stream.of(images, prepared.preprocess)
    extremes = Extremes(prepared, [name for correction in chosen for name in correction.watches(prepared)])
    room = Memory(memory)
    sample = _sample(stream, chosen, room, seed)
    digest, count, seen = hashlib.sha256(), 0, Seen()
    for batch, labels in stream:
        digest.update(batch.data)
        seen.add(batch)
        logits = prepared.calibrator.observe(torch.from_numpy(batch).to(prepared.image_scale.device), see=extremes.see)
        if sample is not None:
            sample.add(batch, labels, logits)
        count += len(batch)
        progress.at("calibrating", count, stream.length or count)
    if not count:
        raise CalibrationError("there are no images to calibrate on")
    prepared.calibrator.choose_ranges(algorithm)
    record: dict[str, Any] = {"images": count, "sha256": digest.hexdigest(), "range": algorithm.name}
    if sample is not None:
        record |= _correct(prepared, chosen, sample, extremes, room, seed, guard, algorithm, progress)
    prepared.train(training)
    found = seen.findings()
    for text in found:
        warnings.warn(CalibrationWarning(text), stacklevel=2)
    return {**record, **({"bad": stream.bad} if stream.bad else {}), **({"warnings": found} if found else {})}


def _sample(stream: Stream, chosen: list[Correction], room: Memory, seed: int) -> Sample | None:
    """What draws the images for the corrections; None where there are no corrections."""
    if not chosen:
        return None
    most = _needed(chosen) + HELD_OUT
    if stream.length is not None:
        most = min(most, stream.length)
    return Sample(room.values((most, *stream.shape), np.uint8), seed, stream.counts)


def _needed(chosen: list[Correction]) -> int:
    """How many images are enough for every one of the corrections."""
    again = AGAIN if any(correction.before_ranges for correction in chosen) else 0
    return max(again, *(correction.most_images for correction in chosen))


def _held_out(images: int, needed: int) -> int:
    if images < LEAST_IMAGES:
        return 0
    return min(HELD_OUT, max(images - needed, images // 4, min(FEW_HELD_OUT, images // 2)))


def _correct(
    prepared: PreparedModel,
    chosen: list[Correction],
    sample: Sample,
    extremes: Extremes,
    room: Memory,
    seed: int,
    guard: bool,
    algorithm: Range,
    progress: Progress,
) -> dict[str, Any]:
    """Run the corrections; returns what the record says of them."""
    order, logits = sample.order(), sample.logits()
    held = _held_out(len(order), _needed(chosen)) if guard else 0
    fitted, judged = Picked(sample.images, order[held:]), Picked(sample.images, order[: held or None])
    yardstick = Yardstick(judged, logits[: held or None]) if guard else None
    calibration = Calibration(fitted, room, seed, largest=extremes.largest())
    again = Picked(sample.images, order[:AGAIN])
    corrector = Corrector(prepared, calibration, algorithm, extremes, again, yardstick, progress)
    verdicts = corrector.run(chosen)
    for verdict in verdicts:
        if not verdict.kept and verdict.after != verdict.before:
            progress.say(str(verdict))
    if not guard:
        return {}
    judged_on = {"images": len(judged), "held_out": held > 0}
    return {"corrections": [verdict.to_json() for verdict in verdicts], "judged_on": judged_on}


def _calibrate_without_images(
    prepared: PreparedModel, algorithm: Range, chosen: list[Correction], seed: int
) -> dict[str, Any]:
    training = prepared.training
    expect_norms(prepared.eval())
    for correction in chosen:
        if correction.before_ranges:
            correction.apply_without_images(prepared)
    observe_noise(prepared, seed)
    prepared.calibrator.choose_ranges(algorithm)
    for correction in chosen:
        if not correction.before_ranges:
            correction.apply_without_images(prepared)
    prepared.train(training)
    return {"images": 0, "data_free": True, "range": algorithm.name}


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
    _expect_prepared(prepared)
    outputs = prepared.graph.values[prepared.graph.output].shape[0]
    named = None if classes is None else _names(classes, outputs)
    versions = {"bitwright": __version__, "torch": torch.__version__, "python": platform.python_version()}
    notes: dict[str, Any] = {"capture": list(prepared.notes)} if prepared.notes else {}
    foreign = sorted(prepared.foreign | foreign_schemes(prepared), key=lambda found: (found.kind, found.name))
    notes |= {"foreign": [found.to_json() for found in foreign]} if foreign else {}
    record = {"recipe": prepared.recipe.to_json(), "versions": versions, **notes, **(provenance or {})}
    return Artifact(prepared.lower(), prepared.preprocess, named, record)


def _names(classes: Given, outputs: int) -> tuple[str, ...]:
    given = class_names(classes)  # a single output may have the one name, of what it is on for
    return given.names if len(given) == outputs else named_anew(None, given, class_count(outputs)).names


def _expect_prepared(prepared: object) -> None:
    if not isinstance(prepared, PreparedModel):
        raise ModelError(
            f"expected a prepared model, found {type(prepared).__name__}; bitwright.prepare(model, preprocess=...) makes one, "
            "bitwright.calibrate gives it ranges, and bitwright.quantize does all of it in one call"
        )


def quantize(
    model: FloatModelLike,
    images: Images | None,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    output: Output = None,
    range: str | None = None,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    guard: bool = True,
    classes: Given | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Artifact:
    """Turn a float model into an integer one: `prepare`, `calibrate` and `convert` in one call.

    Same inputs and same seed give the same bytes.

    Args:
        model: takes float32 [N, C, H, W], normalised, and returns logits [N, classes]; a module, an exported program or
            a graph.
        images: to calibrate on; uint8 [N, H, W, C], an iterable of such batches, or an image source. No labels are
            used. None: data-free, by the batch norms alone.
        preprocess: how a picture becomes the model's input.
        recipe: a short form such as "w4a8", a TOML file, or a `Recipe`.
        output: which of the model's outputs the logits are, where it has several.
        range: the range algorithm, in place of the recipe's.
        seed: of all that is drawn at random.
        memory: how many bytes corrections may hold; the rest lies in a temporary file.
        guard: whether corrections that do not help are undone.
        classes: names of the classes, or a file of them; looked at before anything is computed. None: those of the
            image source, if it has one for each class.
        provenance: what else the artifact shall tell of how it was made.
        progress: hears how far the work is, and what has to be known of it (`bitwright.progress`).

    Raises:
        ModelError, CaptureError, RecipeError: see `prepare`.
        CalibrationError: see `calibrate`.
        OverflowBoundError, LabelError: see `convert`.
    """
    _expect_seed(seed)
    prepared = prepare(model, preprocess=preprocess, recipe=recipe, output=output)
    outputs = prepared.graph.values[prepared.graph.output].shape[0]
    if classes is not None:
        classes = _names(classes, outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        how: dict[str, Any] = {"range": range, "seed": seed, "memory": memory, "guard": guard}
        calibration = calibrate(prepared, images, **how, progress=progress)
    if classes is None and isinstance(images, ImageSource):
        classes = names_for(images, outputs)
    return convert(
        prepared, classes=classes, provenance={"seed": seed, "calibration": calibration, **(provenance or {})}
    )
