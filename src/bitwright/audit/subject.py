"""`Subject`: an artifact, the float model that it is of, and images that both see; measures integer models on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt

from bitwright.artifact import Artifact
from bitwright.artifact_file.writing import written
from bitwright.audit.records import Outcome
from bitwright.audit.signals import db_of
from bitwright.budget.race import run_in_turns
from bitwright.capture import Captured
from bitwright.engine import Engine
from bitwright.errors import ModelError, SourceError
from bitwright.evaluation import float_predictor, outputs_of
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource
from bitwright.labels import By, fit_labels
from bitwright.models.float_models import FloatModel
from bitwright.prediction import class_count, classes_of, log_probabilities
from bitwright.progress import SILENT, Progress
from bitwright.summary import model_summary

BATCH = 64
TIMED_CALLS = 30
Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Seen:
    """Images as one preprocessing makes them, uint8 [N, H, W, C]; what they are called, and their labels, if any."""

    pixels: Pixels
    names: tuple[str, ...]
    labels: Classes | None

    def head(self, count: int) -> "Seen":
        """The first `count` images."""
        labels = None if self.labels is None else self.labels[:count]
        return Seen(self.pixels[:count], self.names[:count], labels)


@dataclass(frozen=True, eq=False)
class Subject:
    """What an audit looks at.

    Fields:
        artifact: the integer model.
        model: the float model; `captured` is its graph.
        preprocess: what the float model's images go through; the artifact has its own.
        seen: the images that both are judged on, with labels in the artifact's order.
        fitted: others, to fit remedies on.
        float_logits: of the images of `seen`, [N, classes].
    """

    artifact: Artifact
    model: FloatModel
    captured: Captured
    preprocess: Preprocess
    source: ImageSource
    fit_source: ImageSource
    seen: Seen
    float_logits: Logits
    threads: int | None = None

    @property
    def labels(self) -> Classes | None:
        return self.seen.labels

    @cached_property
    def float_classes(self) -> Classes:
        return classes_of(self.float_logits)

    @cached_property
    def float_top1(self) -> float | None:
        return None if self.labels is None else 100 * float((self.float_classes == self.labels).mean())

    @cached_property
    def logits(self) -> Logits:
        """The artifact's logits of the images of `seen`."""
        return run_engine(Engine(self.artifact, threads=self.threads), self.seen.pixels)

    def pixels_for(self, preprocess: Preprocess) -> Pixels:
        """The images of `seen` as another preprocessing makes them."""
        if same_pixels(preprocess, self.artifact.preprocess):
            return self.seen.pixels
        return look(self.source, preprocess)[1].pixels

    def outcome(self, artifact: Artifact, timed: bool = True) -> Outcome:
        """Measure an integer model of these classes on the images of `seen`."""
        engine = Engine(artifact, threads=self.threads)
        pixels = self.pixels_for(artifact.preprocess)
        logits = self.logits if artifact is self.artifact else run_engine(engine, pixels)
        return measured(
            logits,
            self.float_logits,
            self.labels,
            model_bytes(artifact),
            microseconds(engine) if timed else None,
        )

    def slower(self, artifact: Artifact) -> float | None:
        """How many microseconds more than the artifact of the subject another one takes for an image, both timed in turn; None
        where that is not certain: the interval of their ratio holds 1. Where the same kernels run, other numbers take no other
        time, and nothing is timed."""
        if _steps(artifact) == _steps(self.artifact):
            return None
        own, its = run_in_turns([_one_image(Engine(a, threads=self.threads)) for a in (self.artifact, artifact)])
        least, most = its.ratio_interval
        return None if least <= 1 <= most else 1e3 * own.median_ms * (its.ratio - 1)

    def with_labels(self, labels: Classes | None) -> "Subject":
        """The same with other labels of the images of `seen`, or with none."""
        return replace(self, seen=replace(self.seen, labels=labels))


def measured(logits: Logits, wanted: Logits, labels: Classes | None, size: int, us: float | None) -> Outcome:
    """How near logits [N, classes] are to the float model's, and how often they are right."""
    guesses = classes_of(logits)
    p, q = log_probabilities(wanted), log_probabilities(logits)
    return Outcome(
        images=len(logits),
        top1=None if labels is None else 100 * float((guesses == labels).mean()),
        agreement=100 * float((guesses == classes_of(wanted)).mean()),
        kl=float((np.exp(p) * (p - q)).sum(axis=1).mean()),
        db=db_of(wanted, logits),
        bytes=size,
        microseconds=us,
    )


