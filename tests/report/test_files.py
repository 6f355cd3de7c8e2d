"""What other commands wrote, read for a report: audits and fronts, and files that are neither."""

import json
from pathlib import Path

import pytest

from bitwright.artifact import Artifact
from bitwright.audit.records import Audit
from bitwright.errors import ArtifactError
from bitwright.report.charts import layer_rows
from bitwright.report.pareto_front import read_pareto_front
from bitwright.report.record import Report
from tests.report.files import audit_file, front_file


def test_a_row_says_of_a_layer_what_the_audit_does(report: Report):
    rows = {row["name"]: row for row in layer_rows(report)}
    assert report.audit is not None
    for layer in report.audit.layers:
        if layer.name in rows:
            row = rows[layer.name]
            assert (row["made_by"], row["own_db"]) == layer.enters
            assert (row["db"], row["saturated"], row["dead_codes"]) == (layer.db, layer.saturated, layer.dead_codes)
            assert (row["weight_histogram"] is None) == (layer.weight is None)


def test_an_audit_of_another_format_is_refused(artifact: Artifact, tmp_path: Path):
    with pytest.raises(ArtifactError, match="of format 1, found 2; make it again with this version"):
        Audit.read(audit_file(tmp_path, artifact, format=2))


def test_a_front_is_what_the_search_wrote(artifact: Artifact, tmp_path: Path):
    found = read_pareto_front(front_file(tmp_path, artifact))
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


@pytest.mark.parametrize("read", [Audit.read, read_pareto_front])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"front": 1}', json.dumps({"minimize": "bytes", "float_bytes": 0})]
)
def test_what_is_none_is_an_error_that_names_the_file(read, text: str, tmp_path: Path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"x\.json: expected "):
        read(path)


@pytest.mark.parametrize("read", [Audit.read, read_pareto_front])
def test_a_file_that_is_not_there_is_an_error(read, tmp_path: Path):
    with pytest.raises(ArtifactError, match=r"cannot read .*none\.json: No such file"):
        read(tmp_path / "none.json")
