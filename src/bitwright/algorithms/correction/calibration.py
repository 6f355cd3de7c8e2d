"""What a correction works with: images, room for what it computes from them, a seed, and a progress callback."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bitwright.algorithms.correction.clock import Span
from bitwright.algorithms.correction.sample import Picked
from bitwright.algorithms.correction.values import Memory, Values

MOST_IMAGES, MOST_NUMBERS = 32, 8 * 224 * 224 * 3


def batch_of(shape: Sequence[int], most_numbers: int = MOST_NUMBERS) -> int:
    """How many images [H, W, C] go through a network at a time: few enough that values stay near the cache."""
    return max(1, min(MOST_IMAGES, most_numbers // math.prod(shape)))


@dataclass(frozen=True)
class Calibration:
    """`images` are uint8 [N, H, W, C], drawn at random from those that the ranges are chosen from.

    `largest` has the greatest |y| of each channel [C] of the values that a correction watches, over all images, in the float
    model as it came, and `growth` what more images would multiply it by. `progress` is called with the share of an
    algorithm's work that is done, and `span` is the time that it may take to
    learn by gradient.
    """

    images: Values | Picked
    memory: Memory
    seed: int = 0
    progress: Callable[[float], None] = lambda share: None
    largest: Mapping[str, Tensor] = field(default_factory=dict)
    growth: Mapping[str, Tensor] = field(default_factory=dict)
    span: Span = field(default_factory=Span)

    def rows(self, most: int) -> list[slice]:
        """The first `most` images at most, in batches; half as large as for ranges, as two models keep values here."""
        count, batch = min(most, len(self.images)), batch_of(self.images.shape[1:], MOST_NUMBERS // 2)
        return [slice(start, min(start + batch, count)) for start in range(0, count, batch)]

    def batches(self, most: int) -> Iterator[Tensor]:
        """The images of these rows."""
        return (self.images[rows] for rows in self.rows(most))

    def generator(self) -> torch.Generator:
        """Random numbers from the seed: for every algorithm the same, whichever ran before."""
        return torch.Generator().manual_seed(self.seed)
