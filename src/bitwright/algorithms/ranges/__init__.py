"""The table of range algorithms. A newcomer is one file and one line here."""

from bitwright.algorithms.ranges.entropy import Entropy
from bitwright.algorithms.ranges.minmax import MinMax
from bitwright.algorithms.ranges.mse import Mse
from bitwright.algorithms.ranges.octav import Octav
from bitwright.algorithms.ranges.percentile import Percentile
from bitwright.algorithms.ranges.range import Function, Range, identity
from bitwright.errors import RecipeError, did_you_mean
from bitwright.registry import Registry, instance_of


def _check(name: str, thing: object) -> Range:
    return instance_of(Range, name, thing, "range")  # type: ignore[type-abstract]


RANGES: Registry[Range] = Registry(
    "range", {algorithm.name: algorithm for algorithm in (MinMax(), Percentile(), Mse(), Entropy(), Octav())}, _check
)


def range_algorithm(name: str) -> Range:
    """Return the range algorithm called `name`; RecipeError if there is none."""
    if name not in RANGES:
        raise RecipeError(f"unknown range {name!r}; known ranges: {', '.join(RANGES)}{did_you_mean(name, RANGES)}")
    return RANGES[name]


__all__ = ["RANGES", "Function", "Range", "identity", "range_algorithm"]
