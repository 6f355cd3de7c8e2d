"""The table of corrections: algorithms that run on a calibrated model, in the order that the recipe gives.

A newcomer is one file and one line here.
"""

from bitwright.algorithms.correction.bias_correct import BiasCorrect
from bitwright.algorithms.correction.correction import Correction
from bitwright.errors import RecipeError

CORRECTIONS: dict[str, Correction] = {algorithm.name: algorithm for algorithm in (BiasCorrect(),)}


def correction(name: str) -> Correction:
    """Return the correction called `name`; RecipeError if there is none."""
    if name not in CORRECTIONS:
        raise RecipeError(f"unknown algorithm {name!r}; known algorithms: {', '.join(CORRECTIONS)}")
    return CORRECTIONS[name]


__all__ = ["CORRECTIONS", "Correction", "correction"]
