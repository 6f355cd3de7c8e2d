"""`bitwright classify`: the classes of some images, by an artifact, printed as they are found. Imports no torch."""

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from bitwright.artifact import Artifact, load
from bitwright.classifier import BATCH, Classifier
from bitwright.cli.exit_codes import USAGE
from bitwright.cli.inspect import THREADS
from bitwright.cli.output import print_json, print_pairs, printable, report, shown, usage_error
from bitwright.cli.preprocess_line import tell
from bitwright.cli.ray_options import answers_options, opened
from bitwright.errors import SourceError
from bitwright.images.decode import SUFFIXES
from bitwright.images.sources import ImageSource, open_source
from bitwright.images.sources.kinds import is_source
from bitwright.images.sources.slices import split_slice
from bitwright.records import Prediction

STDIN = "-"
CSV_COLUMNS = ("path", "rank", "index", "class", "percent", "error")
Images = ImageSource | Iterable[str]


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="How many classes of each.")
@click.option("--classes", metavar="FILE", help="What the classes are called: a text, JSON or CSV file.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("table", "csv", "jsonl", "json")),
    help="A table (the default), lines of CSV or of JSON, or one JSON document at the end.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--threads", type=THREADS, help="How many decode and classify; else all that this process may use.")
@click.option("--batch", default=BATCH, show_default=True, type=click.IntRange(1, 2**16), help="Images of a call.")
@answers_options
def classify(
    artifact: Path,
    images: tuple[str, ...],
    top: int,
    classes: str | None,
    format_: str | None,
    as_json: bool,
    threads: int | None,
    batch: int,
    ray: str | None,
    answers: str | None,
    part: int,
) -> int:
    """Say what is in each IMAGE, with its probability in percent: the softmax, or the sigmoid of a single output.

    IMAGE is an image file or any set of images that `evaluate` takes: a folder, a .csv, a .npz, a pattern in quotes; or -,
    for a list of image files on stdin, one a line. An image that cannot be read is reported and the others are classified; the
    exit code is 1 then, and 2 where one that was named is not there. Tables, CSV and JSON lines are printed as the images are
    classified.

    With --ray, IMAGE is one set, which may be a URI such as s3://bucket/folder, and the answers go to Parquet files in DIR; a
    run that was killed goes on there.
    """
    if as_json and format_ not in (None, "json"):
        raise usage_error(f"--json is --format json; leave out one of --json and --format {format_}")
    format_ = "json" if as_json else format_ or "table"
    model = load(artifact)
    tell(model)
    model = model if classes is None else model.with_classes(classes)
    if (source := opened(images[0], ray, answers)) is not None and ray and answers:
        if len(images) > 1 or format_ not in ("table", "json") or threads is not None:
            raise usage_error("--ray takes one set of images, and no --threads; it prints a table or --json")
        return _on_ray(model, source, answers, format_ == "json", top=top, address=ray, part=part, batch=batch)
    classifier = Classifier(model, threads=threads, batch=batch)
    sets = _sets(images)
    if format_ == "table":
        sets = [images_ if isinstance(images_, ImageSource) else list(images_) for images_ in sets]
    found = _Counted(prediction for images_ in sets for prediction in classifier.stream(images_, top))
    if format_ == "json":
        _print_json(artifact, found)
    elif format_ == "jsonl":
        for prediction in found:
            click.echo(json.dumps(prediction.to_json(), allow_nan=False))
    elif format_ == "csv":
        _print_csv(found)
    else:
        _print_table(found, [printable(name) for images_ in sets for name in _names(images_)])
    if not found.images:
        raise SourceError(f"expected images, found an empty list in {', '.join(images)}; - reads one path a line")
    missing = any(text != STDIN and not _is_set(text) and not os.path.exists(text) for text in images)
    return USAGE if missing else int(found.bad > 0)


