"""What is said of preprocessing that is a little wrong, so that it costs no answer that chance could not cost."""

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

import bitwright as bw
from bitwright.audit.examine import Effort, examine
from tests.audit.test_remedies import PREPROCESS, Residual, pictures, source

NOT_ITS_OWN = "the artifact's preprocessing is not the model's own: "
MADE_FOR = "the integers were made for another mean or std than the artifact's preprocessing says"


def remarks(artifact: bw.Artifact, preprocess: bw.Preprocess | None) -> list[str]:
    effort = Effort(images=30, timed=False)
    found = examine(artifact, Residual().eval(), source(30), preprocess=preprocess, parts=("decisions",), effort=effort)
    assert not found.findings
    return [remark for remark in found.remarks if remark.startswith((NOT_ITS_OWN, MADE_FOR))]


def quantized(preprocess: bw.Preprocess) -> bw.Artifact:
    return bw.quantize(Residual().eval(), pictures(40)[0], preprocess=preprocess, recipe=bw.Recipe(algorithms=()))


@pytest.mark.parametrize(("field", "off"), [("mean", 0.505), ("std", 0.2525)])
def test_a_mean_or_std_that_is_a_little_wrong_is_said_where_the_model_has_its_own(field: str, off: float) -> None:
    wrong: dict[str, Any] = {field: off}
    (said,) = remarks(quantized(replace(PREPROCESS, **wrong)), PREPROCESS)
    assert f"{field} ({off}, {off}, {off}) and not ({getattr(PREPROCESS, field)[0]}" in said
    assert said.endswith(" of the float model's answers")


@pytest.mark.parametrize("encoder", [None, "thermometer:8"])
def test_nothing_is_said_of_the_models_own(encoder: str | None) -> None:
    artifact = quantized(replace(PREPROCESS, encoder=encoder))
    assert remarks(artifact, PREPROCESS) == []
    assert remarks(artifact, None) == []


@pytest.mark.parametrize("change", [{"mean": 0.6}, {"std": 0.325}])
def test_preprocessing_that_was_changed_in_the_file_is_told_by_the_integers(change: dict[str, Any]) -> None:
    artifact = quantized(PREPROCESS)
    changed = replace(artifact, preprocess=replace(artifact.preprocess, **change))
    assert any(said.startswith(MADE_FOR) for said in remarks(changed, None))
