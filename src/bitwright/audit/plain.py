"""Records from plain data: the way back from `to_json`, for whoever reads an audit that was written to a file."""

import json
import os
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from bitwright.errors import ArtifactError
from bitwright.files import read_bytes
from bitwright.json_keys import each_key_once

T = TypeVar("T")


def from_plain(kind: type[T], data: Any, where: str) -> T:
    """The record of type `kind` that `data` is; ArtifactError says where it is not one."""
    record: T = _read(kind, data, where)
    return record


def read_json(path: str | os.PathLike[str]) -> Any:
    """The document in a JSON file; ArtifactError where there is none."""
    try:
        return json.loads(read_bytes(path), object_pairs_hook=each_key_once)
    except OSError as error:
        raise ArtifactError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{os.fspath(path)}: expected JSON, found something else: {error}") from error


def _read(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return data
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind, data, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        return _read(next(k for k in inner if k is not type(None)), data, where)
    if origin is tuple:
        return _sequence(inner, data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise _wrong("a table", data, where)
        return {str(key): _read(inner[1], value, f"{where}.{key}") for key, value in data.items()}
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise _wrong(kind.__name__, data, where)
    return data


def _record(kind: Any, data: Any, where: str) -> Any:
    names = [field.name for field in fields(kind)]
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if not isinstance(data, dict) or not needed <= data.keys() <= set(names):
        found = sorted(data) if isinstance(data, dict) else data
        raise _wrong(f"the fields {', '.join(names)}", found, where)
    hints = get_type_hints(kind)
    return kind(**{name: _read(hints[name], data[name], f"{where}.{name}") for name in names if name in data})


def _sequence(inner: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise _wrong("a list", data, where)
    if inner[-1:] == (Ellipsis,):
        return tuple(_read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(data) != len(inner):
        raise _wrong(f"{len(inner)} items", data, where)
    return tuple(_read(k, item, f"{where}[{i}]") for i, (k, item) in enumerate(zip(inner, data, strict=True)))


def _wrong(expected: str, found: Any, where: str) -> ArtifactError:
    return ArtifactError(f"{where}: expected {expected}, found {found!r:.200}; was it written by `bitwright audit`?")
