"""What an effort makes of a recipe."""

import pytest

from bitwright.effort import BEST, QUICK, at_effort
from bitwright.errors import RecipeError
from bitwright.recipe import Recipe, Rule


@pytest.mark.parametrize("name", ["w8a8", "w4a4", "wta8"])
def test_efforts_take_the_place_of_a_recipes_corrections(name: str) -> None:
    recipe = Recipe.parse(name)
    assert at_effort(recipe, "normal") == recipe
    assert at_effort(recipe, "quick").algorithms == QUICK
    assert at_effort(recipe, "best").algorithms == BEST


def test_weights_of_one_bit_are_not_rounded() -> None:
    recipe = Recipe.parse("w1a1")
    assert at_effort(recipe, "quick").algorithms == ("bias_correct",)
    assert at_effort(recipe, "best").algorithms == ("bias_correct", "finetune_scales")


def test_a_layer_without_one_rounding_is_without_the_other() -> None:
    rules = (Rule("head", without=("adaround", "bias_correct")), Rule("stem", without=("bias_correct",)))
    recipe = Recipe(algorithms=("adaround", "bias_correct"), layers=rules)
    best, quick = at_effort(recipe, "best"), at_effort(recipe, "quick")
    assert [set(rule.without) for rule in best.layers] == [{"reconstruct", "bias_correct"}, {"bias_correct"}]
    assert [rule.without for rule in quick.layers] == [("bias_correct",), ("bias_correct",)]


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"quick, normal, best, found 'bes'.*best"):
        at_effort(Recipe(), "bes")  # type: ignore[arg-type]
