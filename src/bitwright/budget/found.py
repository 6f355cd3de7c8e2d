"""What a search found: choices of widths, the artifact of the best one, and the record of it all."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bitwright.artifact import Artifact
from bitwright.budget.judge import Verified
from bitwright.budget.race import Latency
from bitwright.budget.widths import Aim
from bitwright.images.sources import BadImage
from bitwright.recipe import Recipe
from bitwright.records import Measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """A choice of widths on the Pareto front: what it should cost and lose, and, where it was verified, what it did."""

    recipe: Recipe
    predicted_cost: float
    predicted_loss: float
    verified: Verified | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        record = {"recipe": self.recipe.to_json(), "predicted_cost": self.predicted_cost}
        return {**record, "predicted_loss": self.predicted_loss, "verified": _verified(self.verified)}


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        artifact: the integer model; it keeps the budget on the held-out images.
        verified: its recipe, drop and bytes.
        uniform: 8 bits everywhere, verified.
        pareto_front: all choices from the least loss to the least cost.
        minimize: what was made small.
        max_drop: the budget, in points.
        latency: of the artifact and of the uniform model, measured in turns; None unless latency was to be minimised.
        bad: the images that could not be read.
        threads: of the engine, for latency; None unless it was measured.
    """

    artifact: Artifact
    verified: Verified
    uniform: Point
    pareto_front: tuple[Point, ...]
    minimize: Aim
    max_drop: float
    latency: tuple[Latency, Latency] | None
    bad: tuple[BadImage, ...]
    threads: int | None = None

    def plot(self) -> "Figure":
        """A matplotlib figure of the Pareto front: measured drop and predicted loss against cost. Needs the extra `plot`."""
        from bitwright.budget.figures import front_figure

        return front_figure(self)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the artifact."""
        times = None if self.latency is None else [asdict(latency) for latency in self.latency]
        return {
            "minimize": self.minimize,
            "max_drop": self.max_drop,
            "found": _verified(self.verified),
            "uniform": self.uniform.to_json(),
            "latency": None if times is None else {"threads": self.threads, "found": times[0], "uniform": times[1]},
            "front": [point.to_json() for point in self.pareto_front],
        }


@dataclass(frozen=True)
class SearchRecord:
    """What a search found for a float model, and where it was written to.

    Attributes:
        model: the float model.
        data: the images that it was searched with.
        found: what was found; its artifact may have got names and measurements since.
        artifact: where the artifact was written to.
        bytes, sha256: of that file.
        float_bytes: of the float model's parameters and buffers.
        measured: its accuracy on other images; None where it was not measured.
    """

    model: str
    data: str
    found: Found
    artifact: str
    bytes: int
    sha256: str
    float_bytes: int
    measured: Measured | None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return {
            "model": self.model,
            "data": self.data,
            **self.found.to_json(),
            "bytes": self.bytes,
            "artifact": self.artifact,
            "float_bytes": self.float_bytes,
            "sha256": self.sha256,
            "measured": self.measured and self.measured.to_json(),
        }


def _verified(verified: Verified | None) -> dict[str, Any] | None:
    if verified is None:
        return None
    return {"recipe": verified.recipe.to_json(), "bytes": verified.bytes, "drop": verified.drop.to_json()}
