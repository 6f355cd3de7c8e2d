"""`bitwright search` and `bitwright sensitivity`: what they print and what they write."""

import json
import re
from pathlib import Path

import pytest

from bitwright.artifact import load
from bitwright.recipe import Recipe
from tests.cli.conftest import Run
from tests.cli.test_app import in_a_process
from tests.cli.test_quantize import ORDER, RANDOM

pytest.importorskip("scipy")
MODEL = ("colours:net", "--data", "images", "--bits", "4", "--jobs", "1", "--threads", "1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BITWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_search_writes_all_that_it_found(run: Run, tmp_path: Path):
    out = tmp_path / "found.bw.safetensors"
    result = run("search", *MODEL, "--max-drop", 10, "--test", "images", "-o", out)
    assert result.code == 0
    assert result.err.startswith(RANDOM + ORDER + "bitwright: 8 bits everywhere: ")
    assert "bitwright: warning: 3 held-out images tell a drop to +-" in result.err
    artifact = load(out)
    assert [node.attrs["weights"] for node in artifact.graph.nodes if "weights" in node.attrs] == ["int4", "int4"]
    assert artifact.provenance["search"]["max_drop"] == 10
    assert Recipe.parse(tmp_path / "found.recipe.toml").weights == "int4"
    front = json.loads((tmp_path / "found.front.json").read_text())
    assert front["found"]["bytes"] <= front["uniform"]["verified"]["bytes"]
    assert front["measured"]["top1"] == 100.0
    assert (tmp_path / "found.front.svg").read_text().startswith("<svg ")
    names = [line.split("  ")[0] for line in result.out.splitlines()]
    assert names == [
        *("model", "minimized", "held-out top-1", "drop", "against", "front", "float model", "8 bits", "found"),
        *("artifact", "tested on", "top-1", "agreement", "written to", "beside it", "sha256"),
    ]
    assert re.search("\nagainst +labels\n", result.out)


def test_a_search_for_latency_tells_time_and_no_bytes_of_candidates(run: Run, tmp_path: Path):
    pytest.importorskip("bitwright._native")
    result = run("search", *MODEL, "--max-drop", 50, "--minimize", "latency", "-o", tmp_path / "found")
    assert result.code == 0
    lines = dict(re.split("  +", line, maxsplit=1) for line in result.out.splitlines())
    assert re.search(
        r"^0\.\d{4} ms on 1 thread(: 8 bits everywhere|, 8 bits everywhere .* ms; ratio 0\.)", lines["latency"]
    )
    assert not lines.keys() & {"8 bits", "found"}
    assert json.loads((tmp_path / "found.front.json").read_text())["latency"]["threads"] == 1


def test_search_prints_json_alone_and_needs_no_cache(project: Path, cache: Path, tmp_path: Path):
    command = ("search", *MODEL, "--max-drop", "50", "--json", "--no-cache", "-o", str(tmp_path / "found"))
    result = in_a_process(project, "-m", "bitwright.cli", *command)
    assert result.returncode == 0
    document = json.loads(result.stdout)
    assert not cache.exists()
    assert document == json.loads((tmp_path / "found.front.json").read_text())
    assert document["found"]["drop"]["against"] == "labels"


def test_a_budget_that_cannot_be_kept_writes_nothing(
    run: Run, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bitwright.budget.drop.Drop.points", 2.0)
    result = run("search", *MODEL, "-o", tmp_path / "found.bw.safetensors")
    assert (result.code, result.out) == (1, "")
    assert (
        "bitwright: error: expected a drop of 0.5 at most; the best model that was tried has 2.00 points" in result.err
    )
    assert [path for path in tmp_path.iterdir() if path != cache] == []


def test_the_sensitivity_table(run: Run):
    result = run("sensitivity", *MODEL)
    assert (result.code, result.err) == (0, RANDOM)
    lines = result.out.splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert re.sub(" +", " ", lines[0]) == "layer of loss at 4 dB at 4 bytes us"
    layers = [tuple(line.split()[:2]) for line in lines[1 : lines.index("")]]
    assert [layer for layer in layers if layer[0] in "04"] == [
        *(("0", "weights"), ("0", "activations"), ("4", "weights"), ("4", "activations")),
    ]
    assert lines[-2].startswith("measured on      6 images; losses in thousandths of a nat")


def test_the_sensitivity_as_json(run: Run):
    document = json.loads(run("sensitivity", *MODEL, "--json").out)
    weights = [(f["layer"], f["bits"]) for f in document["layers"] if f["kind"] == "weights"]
    assert weights == [("0", 8), ("0", 4), ("4", 8), ("4", 4)]
    assert {(c["layer"], c["weights"], c["bytes"]) for c in document["costs"]} == {
        *(("0", 8, 9), ("0", 4, 5), ("4", 8, 9), ("4", 4, 5)),
    }
