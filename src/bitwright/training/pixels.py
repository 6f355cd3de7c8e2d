"""`Pixels`: the training images as the model sees them, uint8, decoded once and held where they fit, else read as needed."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitwright.errors import TrainingError
from bitwright.images.preprocess import Preprocess
from bitwright.images.sources import ImageSource

HELD_BYTES = 2**31
DECODED = 1024


class Pixels:
    """Labelled images by position."""

    def __init__(self, source: ImageSource, preprocess: Preprocess) -> None:
        """TrainingError where the source has no labels; ImageError where an image cannot be read."""
        if source.labels is None:
            raise TrainingError(f"{source.where}: training needs labels, and these images have none")
        self.source, self.preprocess = source, preprocess
        self.labels = torch.from_numpy(source.labels)
        self.held: Tensor | None = None
        if len(source) * int(np.prod(preprocess.shape)) <= HELD_BYTES:
            self.held = torch.from_numpy(self._read(np.arange(len(source))))

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 [n, H, W, C] and labels [n] at these positions."""
        if self.held is not None:
            return self.held[indices], self.labels[indices]
        return torch.from_numpy(self._read(indices.numpy())), self.labels[indices]

    def _read(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        batches = self.source.subset(indices).batches(self.preprocess, DECODED, strict=True)
        return np.concatenate([batch.images for batch in batches])
