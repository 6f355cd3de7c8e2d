"""Records of what was found: frozen, plain, each with a `to_json`. The commands print them and build none."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Guess:
    """One class of a prediction.

    Attributes:
        index: its position among the logits.
        name: what it is called.
        probability: 0 to 1.
    """

    index: int
    name: str
    probability: float

    @property
    def percent(self) -> float:
        """The probability in percent."""
        return 100 * self.probability


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image, or why it could not say anything.

    Attributes:
        image: the image's path, or its place in the file or list that holds it.
        top: the most probable classes, the best one first; empty where there is an error.
        logits: float32 [classes], as the engine computed them; None where there is an error.
        error: why the image could not be classified; None where it was.
    """

    image: str
    top: tuple[Guess, ...] = ()
    logits: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    error: str | None = None

    @property
    def best(self) -> Guess | None:
        """The most probable class; None where there is an error."""
        return self.top[0] if self.top else None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data, without the logits; probabilities in percent, to four decimals."""
        top = [{"index": g.index, "name": g.name, "percent": round(g.percent, 4)} for g in self.top]
        return {"path": self.image, "error": self.error, "top": top}