def _on_ray(model: Artifact, source: ImageSource, folder: str, as_json: bool, **options: Any) -> int:
    from bitwright.scale.classifying import classify as classify_all

    with shown() as progress:
        found = classify_all(model, source, folder, progress=progress, **options)
    if as_json:
        print_json(found.to_json())
    else:
        counts = [("images", f"{found.images:,}"), ("bad images", found.bad or None)]
        parts = f"{found.parts:,}" + (f", {found.before:,} of them from before" if found.before else "")
        print_pairs([*counts, ("parts", parts), ("written to", found.folder)])
    return int(found.bad > 0)


class _Counted(Iterator[Prediction]):
    """Passes predictions on, counts them, and reports those that are errors."""

    def __init__(self, predictions: Iterator[Prediction]) -> None:
        self._predictions = predictions
        self.images = self.bad = 0

    def __next__(self) -> Prediction:
        prediction = next(self._predictions)
        self.images += 1
        if prediction.error is not None:
            self.bad += 1
            report(f"error: {prediction.error}")
        return prediction


def _sets(images: Iterable[str]) -> list[Images]:
    """The arguments as sets of images. Neighbouring files are one set, so that they share batches."""
    sets: list[Images] = []
    for text in images:
        if text == STDIN:
            _expect_paths()
            sets.append(line.rstrip("\r\n") for line in sys.stdin if line.strip())
        elif _is_set(text):
            sets.append(open_source(text))
        elif sets and isinstance(sets[-1], list):
            sets[-1].append(text)
        else:
            sets.append([text])
    return sets


def _expect_paths() -> None:
    """SourceError where stdin holds an image: no path has a NUL, and every image's first bytes have one."""
    stream = getattr(sys.stdin, "buffer", None)
    if isinstance(stream, io.BufferedReader) and b"\0" in stream.peek(512):
        raise SourceError(
            "- reads a list of image files from stdin, one path a line, but found binary data; give the image's path"
        )


def _is_set(text: str) -> bool:
    """False for an image file, for one that is missing, and for a file of no known kind: decoding will tell."""
    if os.path.isfile(text) and Path(text).suffix.lower() in SUFFIXES:
        return False
    return is_source(text) or (not os.path.exists(text) and split_slice(text) is not None)


def _names(images: Images) -> Iterable[str]:
    return map(images.name, range(len(images))) if isinstance(images, ImageSource) else images


def _print_json(artifact: Path, predictions: Iterable[Prediction]) -> None:
    """One document, a line for each image: what json indents, it writes in Python, ten times slower."""
    lines = ",\n    ".join(json.dumps(prediction.to_json(), allow_nan=False) for prediction in predictions)
    click.echo(f'{{\n  "artifact": {json.dumps(str(artifact))},\n  "images": [\n    {lines}\n  ]\n}}')


def _print_csv(predictions: Iterable[Prediction]) -> None:
    """One line for each class of each image; an image with an error has one line without a class."""
    _echo_csv(CSV_COLUMNS)
    for prediction in predictions:
        if prediction.error is not None:
            _echo_csv((prediction.image, "", "", "", "", prediction.error))
        for rank, guess in enumerate(prediction.top, 1):
            _echo_csv((prediction.image, rank, guess.index, guess.name, f"{guess.percent:.4f}", ""))


def _echo_csv(cells: Sequence[object]) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    click.echo(line.getvalue())


def _print_table(predictions: Iterable[Prediction], names: Iterable[str]) -> None:
    """Rows of image, percent and class. The images' names are known before, so that no row has to wait for a longer one."""
    from rich.cells import cell_len  # how many columns a text takes on a terminal

    width = max(map(cell_len, ("image", *names)))
    header = f"{'image':{width}}  percent  class"
    for prediction in predictions:
        if prediction.top and header:
            click.echo(header)
            header = ""
        name = printable(prediction.image)
        for guess in prediction.top:
            room = " " * (width - cell_len(name))
            click.echo(f"{name}{room}  {guess.percent:7.2f}  {printable(guess.name)}".rstrip())
            name = ""
