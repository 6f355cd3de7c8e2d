"""What other commands wrote, read for a report: audits and fronts, and files that are neither."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from bitwright.artifact import Artifact
from bitwright.errors import ArtifactError
from bitwright.report.audited import read_audit
from bitwright.report.front import read_front
from tests.audit.sample import AUDIT
from tests.report.files import REMEDY, audit_file, audit_json, front_file


def test_an_audit_is_read_but_for_what_no_page_shows(artifact: Artifact, tmp_path: Path):
    found, data = read_audit(audit_file(tmp_path, artifact)), audit_json(artifact)
    assert found.digest == artifact.digest
    assert [layer.name for layer in found.layers] == [layer["name"] for layer in data["layers"]]
    assert [layer.own_db for layer in found.layers] == [layer["own_db"] for layer in data["layers"]]
    weights = [None if layer.weight is None else layer.weight.histogram for layer in found.layers]
    assert weights == [None, *[(1, 2, 3)] * (len(weights) - 1)]
    assert found.findings[0].remedies[0].cost_bytes == REMEDY["cost_bytes"]
    assert found.findings[0].remedies[0].cost_microseconds is None


def test_what_the_audit_writes_is_what_is_read(tmp_path: Path):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(AUDIT.to_json()))
    found = read_audit(path)
    assert (found.digest, found.layer_images, found.remarks) == (AUDIT.digest, AUDIT.layer_images, AUDIT.remarks)
    for ours, theirs in zip(found.layers, AUDIT.layers, strict=True):
        for field in fields(ours):
            if field.name != "weight":
                assert getattr(ours, field.name) == getattr(theirs, field.name)
        assert (ours.weight and ours.weight.histogram) == (theirs.weight and theirs.weight.histogram)
    for finding, other in zip(found.findings, AUDIT.findings, strict=True):
        assert (finding.layer, finding.text, finding.is_fault) == (other.layer, other.text, other.is_fault)
        assert [remedy.won_back for remedy in finding.remedies] == [remedy.won_back for remedy in other.remedies]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 1, found format 2; make it again with this version"),
        ({"layers": 3}, r"audit.json.layers: expected a list, found 3"),
        ({"layers": [{"name": "a"}]}, r"audit.json.layers\[0\]: expected a table with 'db'"),
        ({"remarks": ["a", 5]}, r"audit.json.remarks\[1\]: expected str, found 5"),
        ({"layer_images": True}, r"audit.json.layer_images: expected int, found True"),
        ({"findings": [[]]}, r"audit.json.findings\[0\]: expected a table with 'layer', found \[\]"),
    ],
)
def test_a_value_that_does_not_fit_is_named(artifact: Artifact, tmp_path: Path, changes, says):
    with pytest.raises(ArtifactError, match=says):
        read_audit(audit_file(tmp_path, artifact, **changes))


def test_a_front_is_what_the_search_wrote(artifact: Artifact, tmp_path: Path):
    found = read_front(front_file(tmp_path, artifact))
    assert (found.minimize, found.max_drop) == ("bytes", 0.5)
    assert [point.text for point in found.points] == [
        "int8 everywhere",
        "int8, and 2 x int4, 1 x int2",
        "int2 everywhere",
    ]
    assert [point.cost for point in found.points] == [25, 10, 7.5]  # percent of the float model's 4,000 bytes
    assert [point.drop for point in found.points] == [0, 2, None]
    assert [point.is_found for point in found.points] == [False, True, False]
    assert [point.is_uniform for point in found.points] == [True, False, False]
    assert found.points[1].interval is not None
    assert found.points[1].interval[0] < 2 < found.points[1].interval[1]


@pytest.mark.parametrize("read", [read_audit, read_front])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"front": 1}', json.dumps({"minimize": "bytes", "float_bytes": 0})]
)
def test_what_is_none_is_an_error_that_names_the_file(read, text: str, tmp_path: Path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"x\.json: expected "):
        read(path)


@pytest.mark.parametrize("read", [read_audit, read_front])
def test_a_file_that_is_not_there_is_an_error(read, tmp_path: Path):
    with pytest.raises(ArtifactError, match=r"cannot read .*none\.json: No such file"):
        read(tmp_path / "none.json")
