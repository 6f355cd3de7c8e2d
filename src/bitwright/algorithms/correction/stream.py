"""Images to calibrate on, in whatever form they came, as batches of one size: how they were cut makes no difference.

Nor does how many ranks share them: batch k has the images at k * size and up, and goes to rank k modulo their number.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.algorithms.correction.calibration import batch_of
from bitwright.errors import CalibrationError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import Batches, ImageSource
from bitwright.ranks import ALONE, Ranks, share

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]
Part = tuple[Pixels, Labels | None, Places]
Images = Pixels | Iterable[Pixels] | ImageSource | Batches


@dataclass(frozen=True)
class Stream:
    """Images that are read once.

    Fields:
        images: an array, `Batches`, or an iterable of arrays.
        shape: what each image must have: [H, W, C].
        length: how many images there are, or a few more (some may be unreadable); None where nobody knows.
        counts: how many images each class has; None without labels.
        ranks: those that share the images; `length` and `counts` are of all of them.
    """

    images: Any
    shape: tuple[int, int, int]
    length: int | None
    counts: Mapping[int, int] | None
    ranks: Ranks = ALONE

    @classmethod
    def of(cls, images: Images, preprocess: Preprocess, ranks: Ranks = ALONE) -> "Stream":
        """Whatever `calibrate` takes. CalibrationError where it is nothing of the kind."""
        shape = preprocess.shape
        if isinstance(images, ImageSource):
            images = images.batches(preprocess, batch_of(shape))
        if isinstance(images, Batches):
            labels = images.labels
            if ranks.size > 1:
                images.only(share(len(images), batch_of(shape), ranks))
            return cls(images, shape, len(images), None if labels is None else Counter(labels.tolist()), ranks)
        if isinstance(images, str | bytes | PathLike) or not isinstance(images, Iterable):
            raise CalibrationError(
                f"{_expected(shape)}, batches of them, or bitwright.open_source(...), found {images!r:.100}"
            )
        return cls(images, shape, len(images) if isinstance(images, np.ndarray) else None, None, ranks)

    @property
    def bad(self) -> int:
        """How many images could not be read so far; by any rank, after `merge`."""
        return len(self.images.bad) if isinstance(self.images, Batches) else 0

    def merge(self) -> None:
        """Know which images other ranks could not read."""
        if isinstance(self.images, Batches) and self.ranks.size > 1:
            self.images.merge(self.ranks)

    def __iter__(self) -> Iterator[Part]:
        """This rank's contiguous batches of `batch_of` their size, shorter where an image is bad and at the end.

        Each comes with its labels, if there are any, and the images' places in the stream, int64 [n].
        """
        size, block, waiting = batch_of(self.shape), -1, list[Part]()
        for images, labels, places in self._parts():
            self._check(images)
            blocks = places // size
            cuts = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(blocks)]
            for start, stop in pairwise(cuts if len(blocks) else []):
                if blocks[start] != block and waiting:
                    yield _joined(waiting)
                    waiting = []
                block = int(blocks[start])
                if block % self.ranks.size == self.ranks.rank:
                    part = slice(start, stop)
                    waiting.append((images[part], None if labels is None else labels[part], places[part]))
                    if (int(places[stop - 1]) + 1) % size == 0:  # no more is read before a whole batch is seen
                        yield _joined(waiting)
                        waiting = []
        if waiting:
            yield _joined(waiting)

    def _parts(self) -> Iterator[Part]:
        if isinstance(self.images, Batches):
            for batch in self.images:
                yield batch.images, batch.labels, batch.indices
            return
        seen = 0
        for part in [self.images] if isinstance(self.images, np.ndarray) else self.images:
            count = len(part) if isinstance(part, np.ndarray) and part.ndim else 0
            yield part, None, np.arange(seen, seen + count, dtype=np.int64)
            seen += count

    def _check(self, part: Any) -> None:
        if not isinstance(part, np.ndarray):
            hint = ": their .numpy() gives the array" if hasattr(part, "numpy") else ""
            raise CalibrationError(f"{_expected(self.shape)}, found {_told(part)}{hint}")
        if part.dtype != np.uint8 or part.ndim != 4 or part.shape[1:] != self.shape:
            raise CalibrationError(f"{_expected(self.shape)}, found {part.dtype} {list(part.shape)}")


def _joined(parts: list[Part]) -> Part:
    images = np.ascontiguousarray(np.concatenate([part[0] for part in parts]))
    labels = [part[1] for part in parts if part[1] is not None]
    return images, np.concatenate(labels) if labels else None, np.concatenate([part[2] for part in parts])


def _told(part: Any) -> str:
    """What was found, for an error: type and shape of something like an array, since its numbers say little."""
    if hasattr(part, "shape") and hasattr(part, "dtype"):
        return f"{type(part).__module__}.{type(part).__name__} of {part.dtype} {list(part.shape)}"
    return f"{part!r:.100}"


def _expected(shape: tuple[int, int, int]) -> str:
    return f"expected uint8 images of [N, {', '.join(map(str, shape))}]"
