"""`HeldOut`: images that nothing was fitted on, and what the float model takes them for; it measures drops on them."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.budget.cache import Cache, pixels_digest
from bitwright.budget.drop import Classes, Drop, drop_between
from bitwright.chance import doubts
from bitwright.classes import ClassNames
from bitwright.engine import Engine
from bitwright.errors import SourceError
from bitwright.evaluation import float_predictor
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import BadImage, ImageSource
from bitwright.images.sources.overlap import warn_of_shared
from bitwright.labels import By, fit_labels
from bitwright.models.float_models import FloatModelLike
from bitwright.prediction import classes_of
from bitwright.progress import SILENT, Progress

BATCH = 64
IMAGES = 5000
Pixels = npt.NDArray[np.uint8]


def split(
    source: ImageSource, fitted: int, verified: int, seed: int, held_out: ImageSource | None
) -> tuple[ImageSource, ImageSource]:
    """Images to fit on, those that `quantize` would draw, and others to verify on, of `held_out` if given: so many at most.

    Half of the source is held out where there is not enough of it. SourceError where there are not two images. A SourceWarning
    where images of `held_out` are fitted on, too.
    """
    if held_out is not None:
        chosen, others = (
            source.sample(min(fitted, len(source)), seed),
            held_out.sample(min(verified, len(held_out)), seed),
        )
        warn_of_shared(chosen, others, "fitted on")
        return chosen, others
    fitted = max(1, min(fitted, len(source) // 2))
    return source.split(fitted, min(verified, len(source) - fitted), seed)


def fitted_labels(
    source: ImageSource, known: ClassNames | None, outputs: int, by: By, progress: Progress
) -> ImageSource:
    """The source with the model's classes for labels; what was taken for granted is said. LabelError where they do not fit."""
    fitted = fit_labels(source, known, outputs, by)
    if fitted.remark is not None:
        progress.say(f"warning: {fitted.remark}")
    return fitted.source


def read(source: ImageSource, preprocess: Preprocess) -> tuple[Pixels, list[BadImage]]:
    """All images that can be read, uint8 [N, H, W, C], and those that cannot; SourceError where none can."""
    batches = source.batches(preprocess, BATCH)
    parts = [batch.images for batch in batches]
    if not parts:
        raise SourceError(f"{source.where}: none of the {len(source)} images could be read: {batches.bad[0].reason}")
    return np.concatenate(parts), batches.bad


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A source; for its images that can be read, the float model's classes and the labels, if any; and a digest of these."""

    source: ImageSource
    preprocess: Preprocess
    float_guesses: Classes
    labels: Classes | None
    digest: str
    bad: tuple[BadImage, ...]

    def at_chance(self, classes: int) -> str | None:
        """What to say of a float model that is no better than guessing on the labels, or knows the classes in another order;
        None where it is neither, or there are no labels."""
        if self.labels is None:
            return None
        return doubts("the float model itself", self.labels.tolist(), self.float_guesses.tolist(), classes)

    def drop(self, artifact: Artifact, threads: int | None = None) -> Drop:
        """What an integer model loses on them, as it runs in the engine."""
        engine = Engine(artifact, threads=threads)
        guesses = [classes_of(engine(batch.images)) for batch in self.source.batches(self.preprocess, BATCH)]
        return drop_between(np.concatenate(guesses), self.float_guesses, self.labels)


def hold_out(
    source: ImageSource,
    model: FloatModelLike,
    study: dict[str, Any],
    preprocess: Preprocess,
    cache: Cache,
    progress: Progress = SILENT,
) -> HeldOut:
    """Run the float model, which `study` tells from others, on a source's images, unless the cache knows its answers."""
    digests, labels = [], []
    batches = source.batches(preprocess, BATCH)
    for batch in batches:
        digests.append(pixels_digest(batch.images))
        labels.append(batch.labels)
    if not digests:
        raise SourceError(f"{source.where}: none of the {len(source)} images could be read: {batches.bad[0].reason}")
    key = {"model": study["model"], "preprocess": study["preprocess"], "classes of": digests}
    guesses = cache.get(**key)
    if guesses is None:
        predict = float_predictor(model, preprocess)
        guesses = []
        for batch in source.batches(preprocess, BATCH):
            guesses += classes_of(predict(batch.images)).tolist()
            progress.at("float model", len(guesses), len(source))
        cache.put(guesses, **key)
    known = None if source.labels is None else np.concatenate([part for part in labels if part is not None])
    digest = hashlib.sha256(repr((digests, None if known is None else known.tolist())).encode()).hexdigest()
    return HeldOut(source, preprocess, np.array(guesses, np.int64), known, digest, tuple(batches.bad))
