"""Readers: the part of an image source that fetches one image by its position."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitwright.errors import SourceError
from bitwright.images.decode import open_image

Picture = Image.Image | npt.NDArray[np.uint8]


class Reader(Protocol):
    """Images by position, 0 <= i < len."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> Picture:
        """Return image i: a PIL picture, or uint8 [h, w] or [h, w, 1 or 3]. Raises ImageError "NAME: REASON"."""

    def name(self, i: int) -> str:
        """Return what messages call image i."""


class FileReader:
    """Image files, each opened when it is read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, i: int) -> Picture:
        return open_image(self._paths[i])

    def name(self, i: int) -> str:
        return str(self._paths[i])


class ArrayReader:
    """Images held in one array: uint8 [N, h, w] or [N, h, w, 1 or 3], none of the sizes 0."""

    def __init__(self, images: npt.NDArray[np.uint8], where: str) -> None:
        is_images = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
        if images.dtype != np.uint8 or not is_images or images.size == 0:
            raise SourceError(
                f"{where}: expected images as a uint8 array [N, h, w], [N, h, w, 1] or [N, h, w, 3], none empty; "
                f"found {images.dtype} {list(images.shape)}"
            )
        self._images = images
        self._where = where

    def __len__(self) -> int:
        return len(self._images)

    def read(self, i: int) -> Picture:
        image: npt.NDArray[np.uint8] = self._images[i]
        return image

    def name(self, i: int) -> str:
        return f"{self._where}[{i}]"


class SubsetReader:
    """Some images of another reader, in a given order, under the names that they have there."""

    def __init__(self, reader: Reader, positions: npt.NDArray[np.int64]) -> None:
        self._reader = reader
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def read(self, i: int) -> Picture:
        return self._reader.read(int(self._positions[i]))

    def name(self, i: int) -> str:
        return self._reader.name(int(self._positions[i]))

    def within(self, i: int) -> tuple[Reader, int]:
        """The other reader, and where image i is in it."""
        return self._reader, int(self._positions[i])
