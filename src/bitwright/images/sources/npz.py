"""A NumPy archive: `images` uint8 [N, H, W, 3] or [N, H, W], perhaps `labels` [N] and `classes` (names)."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.classes import some
from bitwright.errors import SourceError
from bitwright.images.sources.readers import ArrayReader
from bitwright.images.sources.source import ImageSource


def accepts(spec: str) -> bool:
    return Path(spec).suffix.lower() == ".npz" and os.path.isfile(spec)


def open_npz(spec: str) -> ImageSource:
    """Open an archive; its arrays are held in memory. Nothing in it is unpickled.

    Raises:
        SourceError: it is damaged, has no `images`, or an array has another type or shape.
    """
    arrays, names = _load(spec)
    if "images" not in arrays:
        raise SourceError(
            f"{spec}: expected an array named images, found {some(names) or 'none'}; save it anew with "
            "numpy.savez(path, images=..., labels=...)"
        )
    reader = ArrayReader(arrays["images"], spec)
    labels = arrays.get("labels")
    if labels is not None:
        if not np.issubdtype(labels.dtype, np.integer):
            raise SourceError(
                f"{spec}: expected labels of an integer type, found {labels.dtype}; names go into classes"
            )
        labels = labels.astype(np.int64)
    return ImageSource(reader, spec, labels, _classes(arrays.get("classes"), spec))


def _load(spec: str) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The arrays that mean something, and the names of all."""
    try:
        with open(spec, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in ("images", "labels", "classes") if name in archive}, archive.files
    except Exception as error:  # zip, zlib and NumPy's header parser raise nearly any type for a damaged file
        raise SourceError(f"{spec}: cannot read it as a NumPy archive: {error}") from error


def _classes(names: npt.NDArray[Any] | None, spec: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise SourceError(f"{spec}: expected classes as text [N], found {names.dtype} {list(names.shape)}")
    return tuple(names.tolist())
