"""The verbs: `prepare`, `calibrate`, `convert`, and `quantize`, which is all of them in one call."""

import hashlib
import itertools
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright import __version__
from bitwright.artifact import Artifact
from bitwright.errors import CalibrationError, MissingExtraError
from bitwright.preprocess import Preprocess
from bitwright.recipe import Recipe
from bitwright.sources import Batches, ImageSource

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

from bitwright.algorithms.correction import correction
from bitwright.algorithms.ranges import range_algorithm
from bitwright.capture import capture, fuse
from bitwright.nn import PreparedModel

Pixels = npt.NDArray[np.uint8]
Images = Pixels | Iterable[Pixels] | ImageSource
Progress = Callable[[int], None]
BATCH = 32
CORRECTED_IMAGES = 128
CORRECTED_BYTES = 2**27


def prepare(
    model: "nn.Module | torch.export.ExportedProgram",
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
) -> PreparedModel:
    """Capture and fuse a float model (float32 [N, C, H, W] -> logits) and put quantizers on its edges and weights.

    Raises CaptureError where the model cannot be captured, RecipeError where a pattern matches no layer or a name is unknown.
    """
    height, width, channels = preprocess.shape
    plan = Recipe.parse(recipe)
    range_algorithm(plan.range)
    for name in plan.algorithms:
        correction(name)
    graph = fuse(capture(model, (channels, height, width)))
    return PreparedModel(graph, preprocess, plan).eval()


def calibrate(
    prepared: PreparedModel, images: Images, *, range: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Choose every scale from images: uint8 [N, H, W, C], an iterable of such batches, or an image source.

    Runs the recipe's corrections too, on the first of the images. Streams: memory does not grow with the number of images,
    and how they are cut into batches changes nothing. A second calibration starts anew. `range` overrides the recipe's
    algorithm; `progress` is called with the number of images of each batch. Returns a record of what was seen: the number
    of images, of images that could not be read (if any), and the SHA-256 of the pixels.
    Raises CalibrationError where there are no images, or the float model does not stay finite.
    """
    algorithm = range_algorithm(range or prepared.recipe.range)
    corrections = [correction(name) for name in prepared.recipe.algorithms]
    training = prepared.training
    prepared.eval().forget()
    digest, count = hashlib.sha256(), 0
    device = prepared.image_scale.device
    stream = images.batches(prepared.preprocess, BATCH) if isinstance(images, ImageSource) else images
    batches = _batches(stream, prepared.preprocess)
    head = list(itertools.islice(batches, -(-_images_to_keep(prepared) // BATCH)))
    if not head:
        raise CalibrationError("there are no images to calibrate on")
    kept = torch.from_numpy(np.concatenate(head)[: _images_to_keep(prepared)]).to(device)
    for step in corrections:
        if step.before_ranges:
            step.apply(prepared, kept)
    for batch in itertools.chain(head, batches):
        digest.update(batch.data)
        prepared.observe(torch.from_numpy(batch).to(device))
        count += len(batch)
        if progress is not None:
            progress(len(batch))
    prepared.choose_ranges(algorithm)
    for step in corrections:
        if not step.before_ranges:
            step.apply(prepared, kept)
    prepared.train(training)
    record = {"images": count, "sha256": digest.hexdigest(), "range": algorithm.name}
    unread = len(stream.bad) if isinstance(stream, Batches) else 0
    return {**record, "bad": unread} if unread else record


def convert(
    prepared: PreparedModel, *, classes: Iterable[str] | None = None, provenance: Mapping[str, Any] | None = None
) -> Artifact:
    """The artifact of a calibrated model. Raises CalibrationError, OverflowBoundError."""
    versions = {"bitwright": __version__, "torch": torch.__version__, "python": platform.python_version()}
    record = {"recipe": prepared.recipe.to_json(), "versions": versions, **(provenance or {})}
    return Artifact(prepared.lower(), prepared.preprocess, None if classes is None else tuple(classes), record)


def quantize(
    model: "nn.Module | torch.export.ExportedProgram",
    images: Images,
    *,
    preprocess: Preprocess,
    recipe: str | PathLike[str] | Recipe = "w8a8",
    range: str | None = None,
    seed: int = 0,
    classes: Iterable[str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Quantize a float model in one call; the arguments are those of `prepare`, `calibrate` and `convert`.

    Class names come from the image source where it has them and `classes` is not given. Same inputs, same seed: same bytes.
    """
    prepared = prepare(model, preprocess=preprocess, recipe=recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        calibration = calibrate(prepared, images, range=range, progress=progress)
    if classes is None and isinstance(images, ImageSource):
        classes = images.classes
    return convert(
        prepared, classes=classes, provenance={"seed": seed, "calibration": calibration, **(provenance or {})}
    )


def _images_to_keep(prepared: PreparedModel) -> int:
    """How many images the corrections get: so many that the largest value of all of them stays within a bound."""
    largest = max(math.prod(value.shape) for value in prepared.graph.values.values())
    return max(1, min(CORRECTED_IMAGES, CORRECTED_BYTES // (4 * largest)))


def _batches(images: Images | Batches, preprocess: Preprocess) -> Iterator[Pixels]:
    """The images in contiguous batches of BATCH, the last one shorter, however they came."""
    waiting: list[Pixels] = []
    expected = f"expected uint8 images of [N, {', '.join(map(str, preprocess.shape))}]"
    for part in _parts(images, expected):
        if not isinstance(part, np.ndarray):
            raise CalibrationError(f"{expected}, found {part!r:.100}")
        if part.dtype != np.uint8 or part.ndim != 4 or part.shape[1:] != preprocess.shape:
            raise CalibrationError(f"{expected}, found {part.dtype} {list(part.shape)}")
        for start in np.arange(0, len(part), BATCH):
            waiting.append(part[start : start + BATCH])
            if sum(map(len, waiting)) >= BATCH:
                whole = np.ascontiguousarray(np.concatenate(waiting))
                yield whole[:BATCH]
                waiting = [whole[BATCH:]]
    if sum(map(len, waiting)):
        yield np.ascontiguousarray(np.concatenate(waiting))


def _parts(images: Images | Batches, expected: str) -> Iterable[Any]:
    if isinstance(images, Batches):
        return (batch.images for batch in images)
    if isinstance(images, str | bytes | PathLike) or not isinstance(images, Iterable):
        raise CalibrationError(f"{expected}, batches of them, or bitwright.open_source(...), found {images!r:.100}")
    return [images] if isinstance(images, np.ndarray) else images
