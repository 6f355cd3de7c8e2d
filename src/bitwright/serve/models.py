"""The artifacts that are served: each behind its lanes, and replaced by its new file once that has proved to work."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bitwright.artifact import from_bytes, read
from bitwright.classifier import Classifier
from bitwright.errors import ArtifactError, BitwrightError, WeightsError
from bitwright.records import Prediction
from bitwright.serve.lane import INLINE_SECONDS, Lane, Limits
from bitwright.serve.logs import log
from bitwright.serve.metrics import Metrics
from bitwright.serve.preview import Preview, preview
from bitwright.serve.refusal import Refusal
from bitwright.serve.settings import Settings
from bitwright.serve.uploads import File
from bitwright.signatures import signature_path

T = TypeVar("T")
Pixels = npt.NDArray[np.uint8]
Outputs = dict[str, npt.NDArray[np.float32]]
Stamp = tuple[tuple[int, int, int], tuple[int, int, int] | None]
_DECODED_AT_ONCE = 16
"""Pictures that a thread decodes before it runs the engine on them."""


class ServedModel:
    """One version of a model.

    Args:
        pool: threads that run the engine on pixels, and make previews.
        readers: as many threads as `settings.workers`, which decode and classify the pictures of all models.

    Attributes:
        name: as clients call it.
        version: the first 12 digits of the file's SHA-256, so that a client can tell what answered.
        stamp: of its files, from before they were read.
        key: which key has signed it; None where no signature is required.
        fault: why it answers nothing any more; None while its weights are what they were.
    """

    def __init__(
        self, name: str, path: Path, settings: Settings, pool: Executor, readers: Executor, metrics: Metrics
    ) -> None:
        self.name, self.path, self._metrics = name, path, metrics
        self.fault: str | None = None
        self.stamp = stamp(path)
        data = read(path)
        self.key = None if settings.trust is None else settings.trust.verify_file(data, path).key
        self.version = hashlib.sha256(data).hexdigest()[:12]
        self.artifact = from_bytes(data, str(path))
        self.classifier = Classifier(self.artifact, threads=settings.threads, check_weights=settings.check_weights)
        self.output_names = tuple(self.artifact.graph.named_outputs)
        self._prove()
        queue, patience = settings.queue, settings.patience_seconds
        one = Limits(1, settings.batch, queue, patience)
        many = Limits(settings.workers, _DECODED_AT_ONCE, queue, patience, settings.workers)
        self.infer = Lane[Pixels, Outputs](self._infer, pool, one, metrics.lane(name, "infer"), INLINE_SECONDS)
        self.classify = Lane[tuple[list[File], int], list[Prediction]](
            self._classify, readers, many, metrics.lane(name, "classify")
        )
        self.preview = Lane[bytes, Preview | Refusal](self._preview, pool, one, metrics.lane(name, "preview"))

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output of one image."""
        graph = self.artifact.graph
        return {name: graph.values[value].shape for name, value in graph.named_outputs.items()}

    def _prove(self) -> None:
        """Run it once, on noise: a file may be sound in every detail and still give what is no number."""
        noise = np.random.default_rng(0).integers(0, 256, (2, *self.artifact.preprocess.shape), np.uint8)
        for name, values in self.classifier.engine.outputs(noise).items():
            if not np.isfinite(values).all():
                raise ArtifactError(f"{self.path}: its output {name!r} is not finite on noise; the file is damaged")

    def _infer(self, jobs: Sequence[Pixels], alone: bool) -> list[Outputs]:
        pixels = jobs[0] if len(jobs) == 1 else np.concatenate(jobs)
        found = self._sound(lambda: self.classifier.engine.outputs(pixels))
        if len(jobs) == 1:
            return [found]
        ends = np.cumsum([len(job) for job in jobs])
        begins = ends - [len(job) for job in jobs]
        return [{name: a[i:j] for name, a in found.items()} for i, j in zip(begins, ends, strict=True)]

    def _sound(self, run: Callable[[], T]) -> T:
        """What `run` gives; Refusal, 503, from when on bits of the weights have changed. A new process has them right."""
        if self.fault is None:
            try:
                return run()
            except WeightsError as error:
                self.fault = str(error).partition(";")[0]
                self._metrics.weights_changed.labels(self.name).set(1)
                log("weights changed", logging.ERROR, model=self.name, version=self.version, reason=self.fault)
        raise Refusal(503, f"{self.name} answers nothing any more: {self.fault}; restart the server")

    def _classify(self, jobs: Sequence[tuple[list[File], int]], alone: bool) -> list[list[Prediction]]:
        return self._sound(lambda: self._classified(jobs, alone))

    def _classified(self, jobs: Sequence[tuple[list[File], int]], alone: bool) -> list[list[Prediction]]:
        files = [data for files, _ in jobs for _, data in files]
        top = max(top for _, top in jobs)
        if alone and len(files) == 1:
            found = iter(self.classifier(files, top))
        else:
            parts = (files[i : i + _DECODED_AT_ONCE] for i in range(0, len(files), _DECODED_AT_ONCE))
            found = (prediction for part in parts for prediction in self.classifier.in_this_thread(part, top))
        return [[_named(next(found), name, top) for name, _ in files] for files, top in jobs]

    def _preview(self, jobs: Sequence[bytes], alone: bool) -> list[Preview | Refusal]:
        return [preview(data, self.artifact.preprocess) for data in jobs]


