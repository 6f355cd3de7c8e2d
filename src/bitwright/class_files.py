"""Class names from a file: text, JSON or CSV, in the forms that are passed around.

text    a name a line; perhaps behind its number (`0: tench`), before it (`/a/airfield 0`), or behind its wnid (`n01440764
        tench, Tinca tinca`)
JSON    [name, ...], {"0": name}, {"0": [wnid, name]} (imagenet_class_index.json), {name: 0} (ImageFolder's class_to_idx),
        a `config.json` with id2label; a Python dict of numbers and names as well (imagenet1000_clsidx_to_labels.txt)
CSV     columns of names, perhaps one of numbers: index or label, or any that counts the classes; path is passed over, so
        that a manifest will do
Where there are numbers, they are the order, whatever that of the lines is.
The last name of a class is what it is called, unless a column says `name`; the ones before it are its other names.
"""

import ast
import csv
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitwright.classes import ClassNames
from bitwright.errors import LabelError
from bitwright.files import read_bytes
from bitwright.json_keys import TwiceError, each_key_once

_NUMBERED = re.compile(r"(?P<number>\d{1,9})(?:\s*[:,;]\s*|\s+)(?P<name>.*\S)")
_COUNTED = re.compile(r"(?P<name>\S(?:.*?\S)?)(?:\s*[:,;=]\s*|\s+)(?P<number>\d{1,9})")
_WNID = re.compile(r"(?P<wnid>n\d{8})\s+(?P<name>.*\S)")
_NUMBERS = ("index", "label", "id", "class_id", "class_index", "label_id")
_NAMES = ("name", "class_name", "class", "label_name", "category")
_OUTER = ("id2label", "classes", "class_to_idx")

Rows = list[tuple[str, ...]]


Given = ClassNames | str | os.PathLike[str] | Iterable[str] | Mapping[Any, Any]
"""What class names may be given as: a file's path, names in order, or one of the mappings that a file may hold."""


def class_names(given: Given, where: str = "classes") -> ClassNames:
    """Class names from whatever they are given as. LabelError where they make no sense, or have no order."""
    if isinstance(given, ClassNames):
        return given
    if isinstance(given, str | os.PathLike):
        return read_classes(given)
    if isinstance(given, Mapping):
        return _named(_rows(dict(given), where), where)
    if isinstance(given, set | frozenset | bytes) or not isinstance(given, Iterable):
        raise LabelError(f"{where}: expected a file of class names, or the names in order, found {given!r:.100}")
    return ClassNames(tuple(str(name) if isinstance(name, str) else name for name in given), where=where)


def read_classes(path: str | os.PathLike[str]) -> ClassNames:
    """The class names in a file. LabelError where it cannot be read or is of none of these forms."""
    where = os.fspath(path)
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:  # a ValueError: a path with a NUL, or bytes that are no UTF-8
        raise LabelError(f"{where}: cannot read it as text in UTF-8: {error}") from error
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        rows = _from_csv(text, where)
    elif suffix == ".json" or text.lstrip()[:1] in ("{", "["):
        rows = _from_document(text, where)
    else:
        rows = _from_lines(text.rstrip().splitlines(), where)
    return _named(rows, where)


def _named(rows: Rows, where: str) -> ClassNames:
    return ClassNames(tuple(row[-1] for row in rows), tuple(row[:-1] for row in rows), where)


def _from_lines(lines: Sequence[str], where: str) -> Rows:
    names = [line.strip() for line in lines]
    if empty := [i for i, name in enumerate(names, 1) if not name]:
        raise LabelError(f"{where}, line {empty[0]}: expected a class name, found an empty line")
    for form in (_NUMBERED, _COUNTED):
        matches = [match for name in names if (match := form.fullmatch(name)) is not None]
        found = {int(match["number"]): match["name"] for match in matches}
        if len(found) == len(set(found.values())) == len(names) and _count(found):
            names = [name for (name,) in _in_order({number: (name,) for number, name in found.items()}, where)]
            break
    behind = [_WNID.fullmatch(name) for name in names]
    return [
        (match["wnid"], match["name"]) if match is not None else (name,)
        for name, match in zip(names, behind, strict=True)
    ]


