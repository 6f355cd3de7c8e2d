"""Images to calibrate on, in whatever form they came, as batches of one size: how they were cut makes no difference."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.algorithms.correction.calibration import batch_of
from bitwright.errors import CalibrationError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import Batches, ImageSource

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Images = Pixels | Iterable[Pixels] | ImageSource | Batches


@dataclass(frozen=True)
class Stream:
    """Images that are read once.

    Fields:
        images: an array, `Batches`, or an iterable of arrays.
        shape: what each image must have: [H, W, C].
        length: how many images there are, or a few more (some may be unreadable); None where nobody knows.
        counts: how many images each class has; None without labels.
    """

    images: Any
    shape: tuple[int, int, int]
    length: int | None
    counts: Mapping[int, int] | None

    @classmethod
    def of(cls, images: Images, preprocess: Preprocess) -> "Stream":
        """Whatever `calibrate` takes. CalibrationError where it is nothing of the kind."""
        shape = preprocess.shape
        if isinstance(images, ImageSource):
            images = images.batches(preprocess, batch_of(shape))
        if isinstance(images, Batches):
            labels = images.labels
            return cls(images, shape, len(images), None if labels is None else Counter(labels.tolist()))
        if isinstance(images, str | bytes | PathLike) or not isinstance(images, Iterable):
            raise CalibrationError(
                f"{_expected(shape)}, batches of them, or bitwright.open_source(...), found {images!r:.100}"
            )
        return cls(images, shape, len(images) if isinstance(images, np.ndarray) else None, None)

    @property
    def bad(self) -> int:
        """How many images could not be read so far."""
        return len(self.images.bad) if isinstance(self.images, Batches) else 0

    def __iter__(self) -> Iterator[tuple[Pixels, Labels | None]]:
        """Contiguous batches of `batch_of` their size, the last one shorter, with their labels."""
        size, waiting, names = batch_of(self.shape), list[Pixels](), list[Labels]()
        for part, labels in self._parts():
            self._check(part)
            for start in np.arange(0, len(part), size):
                waiting.append(part[start : start + size])
                if labels is not None:
                    names.append(labels[start : start + size])
                if sum(map(len, waiting)) >= size:
                    whole = np.ascontiguousarray(np.concatenate(waiting))
                    named = np.concatenate(names) if names else None
                    yield whole[:size], None if named is None else named[:size]
                    waiting, names = [whole[size:]], [] if named is None else [named[size:]]
        if sum(map(len, waiting)):
            yield np.ascontiguousarray(np.concatenate(waiting)), np.concatenate(names) if names else None

    def _parts(self) -> Iterator[tuple[Any, Labels | None]]:
        if isinstance(self.images, Batches):
            for batch in self.images:
                yield batch.images, batch.labels
        elif isinstance(self.images, np.ndarray):
            yield self.images, None
        else:
            for part in self.images:
                yield part, None

    def _check(self, part: Any) -> None:
        if not isinstance(part, np.ndarray):
            hint = ": their .numpy() gives the array" if hasattr(part, "numpy") else ""
            raise CalibrationError(f"{_expected(self.shape)}, found {_told(part)}{hint}")
        if part.dtype != np.uint8 or part.ndim != 4 or part.shape[1:] != self.shape:
            raise CalibrationError(f"{_expected(self.shape)}, found {part.dtype} {list(part.shape)}")


def _told(part: Any) -> str:
    """What was found, for an error: type and shape of something like an array, since its numbers say little."""
    if hasattr(part, "shape") and hasattr(part, "dtype"):
        return f"{type(part).__module__}.{type(part).__name__} of {part.dtype} {list(part.shape)}"
    return f"{part!r:.100}"


def _expected(shape: tuple[int, int, int]) -> str:
    return f"expected uint8 images of [N, {', '.join(map(str, shape))}]"
