"""The table of corrections: algorithms that run on a calibrated model, in the order that the recipe gives.

A newcomer is one file and one line here.
"""

from collections.abc import Sequence

from bitwright.algorithms.correction.adaround import AdaRound
from bitwright.algorithms.correction.bias_correct import BiasCorrect
from bitwright.algorithms.correction.bn_restat import BnRestat
from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.equalize import Equalize
from bitwright.algorithms.correction.finetune_scales import FinetuneScales
from bitwright.algorithms.correction.gptq import Gptq
from bitwright.algorithms.correction.reconstruct import Reconstruct
from bitwright.algorithms.correction.smooth import Smooth
from bitwright.errors import RecipeError, did_you_mean
from bitwright.recipe import Recipe
from bitwright.registry import Registry, instance_of


def _check(name: str, thing: object) -> Correction:
    return instance_of(Correction, name, thing, "correction")  # type: ignore[type-abstract]


CORRECTIONS: Registry[Correction] = Registry(
    "correction",
    {
        algorithm.name: algorithm
        for algorithm in (
            *(Equalize(), Smooth(), BiasCorrect()),
            *(AdaRound(), Gptq(), Reconstruct(), FinetuneScales(), BnRestat()),
        )
    },
    _check,
)


def corrections(names: Sequence[str]) -> list[Correction]:
    """The corrections called so; RecipeError if there is no such one, or they make no sense together."""
    for name in names:
        if name not in CORRECTIONS:
            known = ", ".join(CORRECTIONS)
            raise RecipeError(f"unknown algorithm {name!r}; known algorithms: {known}{did_you_mean(name, CORRECTIONS)}")
        if names.count(name) > 1:
            raise RecipeError(f"the recipe has the algorithm {name!r} twice; leave one out")
    found = [CORRECTIONS[name] for name in names]
    rounding = [step.name for step in found if step.rounds]
    if len(rounding) > 1:
        raise RecipeError(
            f"expected one algorithm that rounds the weights, found {', '.join(rounding)}; keep one of them"
        )
    return found


def expect_rules(recipe: Recipe) -> None:
    """Raise RecipeError where a rule leaves out a correction that the recipe has not, or that is never one layer's alone."""
    for name in dict.fromkeys(name for rule in recipe.rules for name in rule.without):
        if name not in recipe.algorithms:
            known = ", ".join(recipe.algorithms) or "none"
            raise RecipeError(
                f"expected 'without' to name algorithms of the recipe, which are {known}; found {name!r}"
                f"{did_you_mean(name, recipe.algorithms)}"
            )
        if CORRECTIONS[name].before_ranges:
            raise RecipeError(
                f"{name!r} changes neighbouring layers together, so no layer can be without it; take it out of 'algorithms'"
            )


__all__ = ["CORRECTIONS", "Calibration", "Correction", "corrections", "expect_rules"]
