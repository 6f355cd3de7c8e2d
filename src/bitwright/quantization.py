"""The verbs: `prepare`, `calibrate`, `convert`, and `quantize`, which is all of them in one call."""

import hashlib
import itertools
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright import __version__
from bitwright.artifact import Artifact
from bitwright.calibration_check import Seen
from bitwright.errors import (
    CalibrationError,
    CalibrationWarning,
    CaptureError,
    CaptureWarning,
    MissingExtraError,
    ModelError,
    RecipeError,
)
from bitwright.labels import names_for
from bitwright.preprocess import Preprocess
from bitwright.recipe import Recipe
from bitwright.sources import Batches, ImageSource

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

from bitwright.algorithms.correction import Correction, corrections
from bitwright.algorithms.correction.calibration import Calibration, batch_of
from bitwright.algorithms.correction.data_free import expect_norms, observe_noise
from bitwright.algorithms.correction.values import Memory
from bitwright.algorithms.ranges import Range, range_algorithm
from bitwright.capture import captured, fuse
from bitwright.mode_hint import mode_hint
from bitwright.nn import PreparedModel

Pixels = npt.NDArray[np.uint8]
Images = Pixels | Iterable[Pixels] | ImageSource
Progress = Callable[[int], None]
Stages = Callable[[str, float], None]
MEMORY_BYTES = 2**31


def prepare(
    model: "nn.Module | torch.export.ExportedProgram",
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
) -> PreparedModel:
    """Capture and fuse a float model (float32 [N, C, H, W] -> logits) and put quantizers on its edges and weights.

    What of the model isn't kept as it is, such as a softmax at its end, is said in a CaptureWarning and in the provenance.
    Raises ModelError where it is no model, CaptureError where it cannot be captured, RecipeError where a pattern matches no
    layer or a name is unknown.
    """
    height, width, channels = preprocess.shape
    plan = Recipe.parse(recipe)
    try:
        range_algorithm(plan.range)
        steps = corrections(plan.algorithms)
    except RecipeError as error:
        raise RecipeError(f"recipe {plan.name!r}: {error}") from error
    try:
        found = captured(model, (channels, height, width))
    except CaptureError as error:
        raise CaptureError(f"{error}{mode_hint(str(error), preprocess)}") from error
    for note in found.notes:
        warnings.warn(note, CaptureWarning, stacklevel=2)
    prepared = PreparedModel(fuse(found.graph), preprocess, plan, notes=found.notes).eval()
    for step in steps:
        step.check(prepared)
    return prepared


