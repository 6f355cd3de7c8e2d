"""`bitwright report`: the page, exit codes, what it needs."""

import json
import sys
from pathlib import Path

import pytest

from bitwright.artifact import load
from tests.cli.conftest import Run
from tests.report.files import audit_file

REPORT = ("report", "m.bw.safetensors", "--model", "colours:net", "--data", "images", "--threads", "1")


def test_it_writes_one_page(run: Run, project: Path, tmp_path: Path):
    page = tmp_path / "r.html"
    result = run(*REPORT, "-o", page)
    assert result.code == 0
    assert result.out == f"images      6\nwritten to  {page}, {page.stat().st_size:,} bytes\n"
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "m.bw.safetensors" in text
    evaluated = json.loads(run("evaluate", "m.bw.safetensors", "--data", "images", "--json").out)
    assert f'<div class="figure">{evaluated["top1"]:.2f} <small>%</small></div>' in text


def test_json_has_the_figures_of_the_page(run: Run, tmp_path: Path):
    (tmp_path / "gates.toml").write_text("max_bytes = 10")
    result = run(*REPORT, "--gates", tmp_path / "gates.toml", "-o", tmp_path / "r.html", "--json")
    found = json.loads(result.out)
    assert (result.code, found["page"], found["images"]) == (1, str(tmp_path / "r.html"), 6)
    evaluated = json.loads(run("evaluate", "m.bw.safetensors", "--data", "images", "--json").out)
    assert found["contenders"][0]["top1"] == evaluated["top1"]
    assert found["verdict"]["passed"] is False
    assert {"kernel", "isa"} <= {*found["plan"][0]}
    assert all("picture" not in sample for sample in found["samples"])


@pytest.mark.parametrize(
    ("bound", "code", "verdict"), [(10, 1, "Failed: 1 of 1 gate not kept"), (99_999, 0, "Passed: the gate holds")]
)
def test_a_gate_that_fails_fails_the_command(run: Run, tmp_path: Path, bound: int, code: int, verdict: str):
    (tmp_path / "gates.toml").write_text(f"max_bytes = {bound}")
    result = run(*REPORT, "--gates", tmp_path / "gates.toml", "-o", tmp_path / "r.html")
    assert result.code == code
    assert ("FAILED" in result.out) == bool(code)
    assert verdict in (tmp_path / "r.html").read_text("utf-8")


def test_what_is_missing_is_a_wrong_use_before_any_work(run: Run, tmp_path: Path):
    (tmp_path / "gates.toml").write_text("max_latency_ratio = 1")
    result = run(*REPORT, "--gates", tmp_path / "gates.toml", "-o", tmp_path / "r.html")
    assert result.code == 2
    assert "max_latency_ratio of" in result.err
    assert "needs --baseline" in result.err
    assert not (tmp_path / "r.html").exists()


def test_a_baseline_that_nothing_compares_with_is_not_passed_over(run: Run, tmp_path: Path):
    result = run(*REPORT, "--baseline", "m.bw.safetensors", "-o", tmp_path / "r.html")
    assert (result.code, (tmp_path / "r.html").exists()) == (2, False)
    assert "give it with --gates" in result.err
    (tmp_path / "gates.toml").write_text("max_bytes = 99_999")
    gates = ("--gates", tmp_path / "gates.toml")
    result = run(*REPORT, *gates, "--baseline", "m.bw.safetensors", "-o", tmp_path / "r.html")
    assert result.code == 0
    assert "note: --baseline is not run" in result.err


def test_the_audit_has_to_be_of_this_artifact(run: Run, project: Path, tmp_path: Path):
    audit = audit_file(tmp_path, load(project / "m.bw.safetensors"))
    assert run(*REPORT, "--audit", audit, "-o", tmp_path / "r.html").code == 0
    assert "SQNR, dB" in (tmp_path / "r.html").read_text("utf-8")
    other = audit_file(tmp_path, load(project / "m.bw.safetensors"), digest="00")
    result = run(*REPORT, "--audit", other, "-o", tmp_path / "s.html")
    assert result.code == 2
    assert "found one of another artifact, 00; audit this one, or leave out --audit" in result.err
    assert not (tmp_path / "s.html").exists()


def test_an_unknown_peer_is_refused_before_any_work(run: Run, tmp_path: Path):
    result = run(*REPORT, "--peer", "onnx", "-o", tmp_path / "r.html")
    assert result.code == 2
    assert "expected a peer of onnxruntime, openvino, found 'onnx'" in result.err


def test_without_jinja2_the_extra_is_named(run: Run, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run(*REPORT, "-o", tmp_path / "r.html")
    assert result.code == 1
    assert "bitwright[report]" in result.err
