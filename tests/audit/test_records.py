"""An audit is read back from the JSON that it was written as; anything else is refused, with the place."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bitwright.audit.records import Audit
from bitwright.errors import ArtifactError
from tests.audit.sample import AUDIT


def test_an_audit_is_read_back_as_it_was_written(tmp_path: Path):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(AUDIT.to_json(), allow_nan=False))
    assert Audit.read(path) == AUDIT


def test_a_notebook_shows_what_is_wrong_and_what_helps_and_names_are_no_markup():
    shown = replace(AUDIT, artifact="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in shown
    rows = dict(re.findall(r"<tr><th[^>]*>(.*?)</th><td[^>]*>(.*?)</td></tr>", shown))
    assert rows["top-1"] == "90.50 %, float 91.75 %"
    assert rows["1. fault"] == "layer1.0.conv1 has 3 bits"
    assert rows["remedy"] == "8 bits for the weights of layer1.0.conv1: +1.15 points, wins back 96 %, +556 bytes"
    bare = replace(AUDIT, findings=(), float_top1=None, before=replace(AUDIT.before, top1=None))
    assert "top-1" not in bare._repr_html_()


def test_parts_that_were_not_asked_for_stay_away():
    little = replace(AUDIT, decisions=None, robustness=None, screen=None, bit_flips=None, recipe=None)
    assert Audit.from_json(little.to_json()) == little


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "expected an audit of format 1, found 2"),
        ({"seconds": "3"}, "audit.seconds: expected float, found '3'"),
        ({"before": {}}, "audit.before: expected the fields images, top1"),
        ({"layers": [{"name": "conv"}]}, r"audit.layers\[0\]: expected the fields name, op"),
        ({"more": 1}, "expected the fields artifact, digest"),
    ],
)
def test_what_is_no_audit_is_refused(change: dict[str, object], said: str):
    with pytest.raises(ArtifactError, match=said):
        Audit.from_json({**AUDIT.to_json(), **change})


def test_a_file_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ArtifactError, match="cannot read"):
        Audit.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"bad\.json: expected JSON, found something else"):
        Audit.read(tmp_path / "bad.json")