def model_bytes(artifact: Artifact) -> int:
    """Of the artifact's file without its provenance: the record of how it was made costs no model anything."""
    return len(written(artifact.graph, artifact.preprocess, artifact.classes, {}))


def _steps(artifact: Artifact) -> list[tuple[object, ...]]:
    """What kernels are chosen by: each layer's op, shape and schemes."""
    layers = model_summary(artifact, b"").layers
    return [(layer.op, layer.shape, layer.weights, layer.activations) for layer in layers]


def _one_image(engine: Engine) -> Callable[[], object]:
    image = np.zeros((1, *engine.artifact.preprocess.shape), np.uint8)
    return lambda: engine(image)


def run_engine(engine: Engine, pixels: Pixels) -> Logits:
    """The logits of many images, in batches."""
    return np.concatenate([engine(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)])


def microseconds(engine: Engine) -> float:
    """The median time that an engine takes for one image."""
    taken, run = list[float](), _one_image(engine)
    for _ in range(TIMED_CALLS):
        begin = perf_counter()
        run()
        taken.append(perf_counter() - begin)
    return 1e6 * median(taken[TIMED_CALLS // 5 :])


def same_pixels(one: Preprocess, other: Preprocess) -> bool:
    """Whether two preprocessings make the same pixels, whatever these then mean."""
    plain = [replace(p, mean=0.0, std=1.0, scale=1 / 255, encoder=None) for p in (one, other)]
    return plain[0] == plain[1]


def look(source: ImageSource, preprocess: Preprocess, progress: Progress = SILENT) -> tuple[ImageSource, Seen]:
    """The images of a source that can be read, and what they look like; of the others it is said why not.

    SourceError where none can be read.
    """
    parts, indices, batches = list[Pixels](), list[Classes](), source.batches(preprocess, BATCH)
    for batch in batches:
        parts.append(batch.images)
        indices.append(batch.indices)
    for image in batches.bad:
        progress.say(f"warning: left out {image.name}: {image.reason}")
    if not parts:
        raise SourceError(f"{source.where}: none of the {len(source)} images could be read: {batches.bad[0].reason}")
    kept = np.concatenate(indices)
    source = source if len(kept) == len(source) else source.subset(kept)
    names = tuple(source.name(i) for i in range(len(source)))
    return source, Seen(np.concatenate(parts), names, source.labels)


def float_logits(model: FloatModel, preprocess: Preprocess, pixels: Pixels, progress: Progress = SILENT) -> Logits:
    """The float model's logits of images as its preprocessing makes them, uint8 [N, H, W, C]."""
    predict, parts = float_predictor(model, preprocess), []
    for start in range(0, len(pixels), BATCH):
        parts.append(predict(pixels[start : start + BATCH]))
        progress.at("float model", min(start + BATCH, len(pixels)), len(pixels))
    return np.concatenate(parts)


def seen_right(subject: Subject, preprocess: Preprocess, progress: Progress = SILENT) -> Subject:
    """The subject whose float model sees its images as another preprocessing makes them."""
    if preprocess == subject.preprocess:
        return subject
    logits = float_logits(subject.model, preprocess, subject.pixels_for(preprocess), progress)
    return replace(subject, preprocess=preprocess, float_logits=logits)


def split(source: ImageSource, images: int, fit: int, seed: int, other: ImageSource | None) -> tuple[ImageSource, ...]:
    """Images to judge on, and others to fit on: of `other` where it is given, else of the same source, half at most."""
    if other is not None:
        return source.sample(min(images, len(source)), seed), other.sample(min(fit, len(other)), seed)
    if len(source) < 2:
        return source, source
    fit = max(1, min(fit, len(source) // 2))
    fitted, judged = source.split(fit, min(images, len(source) - fit), seed)
    return judged, fitted


def labelled(source: ImageSource, artifact: Artifact, by: By) -> tuple[ImageSource, str | None]:
    """The source with the artifact's classes for labels, and a remark on what was taken for granted."""
    fitted = fit_labels(source, artifact.known_classes, artifact.outputs, by)
    return fitted.source, fitted.remark


def expect_same_classes(artifact: Artifact, model: FloatModel, preprocess: Preprocess) -> None:
    """Raise ModelError unless both have as many classes."""
    found = class_count(outputs_of(model, preprocess))
    if found != class_count(artifact.outputs):
        raise ModelError(
            f"the float model has {found:,} classes and the artifact {class_count(artifact.outputs):,}: expected the model "
            "that the artifact was made of"
        )
