"""Image sources and folders elsewhere: s3://, gs://, and whatever else fsspec knows (its packages for them, such as s3fs)."""

import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from bitwright.errors import ImageError, MissingExtraError, SourceError
from bitwright.files import write_atomically
from bitwright.images.decode import SUFFIXES, open_image
from bitwright.images.sources import ImageSource, open_source
from bitwright.images.sources.readers import FileReader


def is_remote(text: str) -> bool:
    """Whether it is a URI and no path."""
    return "://" in text


def filesystem(uri: str) -> tuple[Any, str]:
    """fsspec's file system of a URI, and the path there. SourceError where its scheme needs a package that is not installed."""
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError("fsspec", "ray") from error
    try:
        system, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{uri}: {error}") from error
    return system, path


class RemoteReader:
    """Image files by URI, each fetched when it is read."""

    def __init__(self, uris: Sequence[str]) -> None:
        self.uris = tuple(uris)

    def __len__(self) -> int:
        return len(self.uris)

    def read(self, i: int) -> Image.Image:
        """As `Reader` has it."""
        uri = self.uris[i]
        try:
            system, path = filesystem(uri)
            data: bytes = system.cat_file(path)
        except OSError as error:
            raise ImageError(f"{uri}: cannot fetch it: {error}") from error
        try:
            return open_image(data)
        except ImageError as error:
            raise ImageError(f"{uri}: {str(error).removeprefix('image in memory: ')}") from error

    def name(self, i: int) -> str:
        """The URI."""
        return self.uris[i]


def open_anywhere(text: str) -> ImageSource:
    """A source as `open_source` opens it, or a URI: a folder of images, of class folders, or a .csv whose paths are beside it.

    Raises:
        SourceError: there is nothing of the kind.
    """
    if not is_remote(text):
        return open_source(text)
    system, root = filesystem(text)
    try:
        if text.lower().endswith(".csv"):
            return _manifest(text, system.cat_file(root))
        found = sorted(system.find(root))
    except OSError as error:
        raise SourceError(f"{text}: cannot read it: {error}") from error
    paths = [PurePosixPath(path) for path in found if PurePosixPath(path).suffix.lower() in SUFFIXES]
    if not paths:
        raise SourceError(f"{text}: expected images in it, found none")
    reader = RemoteReader([system.unstrip_protocol(str(path)) for path in paths])
    below = [path.relative_to(root.rstrip("/") or "/").parts for path in paths]
    if any(len(parts) != 2 for parts in below):
        return ImageSource(reader, text)
    classes = tuple(sorted({parts[0] for parts in below}))
    labels = np.array([classes.index(parts[0]) for parts in below], np.int64)
    return ImageSource(reader, text, labels, classes)


def _manifest(uri: str, data: bytes) -> ImageSource:
    folder = uri.rpartition("/")[0]
    with tempfile.TemporaryDirectory(prefix="bitwright-") as here:
        path = Path(here) / "manifest.csv"
        path.write_bytes(data)
        source = open_source(path)
        assert isinstance(source.reader, FileReader)
        names = [str(Path(source.name(i)).relative_to(here)) for i in range(len(source))]
    return ImageSource(RemoteReader([f"{folder}/{name}" for name in names]), uri, source.labels, source.classes)


def write(folder: str, name: str, data: bytes) -> None:
    """Write a file at once or not at all: beside its place and renamed, or as one object of a store."""
    if is_remote(folder):
        system, path = filesystem(folder)
        system.makedirs(path, exist_ok=True)
        system.pipe_file(f"{path}/{name}", data)
    else:
        Path(folder).mkdir(parents=True, exist_ok=True)
        write_atomically(Path(folder) / name, data)


def read(folder: str, name: str) -> bytes | None:
    """A file's bytes; None where there is no such file."""
    system, path = filesystem(folder if is_remote(folder) else str(Path(folder).absolute()))
    try:
        data: bytes = system.cat_file(f"{path}/{name}")
    except FileNotFoundError:
        return None
    return data


def exists(folder: str, name: str) -> bool:
    """Whether there is a file of this name."""
    system, path = filesystem(folder if is_remote(folder) else str(Path(folder).absolute()))
    return bool(system.exists(f"{path}/{name}"))


def names(folder: str) -> set[str]:
    """The names of the files in a folder, which need not be there."""
    system, path = filesystem(folder if is_remote(folder) else str(Path(folder).absolute()))
    try:
        return {str(entry).rpartition("/")[2] for entry in system.ls(path, detail=False)}
    except FileNotFoundError:
        return set()
