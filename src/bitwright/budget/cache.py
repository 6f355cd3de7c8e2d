"""`Cache`: what was measured, on disk, under the digest of everything that it depends on. JSON; no pickle.

Each entry is a file of its own, written at once or not at all, so that work which was interrupted resumes where it stood.
A file that is damaged counts as none.
"""

import hashlib
import importlib.util
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import bitwright
from bitwright.errors import ArtifactError
from bitwright.files import reason, write_atomically
from bitwright.graph import Graph

VARIABLE = "BITWRIGHT_CACHE"
SHOWS = {"cli", "picture.py"}
"""What shows figures and cannot change them."""


class Cache:
    """Records by key: any plain data. With no folder it remembers nothing."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def get(self, **key: Any) -> Any:
        """The record that was kept under this key; None where there is none."""
        data = self.get_bytes(".json", **key)
        if data is None:
            return None
        try:
            return json.loads(data)
        except ValueError:
            return None

    def put(self, record: Any, **key: Any) -> None:
        """Keep a record of plain data, not None."""
        self.put_bytes(json.dumps(record, allow_nan=False).encode(), ".json", **key)

    def get_bytes(self, suffix: str, **key: Any) -> bytes | None:
        """The contents of the file that was kept under this key."""
        path = self._path(suffix, key)
        try:
            return None if path is None else path.read_bytes()
        except (OSError, ValueError):
            return None

    def put_bytes(self, data: bytes, suffix: str, **key: Any) -> None:
        """Keep a file; ArtifactError where it cannot be written."""
        path = self._path(suffix, key)
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except (OSError, ValueError) as error:
                raise ArtifactError(f"cannot make the folder {path.parent}: {reason(error)}") from error
            write_atomically(path, data)

    def _path(self, suffix: str, key: dict[str, Any]) -> Path | None:
        text = json.dumps({**key, "code": code_digest()}, sort_keys=True, allow_nan=False)
        name = hashlib.sha256(text.encode()).hexdigest()
        return None if self.folder is None else self.folder / name[:2] / (name[2:] + suffix)


def default_folder() -> Path:
    """$BITWRIGHT_CACHE, else the folder `bitwright` in the user's cache ($XDG_CACHE_HOME or ~/.cache)."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitwright"


@cache
def code_digest() -> str:
    """SHA-256 of this package's code, the native engine's among it: another version may measure otherwise."""
    digest = hashlib.sha256(bitwright.__version__.encode())
    native = importlib.util.find_spec("bitwright._native")
    files = [] if native is None or native.origin is None else [Path(native.origin)]
    for root in bitwright.__path__:
        files += sorted(path for path in Path(root).rglob("*.py") if not SHOWS & {*path.relative_to(root).parts})
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def graph_digest(graph: Graph) -> str:
    """SHA-256 of a graph: its nodes, attributes and tensors."""
    digest = hashlib.sha256()
    for node in graph.nodes:
        digest.update(repr((node.name, node.op, node.inputs, sorted(node.attrs.items()))).encode())
        for name, tensor in sorted(node.tensors.items()):
            digest.update(repr((name, tensor.dtype.str, tensor.shape)).encode())
            digest.update(np.ascontiguousarray(tensor).data)
    digest.update(repr((graph.values, graph.output)).encode())
    return digest.hexdigest()


def pixels_digest(images: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    """SHA-256 of pixels, and of their shape."""
    return hashlib.sha256(repr(images.shape).encode() + np.ascontiguousarray(images).data).hexdigest()
