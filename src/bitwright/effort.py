"""How hard `quantize` tries: which corrections a word stands for, in place of the recipe's.

quick    those that take a few passes over the images: equalize, bias_correct
normal   what the recipe says
best     equalize, then blocks that are learned (reconstruct), bias_correct, and all scales by the loss (finetune_scales)
"""

from dataclasses import replace
from typing import Literal, get_args

from bitwright.errors import RecipeError, did_you_mean
from bitwright.recipe import Recipe
from bitwright.schemes import SCHEMES

Effort = Literal["quick", "normal", "best"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
BEST_MINUTES = 15.0
"""What `best` may take where nothing is said."""
QUICK = ("equalize", "bias_correct")
ROUNDING = ("adaround", "gptq", "reconstruct")
BEST = ("equalize", "reconstruct", "bias_correct", "finetune_scales")


def at_effort(recipe: Recipe, effort: Effort) -> Recipe:
    """The recipe with the corrections of this effort; RecipeError where there is no such one.

    Weights of one bit have nothing to be rounded to: of the recipe's corrections the quick ones stay, and at best all,
    with scales that are learned.
    """
    if effort not in EFFORTS:
        raise RecipeError(
            f"expected an effort of {', '.join(EFFORTS)}, found {effort!r:.100}{did_you_mean(effort, EFFORTS)}"
        )
    if effort == "normal":
        return recipe
    names = recipe.algorithms
    if effort == "quick":
        chosen = QUICK if SCHEMES[recipe.weights].bits > 1 else tuple(name for name in names if name in QUICK)
    else:
        chosen = BEST if SCHEMES[recipe.weights].bits > 1 else (*names, BEST[-1])
    kept = tuple(dict.fromkeys(chosen))
    first, last, *layers = (replace(rule, without=_among(rule.without, kept)) for rule in recipe.rules)
    return replace(recipe, algorithms=kept, first=first, last=last, layers=tuple(layers))


def _among(without: tuple[str, ...], kept: tuple[str, ...]) -> tuple[str, ...]:
    """What a layer is left out of now: where it was of any rounding, of the one that is left."""
    names = (*without, *(ROUNDING if any(name in ROUNDING for name in without) else ()))
    return tuple(dict.fromkeys(name for name in names if name in kept))
