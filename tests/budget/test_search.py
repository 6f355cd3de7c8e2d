"""`search`: what it finds keeps the budget on images that nothing was fitted on, and is cheaper than 8 bits."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from bitwright.budget.drop import Drop
from bitwright.budget.found import Found, Point
from bitwright.budget.held_out import split
from bitwright.budget.judge import Judge, Verified
from bitwright.budget.picture import LEFT, LOWER, picture
from bitwright.budget.search import _in_proportion
from bitwright.budget.sensitivities import eight_bits
from bitwright.errors import BudgetError, SourceWarning
from tests.budget.conftest import PREPROCESS, Digits
from tests.progress import Heard

pytest.importorskip("scipy")


def find(digits: Digits, cache: Any = None, **options: Any) -> Found:
    given: dict[str, Any] = {"max_drop": 1.0, "bits": (4, 3, 2), "calibrate": 128, **options}
    return bw.search(digits.model, digits.source, preprocess=PREPROCESS, cache=cache, **given)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def found(digits: Digits, cache: Path) -> Found:
    return find(digits, cache)


def test_it_is_smaller_and_within_the_budget(digits: Digits, found: Found):
    uniform = bw.quantize(digits.model, digits.source.sample(128, 0), preprocess=PREPROCESS)
    assert len(found.artifact.data) < len(uniform.data)
    _, held_out = split(digits.source, 128, 5000, 0, None)
    measured = bw.evaluate(found.artifact, held_out, reference=digits.model)
    assert measured.images == found.verified.drop.images == len(digits.source) - 128
    assert measured.top1 is not None
    assert measured.reference_top1 is not None
    assert measured.reference_top1 - measured.top1 == pytest.approx(found.verified.drop.points)
    assert found.verified.drop.points <= 1.0


def test_its_recipe_makes_it_again(digits: Digits, found: Found, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(found.verified.recipe.to_toml())
    again = bw.quantize(digits.model, digits.source.sample(128, 0), preprocess=PREPROCESS, recipe=path)
    assert again.graph.nodes[0].tensors["weight"].tobytes() == found.artifact.graph.nodes[0].tensors["weight"].tobytes()
    pixels = digits.pixels[:64]
    np.testing.assert_array_equal(bw.Engine(again)(pixels), bw.Engine(found.artifact)(pixels))


def test_nothing_is_fitted_on_what_it_is_verified_on(digits: Digits):
    for held_out in (None, digits.source.subset(range(7))):
        fitted, others = split(digits.source, 128, 300, 5, held_out)
        assert len(fitted) == 128
        assert len(others) == (300 if held_out is None else 7)
    names = [{part.name(i) for i in range(len(part))} for part in split(digits.source, 128, 300, 5, None)]
    assert not names[0] & names[1]
    few = digits.source.subset(range(20))
    with pytest.warns(SourceWarning, match="20 of 20 images are fitted on, too"):
        split(few, 128, 300, 5, few)
    assert [len(part) for part in split(digits.source.subset(range(11)), 512, 5000, 0, None)] == [5, 6]


def test_the_front_says_what_was_tried(found: Found):
    costs = [point.predicted_cost for point in found.pareto_front]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] < found.uniform.predicted_cost
    verified = [point.verified for point in found.pareto_front if point.verified]
    assert found.verified in [*verified, found.uniform.verified]
    cheaper = [v for v in verified if v.bytes < found.verified.bytes]
    cost = {point.verified.recipe: point.predicted_cost for point in found.pareto_front if point.verified}
    slack = 0.01 * found.uniform.predicted_cost  # for less than that no loss is taken
    assert all(v.drop.points > found.max_drop or cost[found.verified.recipe] - cost[v.recipe] < slack for v in cheaper)


@pytest.mark.parametrize(
    ("costs", "losses", "taken"),
    [
        ((100, 80.4, 80), (0.001, 0.01, 0.13), 1),  # 0.4 % of the cost for 13 times the loss
        ((100, 80.4, 80), (0.001, 0.10, 0.13), 2),  # little is lost for that little
        ((100, 90.0, 80), (0.001, 0.01, 0.13), 2),  # 10 % of the cost are worth it
        ((80.6, 80.4, 80), (0.001, 0.01, 0.13), 0),
    ],
)
def test_no_loss_is_taken_for_next_to_nothing(costs: tuple[float, ...], losses: tuple[float, ...], taken: int):
    recipes = [bw.Recipe(name=str(i)) for i in range(3)]
    drop = Drop(1000, 2, 0, True, 900)
    points = [Point(*parts) for parts in zip(recipes, costs, losses, strict=True)]
    points[2] = replace(points[2], verified=Verified(recipes[2], drop, 1000))
    judge = SimpleNamespace(verify=lambda recipe: Verified(recipe, drop, 1000))
    plain = Point(bw.Recipe(), 120, 0.0)
    heard = Heard()
    best = _in_proportion(points, plain, judge, 0.5, heard)  # type: ignore[arg-type]
    assert best is not None
    assert best.recipe is recipes[taken]
    assert points[taken].verified == best
    assert len(heard.said) == (taken != 2)


def test_the_artifact_says_how_it_was_found(found: Found):
    record = found.artifact.provenance["search"]
    assert (record["minimize"], record["max_drop"]) == ("bytes", 1.0)
    assert record["drop"]["points"] == found.verified.drop.points
    assert found.artifact.classes == tuple("0123456789")


def test_a_second_search_makes_nothing(digits: Digits, found: Found, cache: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("it was made before")

    for name in ("judge.quantize", "judge.HeldOut.drop", "sensitivities.calibrate", "held_out.float_predictor"):
        monkeypatch.setattr(f"bitwright.budget.{name}", never)
    assert find(digits, cache).artifact.data == found.artifact.data


def test_without_labels_changed_classes_are_counted(digits: Digits, cache: Path):
    unlabelled = digits._replace(source=replace(digits.source, labels=None, classes=None))
    found = find(unlabelled, cache, max_drop=3.0)
    assert not found.verified.drop.labelled
    assert found.verified.drop.gained == 0
    assert found.verified.drop.points <= 3.0


def test_few_images_are_warned_of(digits: Digits):
    heard = Heard()
    find(digits, verify=40, progress=heard)
    assert [text for text in heard.said if text.startswith("warning: 40 held-out images tell a drop to +-")]


def test_a_chosen_model_whose_drop_is_not_known_well_enough_is_warned_of(
    digits: Digits, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """The models differ on more images the fewer bits they have, so 8 bits everywhere may be sure where the choice is not."""

    def verify(self: Judge, recipe: bw.Recipe) -> Verified:
        plain = recipe == eight_bits(recipe)
        return Verified(recipe, Drop(1000, 0, 0, True, 900) if plain else Drop(1000, 40, 35, True, 900), 1000)

    monkeypatch.setattr(Judge, "verify", verify)
    heard = Heard()
    find(digits, cache, progress=heard)
    warnings = [text for text in heard.said if text.startswith("warning")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: 1,000 held-out images tell the drop of the model chosen to +-1.7")


def test_a_budget_that_8_bits_break_is_an_error(digits: Digits, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bitwright.budget.drop.Drop.points", 2.0)
    with pytest.raises(BudgetError, match="expected a drop of 1 at most"):
        find(digits)


def test_for_latency_8_bits_are_kept_where_nothing_is_faster(digits: Digits, cache: Path):
    pytest.importorskip("bitwright._native")
    found = find(digits, cache, minimize="latency", threads=1)
    assert found.uniform.verified is not None
    assert found.latency is not None
    assert found.latency[0].ratio < 0.99 or found.verified.recipe == found.uniform.recipe


def test_the_picture_is_svg_with_a_mark_for_each_choice(found: Found):
    root = ElementTree.fromstring(picture(found, 100_000))
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    verified = [point for point in found.pareto_front if point.verified]
    assert len(circles) == len(found.pareto_front) + len(verified) + 1


def lower_axis(root: ElementTree.Element) -> dict[float, float]:
    """The numbers beside the lower panel's vertical axis, and the height of the line that each stands for."""
    texts = [e for e in root.iter() if e.tag.endswith("text") and e.get("text-anchor") == "end" and e.text]
    ticks = {}
    for text in texts:
        y = float(text.get("y", "")) - 4
        if LOWER[0] - 1 <= y <= LOWER[1] + 1 and float(text.get("x", "")) < LEFT:
            ticks[float(str(text.text))] = y
    return ticks


def test_a_dot_of_the_picture_stands_at_its_loss(found: Found):
    """Heights by the numbers that a reader finds beside the axis, which are powers of ten at equal distances."""
    root = ElementTree.fromstring(picture(found, 100_000))
    ticks = lower_axis(root)
    powers, heights = np.log10(list(ticks)), np.array(list(ticks.values()))
    assert len(ticks) >= 2
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-9)
    np.testing.assert_allclose(sorted(heights)[:: len(heights) - 1], LOWER)
    slope, start = np.polyfit(powers, heights, 1)
    np.testing.assert_allclose(start + slope * powers, heights, atol=0.11)  # written with one digit
    dots = [float(e.get("cy", "")) for e in root.iter() if e.tag.endswith("circle") and e.get("stroke")]
    losses = [
        max(p.predicted_loss, min(q.predicted_loss for q in found.pareto_front if q.predicted_loss > 0))
        for p in found.pareto_front
    ]
    np.testing.assert_allclose(dots, start + slope * np.log10(losses), atol=0.2)
