"""`bitwright check`: exit codes, tables, JSON, JUnit and GitHub's annotations."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Run
from tests.cli.test_quantize import RANDOM_WEIGHTS

CHECK = ("check", "m.bw.safetensors")
IMAGES = ("--model", "colours:net", "--data", "images")


@pytest.fixture
def gates(tmp_path: Path):
    def write(text: str) -> tuple[str, str]:
        (tmp_path / "gates.toml").write_text(text)
        return "--gates", str(tmp_path / "gates.toml")

    return write


def test_a_model_that_keeps_its_gates_passes(run: Run, project: Path, gates):
    size = (project / "m.bw.safetensors").stat().st_size
    result = run(*CHECK, *gates("judge = 'point'\nmax_drop = 0\nmin_agreement = 100\nmax_bytes = 9_999"), *IMAGES)
    assert (result.code, result.err) == (0, RANDOM_WEIGHTS)
    header, drop, agreement, size_ = result.out.splitlines()[:4]
    assert header.split("  ")[0] == "gate"
    assert " ".join(drop.split()) == "max_drop passed <= 0.00 points 0.00 points -24.50 to 24.50 point"
    assert " ".join(agreement.split()) == "min_agreement passed >= 100.00 % 100.00 % 54.07 to 100.00 point"
    assert " ".join(size_.split()) == f"max_bytes passed <= 9,999 bytes {size:,} bytes value"
    assert "passed: 3 of 3 gates kept" in result.out


def test_a_gate_that_fails_is_named_and_fails_the_command(run: Run, gates):
    result = run(*CHECK, *gates("max_bytes = 10\nmin_agreement = 50"), *IMAGES)
    assert result.code == 1
    assert "FAILED: 1 of 2 gates kept" in result.out
    assert "max_bytes failed" in result.out
    assert "at most 10 asked for" in result.out


def test_too_few_images_show_nothing(run: Run, gates):
    result = run(*CHECK, *gates("max_drop = 0.5"), *IMAGES, "--json")
    assert result.code == 1
    (finding,) = json.loads(result.out)["findings"]
    assert finding["value"] == 0
    assert finding["interval"][1] > 0.5
    assert finding["judged_by"] == "interval"
    assert "the value keeps the bound, its interval up to" in finding["reason"]


def test_latency_against_a_baseline_of_the_same_run(run: Run, gates):
    loose = gates("max_latency_ratio = 50")
    result = run(*CHECK, *loose, "--baseline", "m.bw.safetensors", "--threads", "1", "--json")
    (finding,) = json.loads(result.out)["findings"]
    assert (result.code, finding["passed"]) == (0, True)
    assert 0.02 < finding["value"] < 50  # the same model twice
    assert finding["interval"][0] <= finding["value"] <= finding["interval"][1]
    result = run(*CHECK, *gates("max_latency_ratio = 0.001"), "--baseline", "m.bw.safetensors")
    assert result.code == 1


def test_junit_is_written_when_gates_fail_as_well(run: Run, gates, tmp_path: Path):
    result = run(*CHECK, *gates("max_bytes = 10"), "--junit", tmp_path / "junit.xml")
    assert result.code == 1
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"


def test_annotations_go_to_stderr_and_a_table_to_the_summary(run: Run, gates, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    result = run(*CHECK, *gates("\nmax_bytes = 10"), "--github", "--json")
    assert result.code == 1
    assert json.loads(result.out)["passed"] is False
    assert result.err.startswith("::error file=")
    assert ",line=2,title=max_bytes::m.bw.safetensors: " in result.err
    assert "**FAILED** | `max_bytes`" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("max_drop = 1", (), "max_drop of .* needs --model and --data"),
        ("min_agreement = 1", ("--model", "colours:net"), "min_agreement of .* needs --model and --data"),
        ("max_latency_ratio = 1", (), "max_latency_ratio of .* needs --baseline"),
        ("require_signature = true", (), "require_signature of .* needs --trust"),
    ],
)
def test_what_cannot_be_measured_is_a_wrong_use_and_no_pass(run: Run, gates, text, options, said):
    result = run(*CHECK, *gates(text), *options)
    assert result.code == 2
    assert not result.out
    assert re.search(said, result.err.replace("\n", " "))


def test_a_gate_that_is_misspelt_is_refused(run: Run, gates):
    result = run(*CHECK, *gates("max_byte = 10"))
    assert (result.code, result.out) == (2, "")
    assert "did you mean 'max_bytes'?" in result.err


def test_gates_on_the_file_alone_need_no_torch(project: Path, gates):
    code = (
        "import sys; from bitwright.cli import main; sys.modules['torch'] = None; "
        f"sys.exit(main(['check', 'm.bw.safetensors', '--gates', {gates('max_bytes = 9_999_999')[1]!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed: 1 of 1 gates kept" in done.stdout
