"""What a correction must offer: it changes a calibrated model so that its results come closer to the float model's."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.errors import RecipeError
from bitwright.prepared import PreparedModel


class Correction(ABC):
    """Changes parameters or scales of a prepared model; deterministic under the calibration's seed."""

    name: ClassVar[str]
    before_ranges: ClassVar[bool] = False
    """True where it changes the float parameters, before ranges are observed and chosen."""
    rounds: ClassVar[bool] = False
    """True where it chooses the codes of weights; a recipe has one such algorithm at most."""
    quick: ClassVar[bool] = False
    """True where it takes no longer than a few passes over its images: it is then tried with and without others."""
    most_images: ClassVar[int] = 128
    """How many images are enough for it."""

    def check(self, prepared: PreparedModel) -> None:  # noqa: B027 - most suit every model
        """Raise RecipeError where the correction makes no sense for this model."""

    def watches(self, prepared: PreparedModel) -> Sequence[str]:
        """The values whose channels' sizes it wants to know, for `Calibration.largest`."""
        return ()

    @property
    def is_data_free(self) -> bool:
        """Whether it has a form for a model without images."""
        return type(self).apply_without_images is not Correction.apply_without_images

    def apply_without_images(self, prepared: PreparedModel) -> None:
        """The same from batch norms alone, for a model without images; RecipeError where there is no such form."""
        raise RecipeError(f"{self.name!r} needs images")

    @abstractmethod
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        """Change a model whose ranges are chosen (unless `before_ranges`)."""
