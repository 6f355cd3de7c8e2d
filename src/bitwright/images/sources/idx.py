"""IDX, the format of MNIST: NAME-images-idx3-ubyte with its labels in NAME-labels-idx1-ubyte beside it, each perhaps .gz.

A file is a big-endian header (0, 0, 8 for uint8, number of sizes; then the sizes as uint32) and the bytes.
"""

import gzip
import os
import re
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitwright.errors import SourceError
from bitwright.images.sources.readers import ArrayReader
from bitwright.images.sources.source import ImageSource

_IMAGES = re.compile(r"(?P<name>.*)images(?P<dot>[-.])idx3-ubyte(\.gz)?")


def accepts(spec: str) -> bool:
    return _IMAGES.fullmatch(Path(spec).name) is not None and os.path.isfile(spec)


def open_idx(spec: str) -> ImageSource:
    """Open grey images [N, h, w], held in memory, with their labels if the file of labels is there.

    Raises:
        SourceError: a file is damaged, or images and labels differ in number.
    """
    images = _read(Path(spec), sizes=3)
    beside = _labels_beside(Path(spec))
    labels = None if beside is None else _read(beside, sizes=1).astype(np.int64)
    return ImageSource(ArrayReader(images, spec), spec, labels)


def _labels_beside(images: Path) -> Path | None:
    match = _IMAGES.fullmatch(images.name)
    assert match is not None, "open_idx is called with what accepts() accepted"
    plain = images.with_name(f"{match['name']}labels{match['dot']}idx1-ubyte")
    return next((path for path in (plain, plain.with_name(plain.name + ".gz")) if path.is_file()), None)


def _read(path: Path, sizes: int) -> npt.NDArray[np.uint8]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * sizes)
            if len(header) < 4 + 4 * sizes or header[:4] != bytes((0, 0, 8, sizes)):
                raise SourceError(
                    f"{path}: expected an IDX header for uint8 with {sizes} sizes, found {header[:4].hex(' ') or 'nothing'}"
                )
            shape = struct.unpack(f">{sizes}I", header[4:])
            data = file.read(prod(shape) + 1)
    except (OSError, EOFError, zlib.error, MemoryError, OverflowError) as error:
        raise SourceError(f"{path}: cannot read it: {error}") from error
    if len(data) != prod(shape):
        found = "more" if len(data) > prod(shape) else f"only {len(data)}"
        raise SourceError(f"{path}: expected {prod(shape)} bytes for {list(shape)}, found {found}")
    return np.frombuffer(data, np.uint8).reshape(shape)
