"""Judging: each gate holds and fails where it should, by interval and by point."""

import numpy as np
import pytest

from bitwright.artifact import Artifact
from bitwright.budget.race import Latency
from bitwright.errors import SignatureError
from bitwright.gates import Finding, Gates, Outcomes, judge
from bitwright.gates.outcomes import Answers
from bitwright.signatures import Signature
from tests.gates.conftest import black, counted


def one(text: str, artifact: Artifact, **found) -> Finding:
    (finding,) = judge(Gates.parse(text), artifact, **found).findings
    return finding


def test_a_drop_is_judged_by_its_interval(artifact: Artifact):
    outcomes = counted(images=1000, lost=8, gained=4)  # 0.40 points, -0.31 to 1.10
    assert outcomes.drop.points == pytest.approx(0.4)
    lo, hi = outcomes.drop.interval()
    within = one("max_drop = 1.2", artifact, outcomes=outcomes)
    assert within.passed
    assert within.interval == (lo, hi)
    assert within.reason == "0.40 points lost on 1,000 images, at most 1.2 asked for"
    unsure = one("max_drop = 0.5", artifact, outcomes=outcomes)
    assert not unsure.passed
    assert "the value keeps the bound, its interval up to 1.10 does not: about " in unsure.reason
    assert one("max_drop = {bound = 0.5, judge = 'point'}", artifact, outcomes=outcomes).passed
    beyond = one("max_drop = {bound = 0.3, judge = 'point'}", artifact, outcomes=outcomes)
    assert not beyond.passed
    assert "the value keeps" not in beyond.reason


def test_so_many_images_as_it_says_would_show_it(artifact: Artifact):
    outcomes = counted(images=1000, lost=8, gained=4)
    said = one("max_drop = 0.5", artifact, outcomes=outcomes).reason
    wanted = int(said.rpartition("about ")[2].partition(" images")[0].replace(",", ""))
    more = counted(images=wanted, lost=round(wanted * 0.008), gained=round(wanted * 0.004))
    assert one("max_drop = 0.5", artifact, outcomes=more).passed
    fewer = counted(images=wanted // 2, lost=round(wanted * 0.004), gained=round(wanted * 0.002))
    assert not one("max_drop = 0.5", artifact, outcomes=fewer).passed


def test_without_labels_the_float_models_classes_stand_in(artifact: Artifact):
    outcomes = counted(images=1000, lost=12, gained=0, labelled=False)
    finding = one("max_drop = {bound = 1, judge = 'point'}", artifact, outcomes=outcomes)
    assert not finding.passed
    assert finding.reason.startswith("1.20 % of the float model's classes changed on 1,000 images")
    assert one("max_class_drop = 100", artifact, outcomes=outcomes).passed


def test_the_class_that_loses_most_is_named_whatever_the_others_gain(artifact: Artifact):
    outcomes = counted(images=999, lost=20, gained=20)  # all lost by class 0, all gained by class 1
    assert outcomes.drop.points == 0
    assert one("max_drop = 2", artifact, outcomes=outcomes).passed
    finding = one("max_class_drop = 5", artifact, outcomes=outcomes)
    assert not finding.passed
    assert finding.value == pytest.approx(100 * 20 / 333)
    assert finding.reason.startswith("6.01 points lost by class 'blue', the worst of 3, on its 333 images, at most 5")


def test_agreement_is_judged_by_the_lower_end(artifact: Artifact):
    outcomes = counted(images=1000, lost=5, gained=5)
    assert one("min_agreement = 98", artifact, outcomes=outcomes).passed
    unsure = one("min_agreement = 99", artifact, outcomes=outcomes)
    assert not unsure.passed
    assert "the value keeps the bound, its interval from 98.17 does not" in unsure.reason
    assert one("min_agreement = {bound = 99, judge = 'point'}", artifact, outcomes=outcomes).passed


def test_bytes_are_those_of_the_file(artifact: Artifact):
    size = len(artifact.data)
    assert one(f"max_bytes = {size}", artifact).passed
    assert not one(f"max_bytes = {size - 1}", artifact).passed


def test_latency_is_judged_by_its_ratio(artifact: Artifact):
    latency = Latency(1.0, 0.9, 1.02, (0.98, 1.06))
    assert one("max_latency_ratio = 1.1", artifact, latency=latency, baseline="old").passed
    unsure = one("max_latency_ratio = 1.05", artifact, latency=latency, baseline="old")
    assert not unsure.passed
    assert unsure.reason.startswith("1.02 times old's latency, 1.0000 ms here, at most 1.05 asked for; the value keeps")
    assert one("max_latency_ratio = {bound=1.05, judge='point'}", artifact, latency=latency, baseline="old").passed
    assert "something else ran" not in unsure.reason
    noisy = one("max_latency_ratio = 1.05", artifact, latency=Latency(4.0, 0.9, 1.02, (0.5, 9)), baseline="old")
    assert "; latency of this model: the median is 4 ms and the least 0.9 ms; something else ran" in noisy.reason


def test_a_required_signature_has_to_be_verified(artifact: Artifact):
    gate = "require_signature = true"
    assert one(gate, artifact, signature=Signature("abc", artifact.digest)).passed
    refused = one(gate, artifact, signature=SignatureError("it is false"))
    assert (refused.passed, refused.reason) == (False, "a signature is required: it is false")
    nobody = one(gate, artifact)
    assert (nobody.passed, nobody.value) == (False, None)
    assert "no keys that are trusted" in nobody.reason


def test_the_record_has_the_bound_as_the_file_has_it(artifact: Artifact):
    """In the file a signature is required or not, and all others are numbers; `True == 1` in Python, but not in JSON."""
    for text, bound in (("require_signature = true", True), ("max_bytes = 1", 1), ("max_drop = 0.5", 0.5)):
        found = one(text, artifact).to_json()["bound"]
        assert (found, isinstance(found, bool)) == (bound, isinstance(bound, bool))


@pytest.mark.parametrize(
    "text", ["max_drop = 100", "min_agreement = 0", "max_class_drop = 100", "max_latency_ratio = 9"]
)
def test_what_was_not_measured_fails(artifact: Artifact, text: str):
    finding = one(text, artifact)
    assert not finding.passed
    assert finding.reason.startswith("not measured, so not kept")


@pytest.mark.parametrize("text", ["max_drop = 100", "max_class_drop = 100"])
def test_a_float_model_that_guesses_lets_nothing_through(artifact: Artifact, text: str):
    rng, labels = np.random.default_rng(0), np.arange(300) % 3
    guesses = rng.integers(0, 3, 300)
    answers = Answers(guesses, np.ones(300))
    outcomes = Outcomes(black(300), tuple("abc"), np.arange(300), labels, answers, answers, {}, ())
    finding = one(text, artifact, outcomes=outcomes)
    assert not finding.passed
    assert "no better than guessing" in finding.reason


def test_a_verdict_passes_only_where_all_gates_do(artifact: Artifact):
    both = judge(
        Gates.parse("max_bytes = 1\nmin_agreement = 1"), artifact, outcomes=counted(images=99, lost=0, gained=0)
    )
    assert [finding.passed for finding in both.findings] == [True, False]
    assert not both.passed
    assert [finding.gate.name for finding in both.failed] == ["max_bytes"]
    assert both.to_json()["passed"] is False
    assert judge(Gates.parse("max_bytes = 1_000_000"), artifact).passed
