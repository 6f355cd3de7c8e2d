"""What is tried, in which order; what is measured of a remedy is what its recipe gives."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import bitwright as bw
from bitwright.algorithms.correction import CORRECTIONS, corrections
from bitwright.algorithms.ranges import RANGES
from bitwright.audit.changes import applied, for_fault, residual_stream, whole, wide_residual
from bitwright.audit.examine import Effort, examine
from bitwright.audit.faults import Fault
from bitwright.audit.matching import recipe_of
from bitwright.audit.records import Audit, Remedy
from bitwright.audit.remedies import Trials, compatible, some
from bitwright.audit.subject import Subject, model_bytes
from bitwright.budget.race import Latency
from bitwright.errors import AuditError
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader
from bitwright.recipe import Rule
from tests.audit import faults
from tests.audit.sample import BEFORE, LAYER, REMEDY
from tests.progress import Heard

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25)


class Residual(nn.Module):
    """Two blocks that add to one path."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.a, self.b, self.c = (nn.Conv2d(n, 8, 3, padding=1) for n in (3, 8, 8, 8))
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (x + self.b(self.a(x).relu())).relu()
        x = (x + self.c(x)).relu()
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose brightness tells their class, more or less."""
    random = np.random.default_rng(0)
    labels = random.choice(4, count, p=[0.55, 0.25, 0.15, 0.05])
    images = random.integers(0, 120, (count, 8, 8, 3)) + 40 * labels[:, None, None, None]
    return images.clip(0, 255).astype(np.uint8), labels


def source(count: int) -> ImageSource:
    return ImageSource(ArrayReader(pictures(count)[0], "set"), "set")


@pytest.fixture(scope="module")
def narrow() -> bw.Artifact:
    return bw.quantize(Residual().eval(), pictures(60)[0], preprocess=PREPROCESS, recipe="w4a3")


def test_the_residual_path_is_what_is_added_up(narrow: bw.Artifact) -> None:
    assert residual_stream(narrow.graph, "b") == residual_stream(narrow.graph, "stem") == ["stem", "b", "c"]
    assert residual_stream(narrow.graph, "a") == ["a"]


def test_a_wide_residual_leaves_what_multiplies_with_its_few_bits(narrow: bw.Artifact) -> None:
    recipe = recipe_of(narrow)
    (change,) = wide_residual(replace(LAYER, name="b"), narrow.graph, recipe)
    wide = bw.quantize(Residual().eval(), pictures(60)[0], preprocess=PREPROCESS, recipe=change.recipe)

    def scheme(name: str) -> str:
        type_ = wide.graph.values[name].type
        assert type_ is not None
        return type_.scheme

    assert [scheme(name) for name in ("stem", "b", "c", "a")] == ["uint8", "uint8", "uint8", "uint3"]
    assert [scheme(wide.graph[name].inputs[0]) for name in ("a", "b", "c")] == ["uint3"] * 3
    assert [wide.graph[name].inputs[1] for name in ("b", "c")] == ["stem", "b"]
    assert not list(wide_residual(replace(LAYER, name="a"), narrow.graph, recipe))
    assert not list(wide_residual(replace(LAYER, name="b"), wide.graph, change.recipe))


def test_of_a_layer_bits_come_first_then_ranges_and_corrections(narrow: bw.Artifact) -> None:
    layer = replace(LAYER, name="b", scheme="uint3")
    first, rest = for_fault(Fault("noisy", "b", "", is_fault=False), layer, narrow.graph, recipe_of(narrow))
    assert [change.kind for change in first] == ["weights", "activations", "residual"]
    assert [change.text for change in rest] == [
        *(f"ranges of b by {name}" for name in ("percentile", "entropy", "octav", "minmax")),
        "no adaround for b",
    ]
    for change in (*first, *rest):
        assert applied(recipe_of(narrow), change.rule) == change.recipe != recipe_of(narrow)
        assert bw.Recipe.from_json(change.recipe.to_json()) == change.recipe
    likely, ranges = for_fault(Fault("clipped", "b", ""), layer, narrow.graph, recipe_of(narrow))
    assert likely == []
    assert {change.kind for change in ranges} == {"range", "correction"}
    for kind in ("weights", "multiplier", "bias"):
        assert for_fault(Fault(kind, "b", ""), layer, narrow.graph, recipe_of(narrow)) == ([], [])


def test_of_a_model_each_correction_and_each_range_is_tried_what_rounds_first_where_weights_cost_most() -> None:
    recipe = bw.Recipe(weights="int4", algorithms=("adaround", "bias_correct"))
    changes = list(whole(recipe, "weights"))
    assert [change.text for change in changes] == [
        *("with gptq in place of adaround", "with reconstruct in place of adaround"),
        *(f"with {name}" for name in CORRECTIONS if name not in (*recipe.algorithms, "gptq", "reconstruct")),
        *(
            f"ranges by {name}"
            for name in (*(name for name in RANGES if name not in ("minmax", recipe.range)), "minmax")
        ),
        *("without adaround", "without bias_correct"),
    ]
    algorithms = {change.text: change.recipe.algorithms for change in changes}
    assert algorithms["with gptq in place of adaround"] == ("bias_correct", "gptq")
    assert algorithms["with equalize"] == ("equalize", "adaround", "bias_correct")
    for change in changes:
        assert applied(recipe, change.rule) == change.recipe != recipe
        corrections(change.recipe.algorithms)
    clipped = [change.text for change in whole(recipe, "clipping")]
    assert clipped[0] == "ranges by minmax"
    assert sorted(clipped) == sorted(algorithms)


def test_a_correction_that_a_rule_leaves_out_somewhere_is_not_replaced() -> None:
    rule = Rule("a", without=("adaround",))
    recipe = bw.Recipe(algorithms=("adaround",), layers=(rule,))
    assert not [change.text for change in whole(recipe) if "adaround" in change.text]


def test_what_does_not_suit_the_model_is_named(damaged: Audit) -> None:
    assert "remedies that do not suit this model were left out: with bn_restat" in damaged.remarks


def test_how_long_the_rest_will_take_is_told_by_what_one_took() -> None:
    trials = Trials(cast(Any, None), BEFORE, deadline=0.0)
    assert trials.late(20) is None
    trials.skipped += ["with equalize", "ranges by octav"]
    trials.taken += [4.0, 11.0]
    assert (trials.late(20) or "").endswith(": with equalize, ranges by octav; --seconds 50 should be enough for all")


def test_a_line_names_the_first_remedies_and_counts_all() -> None:
    assert some(["a"]) == "a"
    assert some(["a", "b", "c"]) == "a, b, ... (3 in all)"


@pytest.mark.parametrize(
    ("won_back", "points", "db", "helps"),
    [
        (None, 0.0, 8.4, True),
        (90.0, 1.2, 0.0, True),
        (None, 0.0, -0.04, False),  # shown as nothing
        (None, -0.28, 8.4, False),
        (-30.0, 0.0, 0.5, False),
        (None, 0.56, -5.3, False),
    ],
)
def test_what_makes_anything_worse_is_no_help(won_back, points: float, db: float, helps: bool) -> None:
    assert replace(REMEDY, won_back=won_back, gain_points=points, gain_db=db).helps == helps


def test_what_runs_the_same_kernels_is_not_timed(narrow: bw.Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(narrow, *cast(Any, [None] * 5), *cast(Any, [None, np.zeros(1)]))
    monkeypatch.setattr(
        "bitwright.audit.subject.run_in_turns", lambda _: [Latency(1.0, 1.0, 1.0), Latency(2.0, 2.0, 2.0, (1.5, 2.5))]
    )
    assert subject.slower(replace(narrow, provenance={})) is None
    wide = bw.quantize(Residual().eval(), pictures(8)[0], recipe="w8a8", preprocess=PREPROCESS)
    assert subject.slower(wide) == 1000


def test_when_the_time_is_over_it_is_said_what_was_left_out(narrow: bw.Artifact) -> None:
    effort = Effort(images=40, fit=20, layer_images=4, seconds=0, timed=False)
    found = examine(narrow, Residual().eval(), source(60), parts=("layers", "remedies"), effort=effort)
    (said,) = [remark for remark in found.remarks if "remedies" in remark]
    assert re.match(
        r"\d+ remedies were not tried, and 0 were, as the 0 seconds were over: quantize the float model again", said
    )
    assert said.endswith("; give more --seconds")
    assert found.remedies == ()


def test_what_there_is_not_is_refused_before_anything_is_measured(narrow: bw.Artifact) -> None:
    with pytest.raises(AuditError, match=r"expected parts of an audit among layers, .*; found 'layrs'; did you mean"):
        examine(narrow, Residual().eval(), source(4), parts=("layrs",))
    with pytest.raises(AuditError, match="expected at least one image as 'fit' of an audit's effort, found 0"):
        Effort(fit=0)


@contextmanager
def few_to_try() -> Iterator[None]:
    """Some of the corrections and ranges; all of them take minutes."""
    kept = {name: CORRECTIONS[name] for name in ("equalize", "bias_correct", "adaround", "bn_restat")}
    with (
        patch("bitwright.audit.changes.CORRECTIONS", kept),
        patch("bitwright.audit.changes.RANGES", ("minmax", "mse", "octav")),
    ):
        yield


QUICK = bw.Recipe(weights="int4", activations="uint3", algorithms=("bias_correct",))


@pytest.fixture(scope="module")
def damaged() -> Audit:
    """The audit of an artifact that one damaged layer costs many dB."""
    sound = bw.quantize(Residual().eval(), pictures(60)[0], preprocess=PREPROCESS, recipe=QUICK)
    effort = Effort(images=40, fit=20, layer_images=4, seconds=600, timed=False)
    broken = faults.multiplied(sound, "a", 0.3)
    with few_to_try():
        return examine(broken, Residual().eval(), source(60), parts=("layers", "remedies"), effort=effort)


def test_where_quantizing_again_mends_a_fault_the_other_layers_get_remedies_too(damaged: Audit) -> None:
    assert [(f.kind, f.layer) for f in damaged.findings if f.is_fault] == [("multiplier", "a")]
    assert len(damaged.findings) > 1
    assert [remedy.kind for remedy in damaged.findings[0].remedies] == ["requantize"]
    others = [remedy for remedy in damaged.remedies if remedy.rule]
    assert {"range", "correction", "weights"} <= {remedy.kind for remedy in others}
    assert {remedy.layer for remedy in others} > {finding.layer for finding in damaged.findings[1:]}


def test_what_quantizing_again_does_alone_is_no_other_remedys_gain(damaged: Audit) -> None:
    """Every remedy quantizes again, so that all would be praised for what one of them does."""
    (control,) = [remedy for remedy in damaged.remedies if remedy.kind == "requantize"]
    assert control.gain_db == pytest.approx(control.after.db - damaged.before.db)
    assert control.gain_db > 3
    others = [remedy for remedy in damaged.remedies if remedy.rule]
    assert len(others) > 5
    for remedy in others:
        assert remedy.gain_db == pytest.approx(remedy.after.db - control.after.db)
        assert remedy.gain_points == pytest.approx(remedy.after.agreement - control.after.agreement)


def test_an_artifact_that_its_own_recipe_would_make_better_is_said_to_be_stale() -> None:
    """It names a recipe that it was not made by; nothing in it is wrong by itself."""
    net, effort = Residual().eval(), Effort(images=40, fit=60, layer_images=4, seconds=600, timed=False)
    sound = bw.quantize(net, pictures(60)[0], preprocess=PREPROCESS, recipe=QUICK)
    stale = bw.quantize(
        net, pictures(60)[0], preprocess=PREPROCESS, recipe=replace(QUICK, algorithms=(), range="minmax")
    )
    stale = replace(stale, provenance={**stale.provenance, "recipe": QUICK.to_json()})
    parts, kinds = ("remedies", "layers"), []
    with patch("bitwright.audit.remedies.whole", return_value=()), patch("bitwright.audit.changes.RANGES", ("mse",)):
        for artifact in (stale, sound):
            found = examine(artifact, net, source(100), parts=parts, effort=effort)
            kinds.append([finding.kind for finding in found.findings if finding.is_fault])
    assert kinds == [["stale"], []]


def test_of_ranges_or_corrections_that_exclude_one_another_the_better_is_kept() -> None:
    def remedy(kind: str, layer: str | None, rule: str) -> Remedy:
        return replace(REMEDY, kind=kind, layer=layer, text=rule, rule={"range": rule})

    best_first = [
        *(remedy("range", "a", "mse"), remedy("range", "b", "mse"), remedy("range", "a", "octav")),
        *(remedy("weights", "a", "8 bits"), remedy("correction", None, "with"), remedy("correction", None, "without")),
    ]
    assert [(r.layer, r.text) for r in compatible(best_first)] == [
        *(("a", "mse"), ("b", "mse"), ("a", "8 bits"), (None, "with")),
    ]


def test_images_that_cannot_be_read_are_left_out_and_named(narrow: bw.Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for i, image in enumerate(pictures(12)[0]):
        Image.fromarray(image).save(folder / f"{i:02}.png")
    for name in ("03.png", "07.png"):
        (folder / name).write_bytes(b"no picture")
    heard = Heard()
    effort = Effort(images=12, fit=4, timed=False)
    opened, model = bw.open_source(folder), Residual().eval()
    found = examine(narrow, model, opened, calibration=opened, parts=("decisions",), effort=effort, progress=heard)
    assert found.images == 10
    assert [text.partition(":")[0] for text in heard.said] == ["warning"] * 2
    assert all(name in text for name, text in zip(("03.png", "07.png"), heard.said, strict=True))
    assert found.decisions is not None
    assert len(found.decisions.disagreeing) == 10
    assert not any("03" in Path(flip.image).name for flip in found.decisions.disagreeing)


def test_where_nothing_is_fitted_all_images_judge(narrow: bw.Artifact) -> None:
    def images(*parts: str) -> int:
        effort = Effort(images=100, fit=20, layer_images=2, seconds=0, timed=False)
        return examine(narrow, Residual().eval(), source(60), parts=parts, effort=effort).images

    assert [images("decisions"), images("decisions", "remedies")] == [60, 40]


def test_the_bytes_of_a_model_are_not_those_of_its_record(narrow: bw.Artifact) -> None:
    longer = replace(narrow, provenance={**narrow.provenance, "note": 1000 * "a"})
    assert len(longer.data) >= len(narrow.data) + 1000
    assert model_bytes(longer) == model_bytes(narrow) < len(narrow.data)


def test_the_recipe_that_is_applied_makes_the_model_that_was_measured(tmp_path: Path) -> None:
    """Images with labels are drawn by class: remedies have to be fitted on the source, and not on its pixels alone."""
    images, labels = pictures(80)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    source = bw.open_source(str(tmp_path / "images.npz"))
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.SiLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    ).eval()

    def quantized(recipe: bw.Recipe) -> bw.Artifact:
        return bw.quantize(net, source.sample(60, 0), preprocess=PREPROCESS, recipe=recipe)

    def audited(artifact: bw.Artifact) -> Audit:
        effort = Effort(images=80, fit=60, layer_images=16, seconds=600, timed=False)
        with few_to_try():
            return examine(
                artifact, net, source, calibration=source, labels="index", parts=("layers", "remedies"), effort=effort
            )

    found = audited(quantized(bw.Recipe.parse("w3a4")))
    assert {(remedy.kind, remedy.layer is None) for remedy in found.remedies} >= {
        *(("weights", False), ("activations", False), ("range", False), ("correction", False)),
        *(("range", True), ("correction", True)),
    }
    assert found.recipe is not None
    best = bw.Recipe.from_json(found.recipe)
    assert best != bw.Recipe.parse("w3a4")
    measured = audited(quantized(best)).before
    assert measured.db in [remedy.after.db for remedy in found.remedies]
