"""Whether images are fit to calibrate on. Ranges of values that nothing varied are wrong for every other image, and a model
calibrated on one picture, on grey cards or on pixels of 0 and 1 loses most of its accuracy without a word.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from bitwright.ranks import Ranks, gather_arrays

Pixels = npt.NDArray[np.uint8]
NEARLY_EQUAL = 2.0
"""Levels of 255: the standard deviation of a pixel from image to image, on average. Photographs have 50 to 70, digits 30."""
FEW_LEVELS = 8
"""A set whose darkest and brightest pixel differ by less was scaled wrongly, or shows nothing."""
COPIES = 4
"""How many copies of each different image, on average, are too many."""


class Seen:
    """Collects statistics of the images, batch by batch, in bounded memory."""

    def __init__(self) -> None:
        self.images = self.constant = 0
        self.lowest, self.highest = 255, 0
        self._sums: npt.NDArray[np.float64] | None = None
        self._squares = 0
        self._digests: dict[int, bytes] = {}

    def add(self, batch: Pixels, places: npt.NDArray[np.int64]) -> None:
        """Look at uint8 images [N, H, W, C], at these places [N] of the stream."""
        pixels = batch.reshape(len(batch), -1, batch.shape[-1])
        self.images += len(batch)
        lowest, highest = pixels.min(axis=1), pixels.max(axis=1)
        self.constant += int((lowest == highest).all(axis=1).sum())
        self.lowest, self.highest = min(self.lowest, int(lowest.min())), max(self.highest, int(highest.max()))
        sums = pixels.sum(axis=0, dtype=np.float64)
        self._sums = sums if self._sums is None else self._sums + sums
        for place, image in zip(places.tolist(), batch, strict=True):
            self._digests[place] = hashlib.sha256(image.tobytes()).digest()
            levels = image.reshape(-1).astype(np.float32)
            self._squares += int(levels @ levels)

    def merge(self, ranks: Ranks, pixels: int) -> None:
        """Know what all ranks have seen of images of so many `pixels` and channels."""
        sums = np.zeros(pixels, np.int64) if self._sums is None else self._sums.astype(np.int64).reshape(-1)
        counts = ranks.sum(np.concatenate([sums, [self.images, self.constant, self._squares]]))
        self.images, self.constant, self._squares = counts[pixels:].tolist()
        self._sums = counts[:pixels].astype(np.float64)
        lowest, highest = ranks.largest(np.array([-self.lowest, self.highest], np.float64)).tolist()
        self.lowest, self.highest = int(-lowest), int(highest)
        places = np.fromiter(self._digests, np.int64)
        digests = np.frombuffer(b"".join(self._digests.values()), np.uint8)
        for found in gather_arrays(ranks, {"places": places, "digests": digests}):
            rows = found["digests"].reshape(-1, hashlib.sha256().digest_size)
            self._digests |= {place: row.tobytes() for place, row in zip(found["places"].tolist(), rows, strict=True)}

    @property
    def sha256(self) -> str:
        """SHA-256, in hex, of the SHA-256 of every image's pixels, in the order of the stream."""
        return hashlib.sha256(b"".join(self._digests[place] for place in sorted(self._digests))).hexdigest()

    @property
    def spread(self) -> float:
        """The standard deviation of a pixel from image to image, in levels: the root mean square over all pixels."""
        if self._sums is None:
            return 0.0
        mean = self._sums / self.images
        return float(np.sqrt(max(0.0, self._squares / self.images / mean.size - np.square(mean).mean())))

    def findings(self) -> list[str]:
        """What is wrong with the images, each in a sentence that says what was seen; nothing where they are fit."""
        n, different = self.images, len(set(self._digests.values()))
        if not n:
            return []
        found = []
        if different == 1:
            single = "calibrated on a single image" if n == 1 else f"calibrated on {n:,} copies of a single image"
            found.append(single)
        elif different * COPIES <= n:
            found.append(f"calibrated on only {different} different images among {n:,}")
        elif self.spread < NEARLY_EQUAL:
            found.append(
                f"calibrated on {n:,} nearly equal images: a pixel differs by {self.spread:.2f} of 255 levels between them"
            )
        if self.highest == self.lowest:
            found.append(f"calibrated on images whose pixels are all {self.lowest}")
        elif self.highest - self.lowest < FEW_LEVELS:
            scaled = ": was something scaled to 0..1 before it became uint8?" if self.highest < FEW_LEVELS else ""
            found.append(
                f"calibrated on images whose pixels lie between {self.lowest} and {self.highest} of 0..255{scaled}"
            )
        elif 2 * self.constant > n:
            found.append(f"calibrated on images of one colour: {self.constant:,} of {n:,} have no two different pixels")
        return [f"{text}; ranges will fit no other images: use some hundred varied ones" for text in found]