def _from_document(text: str, where: str) -> Rows:
    document: Any
    try:
        document = json.loads(text, object_pairs_hook=each_key_once)
    except TwiceError as error:
        raise LabelError(f"{where}: {error}") from error
    except (ValueError, RecursionError):
        try:
            document = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise LabelError(f"{where}: cannot read it as JSON: {error}") from error
    return _rows(document, where)


def _rows(document: Any, where: str) -> Rows:
    """The names in a document, or in one inside it."""
    while isinstance(document, dict) and (key := next((k for k in _OUTER if k in document), None)) is not None:
        document = document[key]
    if isinstance(document, list):
        return [_row(value, where) for value in document]
    if not isinstance(document, dict) or not document:
        raise LabelError(f"{where}: expected a list of names, or names by number; found {document!r:.100}")
    if all(type(value) is int for value in document.values()):
        document = {number: name for name, number in document.items()}
    return _in_order({_number(key, where): _row(value, where) for key, value in document.items()}, where)


def _from_csv(text: str, where: str) -> Rows:
    try:
        table = [row for row in csv.reader(text.splitlines(), strict=True) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LabelError(f"{where}: cannot read it as CSV: {error}") from error
    header = [cell.strip().lower() for cell in table[0]] if table else []
    known = {*_NUMBERS, *_NAMES, "path", "wnid"}
    if known & set(header):
        table = table[1:]
    else:
        header = [""] * len(header)
        if table and table[0][0].strip().isdecimal():
            header[0] = _NUMBERS[0]
    all_numbers = [i for i in range(len(header)) if _all_numbers(table, i)]
    number = next((i for i in all_numbers if header[i] in _NUMBERS), None)
    if number is None:
        number = next((i for i in all_numbers if _count({int(row[i]) for row in table})), None)
    kept = [i for i, column in enumerate(header) if i not in all_numbers and column != "path"]
    kept.sort(key=lambda i: header[i] in _NAMES)
    rows = [tuple(row[i].strip() for i in kept if i < len(row)) for row in table]
    if not rows or not all(rows):
        raise LabelError(f"{where}: expected a column of class names, found {', '.join(header) or 'nothing'}")
    if number is None:
        return rows
    found: dict[int, tuple[str, ...]] = {}
    for line, row in zip(table, rows, strict=True):
        key = int(line[number])
        if found.setdefault(key, row) != row:
            raise LabelError(f"{where}: expected one name for class {key}, found {found[key][-1]!r} and {row[-1]!r}")
    return _in_order(found, where)


def _count(numbers: Collection[int]) -> bool:
    """Whether numbers count something, from 0 or from 1."""
    return len(numbers) > 1 and max(numbers) - min(numbers) == len(set(numbers)) - 1 and min(numbers) < 2


def _all_numbers(table: list[list[str]], column: int) -> bool:
    return all(column < len(row) and row[column].strip().isdecimal() for row in table)


def _row(value: Any, where: str) -> tuple[str, ...]:
    row = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not row or not all(isinstance(name, str) for name in row):
        raise LabelError(f"{where}: expected a class name, or several of one class; found {value!r:.100}")
    return row


def _number(key: Any, where: str) -> int:
    try:
        return int(key)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where}: expected the number of a class, found {key!r:.100}") from error


def _in_order(found: dict[int, tuple[str, ...]], where: str) -> Rows:
    if sorted(found) != list(range(len(found))):
        missing = next(i for i in range(len(found)) if i not in found)
        raise LabelError(f"{where}: expected a name for each class from 0 to {max(found)}, found none for {missing}")
    return [found[i] for i in range(len(found))]
