"""An artifact over very many images on Ray's workers: answers in Parquet, no image lost or doubled whoever is killed."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.artifact import Artifact, from_bytes
from bitwright.classifier import BATCH, Classifier
from bitwright.errors import EngineError
from bitwright.images.sources import BadImage, ImageSource
from bitwright.images.sources.readers import FileReader
from bitwright.labels import By, fit_labels
from bitwright.prediction import class_count
from bitwright.progress import SILENT, Progress
from bitwright.scale.cluster import HERE, cluster, processors
from bitwright.scale.parts import Answers, digest, expect_parquet, of_files
from bitwright.scale.remote import RemoteReader, is_remote
from bitwright.tally import Evaluation, Tally

PART = 1000
BLOCKS = 64
"""So many pieces of work for each worker: few enough to be cheap, so many that the last ones end together."""


@dataclass(frozen=True)
class Classified:
    """What a job has left in its folder: how many images of how many parts, and how many could not be read.

    `before` is how many parts were there when it began.
    """

    folder: str
    images: int
    bad: int
    parts: int
    before: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "folder": self.folder,
            "images": self.images,
            "bad": self.bad,
            "parts": self.parts,
            "before": self.before,
        }


class Worker:
    """One process of Ray's with an engine of one thread: reads a part's images, classifies them and writes its file."""

    def __init__(self, data: Any, source: Any, job: dict[str, Any], folder: str) -> None:
        """`data` and `source` refer to the artifact's bytes and, where images have no paths, to the source."""
        import ray

        self.artifact = from_bytes(ray.get(data))
        self.source: ImageSource | None = None if source is None else ray.get(source)
        self.job, self.answers = job, Answers(folder)
        self.classifier = Classifier(self.artifact, threads=1, batch=job["batch"])

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Do a part, unless another worker that has died since had done it."""
        part = int(row["part"])
        if not self.answers.has(part):
            source = self._images(row)
            predictions = self.classifier(source, self.job["top"])
            tally = Tally(class_count(self.artifact.outputs), source.labels is not None, False)
            good = [i for i, prediction in enumerate(predictions) if prediction.logits is not None]
            if good:
                logits = np.stack([predictions[i].logits for i in good])  # type: ignore[misc]
                tally.add(logits, None if source.labels is None else source.labels[good], None)
            figures = {"rows": len(predictions), "tally": tally.to_json()}
            self.answers.write(part, predictions, source.labels, figures)
        return {"part": part, "images": int(row["stop"]) - int(row["start"]), "process": os.getpid()}

    def _images(self, row: dict[str, Any]) -> ImageSource:
        labels = np.array(row["labels"], np.int64) if len(row["labels"]) else None
        if self.source is not None:
            return self.source.subset(np.arange(row["start"], row["stop"]))
        names = [str(name) for name in row["names"]]
        reader = RemoteReader(names) if any(map(is_remote, names)) else FileReader([Path(name) for name in names])
        return ImageSource(reader, "", labels)


def classify(
    artifact: Artifact,
    source: ImageSource,
    folder: str | os.PathLike[str],
    *,
    top: int = 5,
    address: str = HERE,
    workers: int | None = None,
    part: int = PART,
    batch: int = BATCH,
    progress: Progress = SILENT,
) -> Classified:
    """Classify all images on a Ray cluster and write the answers to a folder, a row for each image, in the source's order.

    What is in the folder already, of the same job, is not done again.

    Args:
        artifact: the model.
        source: the images; files have to be where the workers see them.
        folder: a path that the workers see, or a URI; `part-*.parquet` with the columns image, label, classes, names,
            probabilities and error.
        top: how many classes of each image.
        address: of a cluster that runs; HERE: one is started on this machine.
        workers: how many processes with an engine of one thread; None: one for each processor of the cluster.
        part: images of a file.
        batch: images of a call of the engine.
        progress: hears how far the work is.

    Raises:
        SourceError: the folder holds the answers of another job.
        EngineError: there is no cluster, or a worker failed.
        MissingExtraError: Ray is not installed.
    """
    expect_parquet()
    answers = Answers(os.fspath(folder))
    job = {"artifact": artifact.digest, "images": len(source), "source": digest(source)}
    job |= {"part": part, "top": top, "classes": list(artifact.class_names)}
    before = answers.begin(job)
    starts = list(range(0, len(source), part))
    missing = [i for i in range(len(starts)) if i not in before]
    if missing:
        done = sum(min(part, len(source) - starts[i]) for i in before)
        with cluster(address) as ray:
            for row in _rows(ray, artifact, source, answers.folder, {**job, "batch": batch}, missing, workers):
                done += int(row["images"])
                progress.at("classifying", done, len(source))
    figures = _figures(answers, len(starts))
    rows = sum(found["rows"] for found in figures)
    if rows != len(source):
        raise EngineError(f"{answers.folder}: expected the answers of {len(source):,} images, found {rows:,}")
    bad = rows - sum(found["tally"]["images"] for found in figures)
    return Classified(answers.folder, rows, bad, len(starts), len(before))


def evaluate(
    artifact: Artifact,
    source: ImageSource,
    folder: str | os.PathLike[str],
    *,
    labels: By = "name",
    progress: Progress = SILENT,
    **options: Any,
) -> Evaluation:
    """`classify`, and the figures of `bitwright.evaluate`: those that one process would find. It takes and raises the same."""
    fitted = fit_labels(source, artifact.known_classes, artifact.outputs, labels)
    classified = classify(artifact, fitted.source, folder, progress=progress, **options)
    answers, bad = Answers(classified.folder), list[BadImage]()
    tally = Tally(class_count(artifact.outputs), fitted.source.labels is not None, False)
    for part, found in enumerate(_figures(answers, classified.parts)):
        tally.add_json(found["tally"])
        if found["rows"] > found["tally"]["images"]:
            bad += [BadImage(*error) for error in answers.errors(part)]
    return tally.evaluation(fitted, artifact, None, bad)


def _figures(answers: Answers, parts: int) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(8, "bitwright-parts") as pool:
        return list(pool.map(answers.figures, range(parts)))


def _rows(
    ray: Any,
    artifact: Artifact,
    source: ImageSource,
    folder: str,
    job: dict[str, Any],
    missing: list[int],
    workers: int | None,
) -> Iterator[dict[str, Any]]:
    """Have Ray Data do the missing parts; what each was comes as it is done."""
    import ray.data as data

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    logging_off(ray)
    files, size = of_files(source), job["part"]
    rows = []
    for i in missing:
        start, stop = i * size, min((i + 1) * size, len(source))
        names = [source.name(k) for k in range(start, stop)] if files else []
        labels = [] if source.labels is None else source.labels[start:stop].tolist()
        rows.append({"part": i, "start": start, "stop": stop, "names": names, "labels": labels})
    count = min(workers or processors(ray), len(missing))
    shared = None if files else ray.put(source)
    arguments = (ray.put(artifact.data), shared, job, folder if is_remote(folder) else str(Path(folder).absolute()))
    blocks = min(len(rows), BLOCKS * count)
    worker: Any = Worker  # a class, of which each process has one
    work = data.from_items(rows, override_num_blocks=blocks).map(
        worker, fn_constructor_args=arguments, compute=data.ActorPoolStrategy(size=count), num_cpus=1
    )
    try:
        yield from work.iter_rows()
    except ray.exceptions.RayError as error:
        raise EngineError(f"a worker of Ray failed: {error}") from error


def logging_off(ray: Any) -> None:
    """Keep Ray Data from telling its plans on stderr."""
    import logging

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
