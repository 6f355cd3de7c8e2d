"""ImageSource: a set of images with, perhaps, their labels and class names. Nothing is decoded before it is asked for."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitwright.errors import SourceError, SourceWarning
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources.batches import Batches
from bitwright.images.sources.readers import Picture, Reader, SubsetReader
from bitwright.registry import Foreign

Indices = Sequence[int] | npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class ImageSource:
    """A set of at least one image.

    Attributes:
        reader: fetches one image.
        where: the path or name that the set was opened from, for messages.
        labels: the class of each image, int64 [N], not negative; None where nobody knows.
        classes: the names of the classes, in the order of the labels; None where they have no names.
        opened_by: the kind of source that opened it, where that is not one of ours.

    Raises:
        SourceError: when made of parts that don't fit each other.
    """

    reader: Reader
    where: str
    labels: npt.NDArray[np.int64] | None = None
    classes: tuple[str, ...] | None = None
    opened_by: Foreign | None = None

    def __post_init__(self) -> None:
        if len(self.reader) == 0:
            raise SourceError(f"{self.where}: expected at least one image, found none")
        if self.labels is None:
            return
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self),):
            raise SourceError(
                f"{self.where}: expected {len(self)} labels, one whole number per image; "
                f"found {self.labels.dtype} {list(self.labels.shape)}"
            )
        lowest, highest = int(self.labels.min()), int(self.labels.max())
        if lowest < 0 or (self.classes is not None and highest >= len(self.classes)):
            bound = "and up" if self.classes is None else f"to {len(self.classes) - 1}, one per class name"
            raise SourceError(f"{self.where}: expected labels 0 {bound}; found {lowest} to {highest}")

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, i: int) -> Picture:
        """Return image i as it is stored: an upright PIL picture of any mode, or uint8 [h, w] or [h, w, 1 or 3].

        Raises:
            ImageError: this one image can't be read; the message is "NAME: REASON".
        """
        return self.reader.read(i)

    def name(self, i: int) -> str:
        """Return the path of image i, or its place in the file that holds it."""
        return self.reader.name(i)

    def subset(self, indices: Indices) -> "ImageSource":
        """Return the images at these positions, in this order; the classes stay.

        Raises:
            SourceError: none are asked for, or one is outside 0..len-1.
        """
        positions = np.asarray(indices)
        if positions.ndim != 1 or positions.size == 0 or not np.issubdtype(positions.dtype, np.integer):
            raise SourceError(f"{self.where}: expected positions of at least one image; found {indices!r}")
        if positions.min() < 0 or positions.max() >= len(self):
            found = f"{positions.min()}..{positions.max()}"
            raise SourceError(f"{self.where}: expected positions in 0..{len(self) - 1}; found {found}")
        positions = positions.astype(np.int64)
        labels = None if self.labels is None else self.labels[positions]
        return replace(self, reader=SubsetReader(self.reader, positions), labels=labels)

    def sample(self, n: int, seed: int) -> "ImageSource":
        """Return `n` different images, drawn at random, in their order here; of every class its share, where there are labels.

        The same seed gives the same images on every machine, and a smaller sample is part of a larger one.

        Raises:
            SourceError: `n` is not in 1..len, or `seed` not in 0..2**32-1.
        """
        if not 1 <= n <= len(self):
            raise SourceError(f"{self.where}: can't sample {n} images; expected 1..{len(self)}, the number there are")
        if not 0 <= seed < 2**32:
            raise SourceError(f"{self.where}: expected a seed in 0..{2**32 - 1}; found {seed}")
        return self.subset(np.sort(self._shuffled(seed)[:n]))

    def head(self, n: int) -> "ImageSource":
        """Return the first `n` images, or all there are. Warns where they are sorted by class, so that classes are left out."""
        return self.sliced(np.arange(min(n, len(self))), f"the first {n}")

    def sliced(self, positions: Indices, what: str) -> "ImageSource":
        """Return the images at these positions; `what` names them in a warning that classes are left out by their order."""
        part = self.subset(positions)
        if self.labels is not None and part.labels is not None and _sorted_by_class(self.labels):
            found, known = len(np.unique(part.labels)), len(np.unique(self.labels))
            if found < known and np.ptp(np.asarray(positions)) + 1 == len(part):  # in one piece
                warnings.warn(
                    f"{self.where}: the images are sorted by class, and {what} are of {found} of the {known} classes only; "
                    "take every k-th, as in [::5], or a random sample",
                    SourceWarning,
                    stacklevel=3,
                )
        return part

    def split(self, n: int, others: int, seed: int) -> "tuple[ImageSource, ImageSource]":
        """Return `sample(n, seed)`, and `others` images that are not in it, drawn at random too.

        Raises:
            SourceError: `n` or `others` is below 1, or they are more than there are; or `seed` is not in 0..2**32-1.
        """
        if others < 1 or n + others > len(self):
            raise SourceError(
                f"{self.where}: can't split {len(self)} images into {n} and {others} others; expected at least 1 of "
                f"each, and {len(self)} at most in all"
            )
        return self.sample(n, seed), self.subset(np.sort(self._shuffled(seed)[n : n + others]))

    def _shuffled(self, seed: int) -> npt.NDArray[np.integer]:
        """All positions, so that any first part of them holds each class's share, to within one image."""
        # RandomState, because NumPy promises never to change its stream; artifacts have to come out the same for ever.
        random = np.random.RandomState(seed)
        order = random.permutation(len(self))
        return order if self.labels is None else order[np.argsort(_shares(self.labels[order], random), kind="stable")]

    def batches(self, preprocess: Preprocess, batch_size: int, strict: bool = False, workers: int = 4) -> Batches:
        """Iterate over all images, preprocessed, in order; see `Batches`."""
        return Batches(self.reader, self.labels, preprocess, batch_size, strict, workers, self.opened_by)


def _shares(labels: npt.NDArray[np.int64], random: np.random.RandomState) -> npt.NDArray[np.float64]:
    """For each image, what share of its class stands in front of it, plus a random part of one image's share: float64 [N]."""
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.empty(len(labels))
    rank[order] = np.arange(len(labels)) - np.repeat(starts, counts)
    size = np.empty(len(labels))
    size[order] = np.repeat(counts, counts)
    return (rank + random.random_sample(len(labels))) / size


def _sorted_by_class(labels: npt.NDArray[np.int64]) -> bool:
    """Whether all images of a class stand together, for more than one class."""
    classes, changes = len(np.unique(labels)), int((np.diff(labels) != 0).sum())
    return classes > 1 and changes == classes - 1
