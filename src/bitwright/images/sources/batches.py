"""Batches: a source's images as the pixels that a model eats, decoded a little ahead by a few threads, in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from bitwright.ahead import ahead
from bitwright.errors import ImageError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources.readers import Reader
from bitwright.ranks import Ranks, gather_json
from bitwright.registry import Foreign

Pixels = npt.NDArray[np.uint8]

_AHEAD = 4  # images in flight per thread: enough to keep it busy, so few that memory stays flat


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images: `images` uint8 [n, H, W, C], `labels` int64 [n] or None, `indices` int64 [n] into the source."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    indices: npt.NDArray[np.int64]


@dataclass(frozen=True)
class BadImage:
    """An image that was left out, and why."""

    name: str
    reason: str


class Batches(Iterator[Batch]):
    """An iterator of `Batch`, once through the source. `bad` lists the images that were left out so far.

    Every batch but the last holds `batch_size` images: a bad one is skipped and the next takes its place. Order and
    content depend neither on `workers` nor on chance. With `strict`, the first bad image raises its ImageError.
    """

    def __init__(
        self,
        reader: Reader,
        labels: npt.NDArray[np.int64] | None,
        preprocess: Preprocess,
        batch_size: int,
        strict: bool,
        workers: int,
        opened_by: Foreign | None = None,
    ) -> None:
        if batch_size < 1 or workers < 1:
            raise ValueError(f"expected a batch size and a number of workers above 0, found {batch_size} and {workers}")
        self.bad: list[BadImage] = []
        self._bad_at: list[int] = []
        self._wanted: npt.NDArray[np.int64] = np.arange(len(reader), dtype=np.int64)
        self.opened_by = opened_by
        self._reader = reader
        self._labels = labels
        self._preprocess = preprocess
        self._batch_size = batch_size
        self._strict = strict
        self._workers = workers
        self._decoded: Iterator[tuple[int, Pixels | ImageError]] | None = None

    def __len__(self) -> int:
        """How many images there are, those that turn out to be unreadable among them."""
        return len(self._reader)

    def only(self, indices: npt.NDArray[np.int64]) -> None:
        """Read no other images than these, int64 and ascending, which are one rank's share; before the first batch."""
        self._wanted = indices

    def merge(self, ranks: Ranks) -> None:
        """Let `bad` list what all ranks have left out."""
        mine = [(i, image.name, image.reason) for i, image in zip(self._bad_at, self.bad, strict=True)]
        found = sorted(tuple(bad) for bads in gather_json(ranks, mine) for bad in bads)
        self._bad_at, self.bad[:] = [i for i, *_ in found], [BadImage(*bad) for _, *bad in found]

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each image that may come, int64 [N]; None where nobody knows."""
        return self._labels

    def __next__(self) -> Batch:
        if self._decoded is None:
            # It holds no reference to this object, so that both go when nobody has this one any more.
            decode, wanted = partial(_decode, self._reader, self._preprocess), self._wanted.tolist()
            found = ahead(decode, wanted, self._workers, _AHEAD * self._workers, "bitwright-decode")
            self._decoded = zip(wanted, found, strict=True)
        try:
            good = self._good(self._decoded)
        except BaseException:
            self._decoded = iter(())  # as with any iterator, nothing comes behind an error
            raise
        if not good:
            raise StopIteration
        return self._batch(good)

    def _good(self, decoded: Iterator[tuple[int, Pixels | ImageError]]) -> list[tuple[int, Pixels]]:
        """The next images that can be read, no more than a batch of them."""
        good: list[tuple[int, Pixels]] = []
        for i, pixels in decoded:
            if isinstance(pixels, ImageError):
                self._leave_out(i, pixels)
                continue
            good.append((i, pixels))
            if len(good) == self._batch_size:
                break
        return good

    def _leave_out(self, i: int, error: ImageError) -> None:
        name = self._reader.name(i)
        reason = str(error).removeprefix(f"{name}: ")  # a reader's errors begin with the name, apply's don't
        if self._strict:
            raise ImageError(f"{name}: {reason}") from error
        self.bad.append(BadImage(name, reason))
        self._bad_at.append(i)

    def _batch(self, good: list[tuple[int, Pixels]]) -> Batch:
        indices = np.array([i for i, _ in good], np.int64)
        labels = None if self._labels is None else self._labels[indices]
        return Batch(np.stack([pixels for _, pixels in good]), labels, indices)


def _decode(reader: Reader, preprocess: Preprocess, i: int) -> Pixels | ImageError:
    """An image's pixels, or what is wrong with it."""
    try:
        return preprocess.apply(reader.read(i))
    except ImageError as error:
        return error
