"""`Sample`: some images of a stream of unknown length, as good as drawn at random over all of it.

An image's mark is a hash of the seed and its pixels, uniform in [0, 1). The k-th smallest mark of a class of n images has the
key (k + mark) / n; the images with the smallest keys are kept, in the order of their keys. So every class gets its share, to
within one image, and any first part of the sample is a sample, too. Without labels all images are of one class.
Neither the order of the stream nor how it is cut into batches makes a difference, nor how many ranks share it: what is in the
sample of all is in that of the rank that saw it. The same image is kept once, or once for each label that it has.
This is a bottom-k sketch (Cohen & Kaplan 2007, "Summarizing Data Using Bottom-k Sketches"), stratified.
"""

import hashlib
import math
from bisect import bisect, insort
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitwright.algorithms.correction.values import Rows, Values
from bitwright.ranks import Ranks, gather_arrays

Key = tuple[int, int]
"""The label and the mark of an image."""
BYTES = 8
MARKS = 2.0 ** (8 * BYTES)


class Sample:
    """The sample so far; `images` has room for as many images as are kept.

    `counts` says how many images each class has; a class that it does not know counts as one image.
    """

    def __init__(self, images: Values, seed: int, counts: Mapping[int, int] | None = None) -> None:
        self.images, self._counts = images, counts or {}
        self._salt = seed.to_bytes(8, "little")
        self._marks: dict[int, list[int]] = {}
        self._slots: dict[Key, int] = {}
        self._logits: dict[int, Tensor] = {}
        self._bound = math.inf

    def add(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64] | None, logits: Tensor) -> None:
        """Let images [n, H, W, C] take part, with their labels, and the float model's logits [n, classes]."""
        for i, image in enumerate(images):
            digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=BYTES, key=self._salt).digest()
            self._add(int.from_bytes(digest, "little"), 0 if labels is None else int(labels[i]), image, logits[i])

    def order(self) -> npt.NDArray[np.int64]:
        """Where the images that are kept stand in `images`, in the order of their keys."""
        return np.array([self._slots[key] for key in self._best()], np.int64)

    def logits(self) -> Tensor:
        """The float model's logits of these images, in the same order, float32 [n, classes]."""
        return torch.stack([self._logits[slot] for slot in self.order().tolist()])

    def merge(self, ranks: Ranks) -> None:
        """Make it the sample of all that any rank has seen. Each image is sent once, by one rank that has it."""
        keys = list(self._slots)
        mine = {"labels": np.array([label for label, _ in keys], np.int64)}
        mine |= {"marks": np.array([mark for _, mark in keys], np.uint64)}
        owners: dict[Key, int] = {}
        for rank, theirs in enumerate(gather_arrays(ranks, mine)):
            for key in zip(theirs["labels"].tolist(), theirs["marks"].tolist(), strict=True):
                owners.setdefault(key, rank)
        self._marks = {label: sorted(m for k, m in owners if k == label) for label in {label for label, _ in owners}}
        kept = self._best()[: len(self.images)]
        own = [self._slots[key] for key in kept if owners[key] == ranks.rank]
        sent = {} if not own else {"images": self.images[np.array(own)].numpy()}
        sent |= {} if not own else {"logits": torch.stack([self._logits[slot] for slot in own]).numpy()}
        found = [arrays for arrays in gather_arrays(ranks, sent) if arrays]
        of_rank = [key for rank in range(ranks.size) for key in kept if owners[key] == rank]
        self._slots = {key: slot for slot, key in enumerate(of_rank)}
        self._marks = {label: sorted(m for k, m in kept if k == label) for label in {label for label, _ in kept}}
        self._logits = dict(enumerate(logits for part in found for logits in torch.from_numpy(part["logits"])))
        start = 0
        for part in found:
            stop = start + len(part["images"])
            self.images[start:stop], start = torch.from_numpy(part["images"]), stop
        self._bound = self._worst()[0] if len(self._slots) == len(self.images) else math.inf

    def _best(self) -> list[Key]:
        """The images, in the order of their keys."""
        keyed = (
            (self._key(label, k, mark), mark, label)
            for label, marks in self._marks.items()
            for k, mark in enumerate(marks)
        )
        return [(label, mark) for _, mark, label in sorted(keyed)]

    def _add(self, mark: int, label: int, image: npt.NDArray[np.uint8], logits: Tensor) -> None:
        marks = self._marks.setdefault(label, [])
        if (label, mark) in self._slots or self._comes_last(mark, label):
            return
        insort(marks, mark)
        slot = len(self._slots)
        if slot == len(self.images):
            worst = self._worst()[1]
            slot = self._slots.pop((worst, self._marks[worst].pop()))
        self._slots[label, mark] = slot
        self.images[slot : slot + 1] = torch.from_numpy(np.ascontiguousarray(image[None]))
        self._logits[slot] = logits.detach().cpu().clone()
        self._bound = self._worst()[0] if len(self._slots) == len(self.images) else math.inf

    def _comes_last(self, mark: int, label: int) -> bool:
        """Whether an image would be the first to be dropped; its key only grows while others come."""
        return self._key(label, bisect(self._marks[label], mark), mark) >= self._bound

    def _worst(self) -> tuple[float, int]:
        """The greatest key, and the class of the image that has it."""
        return max(
            (self._key(label, len(marks) - 1, marks[-1]), label) for label, marks in self._marks.items() if marks
        )

    def _key(self, label: int, k: int, mark: int) -> float:
        return (k + mark / MARKS) / self._counts.get(label, 1)


class Picked:
    """Some of the images of an array, in an order of their own; read only."""

    def __init__(self, images: Values, positions: npt.NDArray[np.int64]) -> None:
        self._images, self._positions = images, positions

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, H, W, C]"""
        return (len(self), *self._images.shape[1:])

    def __getitem__(self, rows: Rows) -> Tensor:
        """The images [n, H, W, C] of these rows, uint8."""
        return self._images[self._positions[rows]]
