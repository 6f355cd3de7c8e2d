"""Artifacts that are made in memory are checked as files are."""

import math
from dataclasses import replace

import pytest

from bitwright.artifact import Artifact, load
from bitwright.errors import ArtifactError, GraphError
from tests.artifact.sample import ARTIFACT


def test_an_inconsistent_graph_cannot_become_an_artifact():
    with pytest.raises(GraphError, match="exactly one node"):
        Artifact(replace(ARTIFACT.graph, nodes=ARTIFACT.graph.nodes[1:]), ARTIFACT.preprocess)
    with pytest.raises(GraphError, match="output"):
        Artifact(replace(ARTIFACT.graph, output="act"), ARTIFACT.preprocess)
    with pytest.raises(ArtifactError, match="3 outputs, but 2 class names"):
        Artifact(ARTIFACT.graph, ARTIFACT.preprocess, ("cat", "dog"))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_provenance_that_json_cannot_hold_is_an_artifact_error(number, tmp_path):
    path = tmp_path / "model"
    with pytest.raises(ArtifactError):
        replace(ARTIFACT, provenance={"accuracy": number}).save(path)
    assert not path.exists()


def test_a_pickle_is_refused_and_never_run(tmp_path):
    ran = tmp_path / "ran"
    payload = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    path = tmp_path / "model"
    path.write_bytes(payload)
    with pytest.raises(ArtifactError):
        load(path)
    assert not ran.exists()
