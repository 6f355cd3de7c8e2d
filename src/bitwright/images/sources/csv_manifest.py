"""A CSV manifest: columns `path`, relative to the CSV's folder, and `label`, a number or a class name.

Capitals, and spaces around the name of a column, make no other column of it."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitwright.errors import SourceError
from bitwright.images.sources.readers import FileReader
from bitwright.images.sources.source import ImageSource

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def accepts(spec: str) -> bool:
    return Path(spec).suffix.lower() == ".csv" and os.path.isfile(spec)


def open_csv_manifest(spec: str) -> ImageSource:
    """Open the images that a manifest lists, in its order; other columns are passed over.

    Labels that are all numbers are taken as they are; else all of them are class names, and the sorted names are the
    classes. Without a `label` column the images have no labels.

    Raises:
        SourceError: the file can't be read as CSV, lacks the column `path`, or has a row without path or label.
    """
    paths: list[Path] = []
    texts: list[tuple[int, str]] = []  # line, label
    try:
        with open(spec, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = [column.strip().lower() for column in rows.fieldnames or ()]
            rows.fieldnames = columns
            if "path" not in columns:
                raise SourceError(f"{spec}: expected the columns path and label, found {', '.join(columns) or 'none'}")
            for row in rows:
                wanted = [column for column in ("path", "label") if column in columns]
                if empty := [column for column in wanted if not (row[column] or "").strip()]:
                    raise SourceError(f"{spec}, line {rows.line_num}: no {' and no '.join(empty)}; fill it in")
                paths.append(Path(spec).parent / row["path"].strip())
                if "label" in columns:
                    texts.append((rows.line_num, row["label"].strip()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{spec}: cannot read it as CSV in UTF-8: {error}") from error
    if not texts:
        return ImageSource(FileReader(paths), where=spec)
    labels, classes = _labels(texts, spec)
    return ImageSource(FileReader(paths), spec, labels, classes)


def _labels(texts: list[tuple[int, str]], where: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    numbers = [_NUMBER.fullmatch(text) is not None for _, text in texts]
    if all(numbers):
        return np.array([int(text) for _, text in texts], np.int64), None
    if any(numbers):
        line, number = texts[numbers.index(True)]
        other, name = texts[numbers.index(False)]
        raise SourceError(
            f"{where}: expected labels that are all numbers 0 and up, or all class names; "
            f"found {number!r} in line {line} and {name!r} in line {other}"
        )
    classes = tuple(sorted({text for _, text in texts}))
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position[text] for _, text in texts], np.int64), classes
