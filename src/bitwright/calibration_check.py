"""Whether images are fit to calibrate on. Ranges of values that nothing varied are wrong for every other image, and a model
calibrated on one picture, on grey cards or on pixels of 0 and 1 loses most of its accuracy without a word.
"""

import hashlib

import numpy as np
import numpy.typing as npt

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
        self._squares = 0.0
        self._different: set[bytes] = set()

    def add(self, batch: Pixels) -> None:
        """Look at uint8 images [N, H, W, C]."""
        pixels = batch.reshape(len(batch), -1, batch.shape[-1])
        self.images += len(batch)
        lowest, highest = pixels.min(axis=1), pixels.max(axis=1)
        self.constant += int((lowest == highest).all(axis=1).sum())
        self.lowest, self.highest = min(self.lowest, int(lowest.min())), max(self.highest, int(highest.max()))
        sums = pixels.sum(axis=0, dtype=np.float64)
        self._sums = sums if self._sums is None else self._sums + sums
        for image in batch:
            self._different.add(hashlib.blake2b(image.tobytes(), digest_size=16).digest())
            levels = image.reshape(-1).astype(np.float32)
            self._squares += float(levels @ levels)

    @property
    def spread(self) -> float:
        """The standard deviation of a pixel from image to image, in levels: the root mean square over all pixels."""
        if self._sums is None:
            return 0.0
        mean = self._sums / self.images
        return float(np.sqrt(max(0.0, self._squares / self.images / mean.size - np.square(mean).mean())))

    def findings(self) -> list[str]:
        """What is wrong with the images, each in a sentence that says what was seen; nothing where they are fit."""
        n, different = self.images, len(self._different)
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
