"""The verbs: `prepare`, `calibrate`, `convert`, and `quantize`, which is all of them in one call."""

import hashlib
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
from bitwright.sources import ImageSource

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

    Raises CaptureError where the model cannot be captured, RecipeError where a pattern matches no layer.
    """
    height, width, channels = preprocess.shape
    graph = fuse(capture(model, (channels, height, width)))
    return PreparedModel(graph, preprocess, Recipe.parse(recipe)).eval()


def calibrate(
    prepared: PreparedModel, images: Images, *, range: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Choose every scale from images: uint8 [N, H, W, C], an iterable of such batches, or an image source.

    Then runs the recipe's corrections on the first of the images. Streams: memory does not grow with the number of images.
    `range` overrides the recipe's algorithm; `progress` is called
    with the number of images of each batch. Returns a record of what was seen: the number of images and their SHA-256.
    Raises CalibrationError where there are no images or the float model does not stay finite.
    """
    algorithm = range_algorithm(range or prepared.recipe.range)
    corrections = [correction(name) for name in prepared.recipe.algorithms]
    digest, count = hashlib.sha256(), 0
    room, kept = _images_to_keep(prepared), []
    device = prepared.image_scale.device
    for batch in _batches(images, prepared.preprocess):
        digest.update(np.ascontiguousarray(batch).data)
        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(device)
        prepared.observe(pixels)
        if count < room:
            kept.append(pixels[: room - count].clone())
        count += len(batch)
        if progress is not None:
            progress(len(batch))
    if count == 0:
        raise CalibrationError("there are no images to calibrate on")
    prepared.choose_ranges(algorithm)
    for step in corrections:
        step.apply(prepared, torch.cat(kept))
    return {"images": count, "sha256": digest.hexdigest(), "range": algorithm.name}


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
    torch.manual_seed(seed)
    prepared = prepare(model, preprocess=preprocess, recipe=recipe)
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


def _batches(images: Images, preprocess: Preprocess) -> Iterator[Pixels]:
    if isinstance(images, ImageSource):
        for batch in images.batches(preprocess, BATCH):
            yield batch.images
        return
    parts: Iterable[Pixels] = [images] if isinstance(images, np.ndarray) else images
    for part in parts:
        if part.dtype != np.uint8 or part.ndim != 4 or part.shape[1:] != preprocess.shape:
            raise CalibrationError(
                f"expected uint8 images of [N, {', '.join(map(str, preprocess.shape))}], found {part.dtype} {list(part.shape)}"
            )
        for start in np.arange(0, len(part), BATCH):
            yield part[start : start + BATCH]
