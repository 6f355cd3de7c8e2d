"""`bitwright compare`: its table, its JSON, and what it refuses."""

import json
import math
import re
from pathlib import Path

import pytest

from bitwright.budget.race import Latency
from tests.cli.conftest import QUANTIZE, Run


@pytest.fixture
def other(run: Run, project: Path) -> str:
    """The same model with codes of 4 bits and weights of 4 bits, but for the first and the last layer."""
    if not (project / "four.bw.safetensors").exists():
        assert run(*QUANTIZE, "--recipe", "w8a4", "-o", "four.bw.safetensors").code == 0
    return "four.bw.safetensors"


def test_the_table(run: Run, project: Path, other: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bitwright.records.NOISY", math.inf)  # whatever else runs here
    result = run("compare", "m.bw.safetensors", other, "--data", "images", "--threads", "1")
    assert (result.code, result.err) == (0, "")
    sizes = [(project / name).stat().st_size for name in ("m.bw.safetensors", other)]
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[0] == f"m.bw.safetensors {other} second to first"
    assert lines[1] == f"bytes {sizes[0]:,} {sizes[1]:,} {100 * sizes[1] / sizes[0]:.2f} %"
    assert lines[4].startswith("latency, ms 0.")
    assert re.search(r"\d\.\d{3} times, 95 %: \d\.\d{3} to \d\.\d{3}$", lines[4])
    assert re.search(r"\ntimed on +1 thread, \w+; an image a call, in turns\n", result.out)
    assert lines[5].startswith("top-1, % 100.00 100.00 +0.00 points, 95 %: -24.50 to 24.50")
    assert lines[6] == "right alone 0 0 McNemar's p = 1"
    assert lines[7] == "agreement 100.00 % of 6 images, 95 %: 54.07 to 100.00"
    assert "schemes of" in lines[-1]
    assert any("uint4" in line for line in lines[9:])


def test_the_json(run: Run, other: str):
    result = run("compare", "m.bw.safetensors", other, "--data", "images", "--labels", "none", "--no-timing", "--json")
    found = json.loads(result.out)
    assert found["artifacts"] == ["m.bw.safetensors", other]
    assert found["latencies"] is None
    assert found["answers"]["agreement"] == 100
    assert found["answers"]["first_top1"] is None
    assert found["first"]["sha256"] != found["second"]["sha256"]
    assert found["changes"][0].keys() == {"name", "first", "second", "second_name"}


def test_a_model_and_itself(run: Run):
    result = run("compare", "m.bw.safetensors", "m.bw.safetensors", "--no-timing")
    assert result.code == 0
    assert "latency" not in result.out
    told = " ".join(result.out.split())
    assert "layers 4, of the same schemes" in told
    assert "models the same, but for the record of how they were made" in told


@pytest.mark.parametrize("busy", [True, False])
def test_a_latency_that_was_disturbed_has_no_ratio(run: Run, other: str, busy: bool, monkeypatch: pytest.MonkeyPatch):
    found = [Latency(1.0, 0.9, 1.0), Latency(40.0 if busy else 2.0, 1.0, 40.0)]
    monkeypatch.setattr("bitwright.comparison.race", lambda *_: found)
    result = run("compare", "m.bw.safetensors", other)
    assert ("disturbed: no ratio" in result.out) == busy
    assert ("40.000 times" in result.out) != busy
    assert (f"warning: latency of {other}: the median is 40 ms and the least 1 ms" in result.err) == busy


def test_labels_in_another_order_are_said_and_fail(run: Run, project: Path, tmp_path: Path):
    lines = [
        f"{project}/images/{name}/{i}.png,{turned}"
        for name, turned in TURNED.items()
        for i in (0, 1)
        for _ in range(20)
    ]
    (tmp_path / "turned.csv").write_text("\n".join(["path,label", *lines]))
    result = run("compare", "m.bw.safetensors", "m.bw.safetensors", "--data", tmp_path / "turned.csv", "--no-timing")
    assert result.code == 1
    assert "warning: " in result.err
    assert "0.00" in result.out


TURNED = {"blue": "green", "green": "red", "red": "blue"}


@pytest.mark.parametrize("options", [("--limit", "3"), ("--labels", "none")])
def test_options_of_images_need_images(run: Run, options: tuple[str, ...]):
    result = run("compare", "m.bw.safetensors", "m.bw.safetensors", *options)
    assert result.code == 2
    assert "give them with --data" in result.err


def test_a_file_that_is_none_is_named(run: Run):
    result = run("compare", "m.bw.safetensors", "none.bw.safetensors")
    assert result.code == 2
    assert "cannot read none.bw.safetensors" in result.err