def _named(prediction: Prediction, name: str, top: int) -> Prediction:
    error = prediction.error and f"{name}: {prediction.error.partition(': ')[2]}"
    return Prediction(name, prediction.top[:top], prediction.logits, error)


def stamp(path: Path) -> Stamp | None:
    """What changes when a file does, or its signature; None where there is no file."""
    found = _stamp(path)
    return None if found is None else (found, _stamp(signature_path(path)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Models:
    """All that is served, by name.

    Raises:
        ArtifactError: a file is missing, damaged or foreign, or does not run.
    """

    def __init__(self, paths: Mapping[str, Path], settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._pool = ThreadPoolExecutor(2 * len(paths), "bitwright-serve")
        self._readers = ThreadPoolExecutor(settings.workers, "bitwright-read")
        self._served: dict[str, ServedModel] = {}
        self._refused: dict[str, Stamp] = {}
        for name, path in paths.items():
            self._take(self._loaded(name, path))

    def _loaded(self, name: str, path: Path) -> ServedModel:
        return ServedModel(name, path, self._settings, self._pool, self._readers, self._metrics)

    @property
    def all(self) -> list[ServedModel]:
        """The models in the order in which they were named."""
        return list(self._served.values())

    @property
    def sound(self) -> bool:
        """Whether the weights of all models are what they were, as far as that is known."""
        return all(served.fault is None for served in self.all)

    def get(self, name: str | None, version: str | None = None) -> ServedModel:
        """The model of this name; None stands for the only one.

        Refusal: 404, where there is none, or not this version; 400, where nobody says which of several is meant.
        """
        if name is None and len(self._served) > 1:
            some, known = next(iter(self._served)), ", ".join(self._served)
            raise Refusal(400, f"{len(self._served)} models are served, {known}; say which, as in ?model={some}")
        served = self.all[0] if name is None else self._served.get(name)
        if served is None:
            raise Refusal(404, f"there is no model {name!r:.100}; there are {', '.join(self._served)}")
        if version not in (None, "", served.version):
            raise Refusal(404, f"{served.name} has version {served.version}, found {version!r:.100}")
        return served

    async def watch(self) -> None:
        """Look at the files again and again; take what has changed and works."""
        while self._settings.reload_seconds:
            await asyncio.sleep(self._settings.reload_seconds)
            for served in self.all:
                await self.reload(served)

    async def reload(self, served: ServedModel) -> None:
        """Take the model's file if it has changed, loads and runs; keep the old one otherwise, and say so."""
        now = stamp(served.path)
        if now is None or now == served.stamp or now == self._refused.get(served.name):
            return
        name = served.name
        try:
            new = await asyncio.get_running_loop().run_in_executor(None, self._loaded, name, served.path)
        except (BitwrightError, MemoryError) as error:
            self._refused[name] = now
            self._metrics.reloads.labels(name, "refused").inc()
            log("reload refused", logging.ERROR, model=name, kept=served.version, reason=str(error))
            return
        self._refused.pop(name, None)
        self._metrics.reloads.labels(name, "taken").inc()
        self._metrics.model_info.remove(name, served.version)
        self._take(new)

    def _take(self, served: ServedModel) -> None:
        """Serve a model from now on. Requests in a lane of its old version are still answered by that version."""
        self._served[served.name] = served
        self._metrics.model_info.labels(served.name, served.version).set(1)
        self._metrics.weights_changed.labels(served.name).set(0)
        log("serving", model=served.name, version=served.version, path=str(served.path), signed_by=served.key)
