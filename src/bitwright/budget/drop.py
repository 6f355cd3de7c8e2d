"""`Drop`: how much accuracy an integer model lost, counted image by image, and how surely that is known.

Both models see the same n images. With b images that only the float model has right, and c that only the integer model has:
    drop = (b - c) / n
    interval: d -+ z * sqrt(b' + c' - (b' - c')**2 / n') / n',   d = (b' - c') / n',   b' = b + 1/2, c' = c + 1/2, n' = n + 2
This is Wald's interval for paired proportions after a fourth of two observations is added to each of the four cells, which
keeps its coverage near the nominal one for few images, and its width above zero where the models never differ.
Agresti & Min 2005, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24.
Images that both have right or wrong say nothing: McNemar 1947. Without labels the float model's classes are the labels:
then c = 0, and the drop is the share of images whose class changed, which no loss of accuracy can exceed.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import BudgetError

CONFIDENCE = 0.95
Classes = npt.NDArray[np.int64]


def expect_max_drop(points: float) -> None:
    """Raise BudgetError unless it is a budget: NaN would refuse every model, or none."""
    if not 0 <= points <= 100:
        raise BudgetError(f"expected max_drop in points of accuracy, from 0 to 100; found {points}")


@dataclass(frozen=True)
class Drop:
    """Counts of images: all of them, those that only the float model has right, and those that only the integer model has.

    `labelled` is False where the float model's own classes stood in for labels. `float_right` is None then.
    """

    images: int
    lost: int
    gained: int
    labelled: bool
    float_right: int | None = None

    @property
    def points(self) -> float:
        """The drop in percentage points; negative where the integer model is better."""
        return 100 * (self.lost - self.gained) / self.images

    @property
    def float_top1(self) -> float | None:
        return None if self.float_right is None else 100 * self.float_right / self.images

    @property
    def top1(self) -> float | None:
        return None if self.float_top1 is None else self.float_top1 - self.points

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The interval that holds the true drop with this confidence, in points."""
        lost, gained, images = self.lost + 0.5, self.gained + 0.5, self.images + 2
        centre, half = (lost - gained) / images, _half_width(lost, gained, images, confidence)
        return 100 * max(-1.0, centre - half), 100 * min(1.0, centre + half)

    @property
    def uncertainty(self) -> float:
        """Half of the interval's width, in points: the drop is known to plus or minus this."""
        return 100 * _half_width(self.lost + 0.5, self.gained + 0.5, self.images + 2, CONFIDENCE)

    def images_for(self, points: float) -> int:
        """About how many images would make the drop known to plus or minus `points`, should they be like these."""
        return math.ceil(self.images * (self.uncertainty / points) ** 2)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the interval."""
        lo, hi = self.interval()
        return {
            "points": self.points,
            "interval": [lo, hi],
            "confidence": CONFIDENCE,
            "images": self.images,
            "lost": self.lost,
            "gained": self.gained,
            "against": "labels" if self.labelled else "the float model's classes",
            "float_top1": self.float_top1,
            "top1": self.top1,
        }

    def __str__(self) -> str:
        lo, hi = self.interval()
        what = "points" if self.labelled else "% of classes changed"
        return f"{self.points:.2f} {what} ({lo:.2f} to {hi:.2f}) on {self.images:,} images"


def drop_between(guesses: Classes, float_guesses: Classes, labels: Classes | None) -> Drop:
    """The drop from what both models took each image for, int64 [N], and the labels where there are some."""
    if labels is None:
        return Drop(len(guesses), int((guesses != float_guesses).sum()), 0, labelled=False)
    right, float_right = guesses == labels, float_guesses == labels
    lost, gained = int((float_right & ~right).sum()), int((right & ~float_right).sum())
    return Drop(len(guesses), lost, gained, labelled=True, float_right=int(float_right.sum()))


def _half_width(lost: float, gained: float, images: int, confidence: float) -> float:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return z * math.sqrt(lost + gained - (lost - gained) ** 2 / images) / images
