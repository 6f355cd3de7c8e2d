"""Records from the JSON that other commands write: what a page shows is read strictly, what it does not show is passed over."""

import json
import os
import types
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from bitwright.errors import ArtifactError

T = TypeVar("T")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The document in a JSON file; ArtifactError where there is none."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ArtifactError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{os.fspath(path)}: expected JSON, found something else: {error}") from error


def record(kind: type[T], data: Any, where: str) -> T:
    """The record of type `kind` in plain data, which may have further fields; ArtifactError says which value is wrong."""
    found: T = _read(kind, data, where)
    return found


def _read(kind: Any, data: Any, where: str) -> Any:
    inner = get_args(kind)
    if get_origin(kind) is types.UnionType:
        return None if data is None else _read(inner[0], data, where)
    if get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise _wrong("a list", data, where)
        return tuple(_read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        for field in fields(kind):
            if not isinstance(data, dict) or field.name not in data:
                raise _wrong(f"a table with {field.name!r}", data, where)
        return kind(**{f.name: _read(hints[f.name], data[f.name], f"{where}.{f.name}") for f in fields(kind)})  # type: ignore[operator]
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise _wrong(kind.__name__, data, where)
    return data


def _wrong(expected: str, found: Any, where: str) -> ArtifactError:
    return ArtifactError(f"{where}: expected {expected}, found {found!r:.200}; is it what the option takes?")