def calibrate(
    prepared: PreparedModel,
    images: Images | None,
    *,
    range: str | None = None,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    progress: Progress | None = None,
    stages: Stages | None = None,
) -> dict[str, Any]:
    """Choose every scale from images: uint8 [N, H, W, C], an iterable of such batches, or an image source.

    Runs the recipe's corrections too, on as many of the first images as they want. Streams: ranges need no more memory for more
    images, and of what corrections compute no more than `memory` bytes are held, the rest lies in a temporary file. How the
    images are cut into batches changes nothing. A second calibration starts anew. `range` overrides the recipe's algorithm.
    `progress` is called with the number of images of each batch, `stages` with a correction's name and how much of it is done
    (0 to 1). Returns a record of what was seen: the number of images, of images that could not be read (if any), and the
    SHA-256 of the pixels; and `warnings`, given as CalibrationWarning too, where they are a single one, nearly equal, or of one
    colour.
    With None for the images, batch norms have to tell what they were like: the record says `data_free`, and expect less.
    Raises CalibrationError where there are no images, or the float model does not stay finite.
    """
    _expect_prepared(prepared)
    algorithm = range_algorithm(range or prepared.recipe.range)
    steps = corrections(prepared.recipe.algorithms)
    if images is None:
        return _calibrate_without_images(prepared, algorithm, steps, seed)
    training = prepared.training
    prepared.eval().forget()
    digest, count, seen = hashlib.sha256(), 0, Seen()
    device = prepared.image_scale.device
    size = batch_of(prepared.preprocess.shape)
    stream = images.batches(prepared.preprocess, size) if isinstance(images, ImageSource) else images
    batches = _batches(stream, prepared.preprocess)
    most = max((step.most_images for step in steps), default=1)
    head = list(itertools.islice(batches, -(-most // size)))
    if not head:
        raise CalibrationError("there are no images to calibrate on")
    room = Memory(memory)
    kept = room.values((min(most, sum(map(len, head))), *head[0].shape[1:]), np.uint8)
    for i, batch in enumerate(head):
        kept[i * size : (i + 1) * size] = torch.from_numpy(batch[: len(kept) - i * size])

    def correct(*, before_ranges: bool) -> None:
        for step in steps:
            if step.before_ranges == before_ranges:
                tell = partial(stages, step.name) if stages is not None else lambda share: None
                step.apply(prepared, Calibration(kept, room, seed, tell))

    correct(before_ranges=True)
    for batch in itertools.chain(head, batches):
        digest.update(batch.data)
        seen.add(batch)
        prepared.observe(torch.from_numpy(batch).to(device))
        count += len(batch)
        if progress is not None:
            progress(len(batch))
    prepared.choose_ranges(algorithm)
    correct(before_ranges=False)
    prepared.train(training)
    record = {"images": count, "sha256": digest.hexdigest(), "range": algorithm.name}
    unread = len(stream.bad) if isinstance(stream, Batches) else 0
    found = seen.findings()
    for text in found:
        warnings.warn(CalibrationWarning(text), stacklevel=2)
    return {**record, **({"bad": unread} if unread else {}), **({"warnings": found} if found else {})}


def _calibrate_without_images(
    prepared: PreparedModel, algorithm: Range, steps: list[Correction], seed: int
) -> dict[str, Any]:
    training = prepared.training
    expect_norms(prepared)
    prepared.eval().forget()
    for step in steps:
        if step.before_ranges:
            step.apply_without_images(prepared)
    observe_noise(prepared, seed)
    prepared.choose_ranges(algorithm)
    for step in steps:
        if not step.before_ranges:
            step.apply_without_images(prepared)
    prepared.train(training)
    return {"images": 0, "data_free": True, "range": algorithm.name}


def convert(
    prepared: PreparedModel, *, classes: Iterable[str] | None = None, provenance: Mapping[str, Any] | None = None
) -> Artifact:
    """The artifact of a calibrated model. Raises CalibrationError, OverflowBoundError."""
    _expect_prepared(prepared)
    versions = {"bitwright": __version__, "torch": torch.__version__, "python": platform.python_version()}
    notes = {"capture": list(prepared.notes)} if prepared.notes else {}
    record = {"recipe": prepared.recipe.to_json(), "versions": versions, **notes, **(provenance or {})}
    return Artifact(prepared.lower(), prepared.preprocess, None if classes is None else tuple(classes), record)


def _expect_prepared(prepared: object) -> None:
    if not isinstance(prepared, PreparedModel):
        raise ModelError(
            f"expected a prepared model, found {type(prepared).__name__}; bitwright.prepare(model, preprocess=...) makes one, "
            "bitwright.calibrate gives it ranges, and bitwright.quantize does all of it in one call"
        )


def quantize(
    model: "nn.Module | torch.export.ExportedProgram",
    images: Images | None,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    range: str | None = None,
    seed: int = 0,
    memory: int = MEMORY_BYTES,
    classes: Iterable[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    stages: Stages | None = None,
) -> Artifact:
    """Quantize a float model in one call; the arguments are those of `prepare`, `calibrate` and `convert`.

    Class names come from the image source, in its order, where it has one for each class and `classes` is not given.
    Same inputs, same seed: same bytes.
    """
    prepared = prepare(model, preprocess=preprocess, recipe=recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        calibration = calibrate(
            prepared, images, range=range, seed=seed, memory=memory, progress=progress, stages=stages
        )
    if classes is None and isinstance(images, ImageSource):
        classes = names_for(images, prepared.graph.values[prepared.graph.output].shape[0])
    return convert(
        prepared, classes=classes, provenance={"seed": seed, "calibration": calibration, **(provenance or {})}
    )


def _batches(images: Images | Batches, preprocess: Preprocess) -> Iterator[Pixels]:
    """The images in contiguous batches of `batch_of` their size, the last one shorter, however they came."""
    size, waiting = batch_of(preprocess.shape), list[Pixels]()
    expected = f"expected uint8 images of [N, {', '.join(map(str, preprocess.shape))}]"
    for part in _parts(images, expected):
        if not isinstance(part, np.ndarray):
            raise CalibrationError(f"{expected}, found {part!r:.100}")
        if part.dtype != np.uint8 or part.ndim != 4 or part.shape[1:] != preprocess.shape:
            raise CalibrationError(f"{expected}, found {part.dtype} {list(part.shape)}")
        for start in np.arange(0, len(part), size):
            waiting.append(part[start : start + size])
            if sum(map(len, waiting)) >= size:
                whole = np.ascontiguousarray(np.concatenate(waiting))
                yield whole[:size]
                waiting = [whole[size:]]
    if sum(map(len, waiting)):
        yield np.ascontiguousarray(np.concatenate(waiting))


def _parts(images: Images | Batches, expected: str) -> Iterable[Any]:
    if isinstance(images, Batches):
        return (batch.images for batch in images)
    if isinstance(images, str | bytes | PathLike) or not isinstance(images, Iterable):
        raise CalibrationError(f"{expected}, batches of them, or bitwright.open_source(...), found {images!r:.100}")
    return [images] if isinstance(images, np.ndarray) else images
