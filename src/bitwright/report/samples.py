"""Pictures of the images on which two models differ, small enough for a page."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.gates.outcomes import Outcomes
from bitwright.images.preprocess import Preprocess
from bitwright.report.record import Sample

SIDE = 128
"""Pixels of the longer side, at most."""


def samples_of(outcomes: Outcomes, preprocess: Preprocess, count: int) -> tuple[Sample, ...]:
    """The images that the models put in different classes and are surest of, by the product of their confidences."""
    integer, float_ = outcomes.integer, outcomes.float_
    differ = np.flatnonzero(integer.classes != float_.classes)
    sure = integer.confidences[differ] * float_.confidences[differ]
    return tuple(_sample(outcomes, preprocess, int(i)) for i in differ[np.argsort(-sure, kind="stable")][:count])


def _sample(outcomes: Outcomes, preprocess: Preprocess, i: int) -> Sample:
    index, names = int(outcomes.indices[i]), outcomes.names
    integer, float_ = int(outcomes.integer.classes[i]), int(outcomes.float_.classes[i])
    label = None if outcomes.labels is None else int(outcomes.labels[i])
    kind = "lost" if label == float_ else "gained" if label == integer else "moved"
    return Sample(
        name=outcomes.source.name(index),
        label=None if label is None else names[label],
        float_class=names[float_],
        float_confidence=100 * float(outcomes.float_.confidences[i]),
        integer_class=names[integer],
        integer_confidence=100 * float(outcomes.integer.confidences[i]),
        kind=kind,
        picture=data_url(preprocess.apply(outcomes.source.read(index)), preprocess.mode),
    )


def data_url(pixels: npt.NDArray[np.uint8], mode: str) -> str:
    """Pixels [H, W, C] as a model sees them, in the order of `mode`, as a data URL: WebP, without loss where they are few."""
    if pixels.shape[2] == 1:
        picture = Image.fromarray(pixels[:, :, 0])
    else:
        picture = Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]) if mode == "BGR" else pixels)
    is_small = max(picture.size) <= SIDE // 2
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=is_small, quality=100 if is_small else 80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
