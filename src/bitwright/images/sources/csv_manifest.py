"""A CSV manifest: columns `path`, relative to the CSV's folder, and `label`, a number or a class name.

Other names of these columns are in PATHS and LABELS, and the first of them that there is counts. Capitals, spaces and
underscores in the names do not matter."""

import csv
import io
import os
import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitwright.errors import SourceError, SourceWarning
from bitwright.files import read_bytes
from bitwright.images.sources.readers import FileReader
from bitwright.images.sources.source import ImageSource

PATHS = ("path", "filepath", "imagepath", "file", "filename", "image", "imagename", "img")
LABELS = ("label", "labels", "class", "classname", "classid", "target", "category", "wnid", "y")
_NUMBER = re.compile(r"\d{1,18}(\.0*)?", re.ASCII)


def accepts(spec: str) -> bool:
    return Path(spec).suffix.lower() == ".csv" and os.path.isfile(spec)


def open_csv_manifest(spec: str) -> ImageSource:
    """Open the images that a manifest lists, in its order; other columns are passed over.

    Labels that are all whole numbers, perhaps written as 3.0, are taken as they are; else all of them are class names,
    and the sorted names are the classes; other numbers are refused. Without a column of LABELS the images have no labels;
    where there are other columns, a SourceWarning says so.

    Raises:
        SourceError: the file can't be read as CSV, lacks a column of PATHS, or has a row without path or label.
    """
    paths: list[Path] = []
    texts: list[tuple[int, str]] = []  # line, label
    try:
        with io.StringIO(read_bytes(spec).decode("utf-8-sig"), newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = [column.strip() for column in rows.fieldnames or ()]
            rows.fieldnames = columns
            path, label = _column(columns, PATHS), _column(columns, LABELS)
            if path is None:
                raise SourceError(
                    f"{spec}: expected the columns path and label, or of such names ({', '.join(PATHS[1:])}; "
                    f"{', '.join(LABELS[1:])}), found {', '.join(columns) or 'none'}{_other_separator(columns)}"
                )
            for row in rows:
                wanted = [path] if label is None else [path, label]
                if empty := [column for column in wanted if not (row[column] or "").strip()]:
                    raise SourceError(f"{spec}, line {rows.line_num}: no {' and no '.join(empty)}; fill it in")
                paths.append(Path(spec).parent / row[path].strip())
                if label is not None:
                    texts.append((rows.line_num, row[label].strip()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{spec}: cannot read it as CSV in UTF-8: {error}") from error
    if label is None and len(columns) > 1:
        warnings.warn(
            f"{spec}: no column of labels ({', '.join(LABELS)}) is among {', '.join(columns)}, so the images have no labels",
            SourceWarning,
            stacklevel=2,
        )
    if not texts:
        return ImageSource(FileReader(paths), where=spec)
    labels, classes = _labels(texts, spec)
    return ImageSource(FileReader(paths), spec, labels, classes)


def _other_separator(columns: list[str]) -> str:
    """What to say of a header that other separators than commas would divide."""
    found = {";": "semicolons", "\t": "tabs", "|": "bars"}
    of_one = [name for sign, name in found.items() if len(columns) == 1 and sign in columns[0]]
    return f"; its columns are separated by {of_one[0]}: write commas" if of_one else ""


def _column(columns: list[str], names: tuple[str, ...]) -> str | None:
    """The column that is called by the first of the names that any is called by; None where none is."""
    plain = [re.sub(r"[\s_-]", "", column).lower() for column in columns]
    return next((columns[plain.index(name)] for name in names if name in plain), None)


def _is_real(text: str) -> bool:
    """True for -1, +0, 0.5 and 1e3; not for names that Python's floats know, too, such as nan."""
    try:
        float(text)
    except ValueError:
        return False
    return any(character.isdigit() for character in text)


def _labels(texts: list[tuple[int, str]], where: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...] | None]:
    numbers = [_NUMBER.fullmatch(text) is not None for _, text in texts]
    if all(numbers):
        return np.array([int(text.partition(".")[0]) for _, text in texts], np.int64), None
    others = [(line, text) for (line, text), number in zip(texts, numbers, strict=True) if not number]
    for line, text in others:
        if _is_real(text):
            raise SourceError(
                f"{where}, line {line}: expected a label that is a number 0 and up, or a class name; found {text!r}"
            )
    if any(numbers):
        line, number = texts[numbers.index(True)]
        other, name = others[0]
        raise SourceError(
            f"{where}: expected labels that are all numbers 0 and up, or all class names; "
            f"found {number!r} in line {line} and {name!r} in line {other}"
        )
    classes = tuple(sorted({text for _, text in texts}))
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position[text] for _, text in texts], np.int64), classes
