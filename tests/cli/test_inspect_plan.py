"""`bitwright inspect --plan`: the native engine's steps. How fast they are, no test says."""

import json
import re
from pathlib import Path

import pytest

from bitwright.artifact import load
from bitwright.engine import Engine
from bitwright.engine.backend import PlanStep
from bitwright.records import PlanSummary, StepSummary
from bitwright.summary import plan_summary
from tests.cli.conftest import Run
from tests.cli.test_app import WITHOUT_TORCH, in_a_process
from tests.cli.test_bench import WITHOUT_NATIVE

INSPECT = ("inspect", "m.bw.safetensors")
PLAN = (*INSPECT, "--plan")


@pytest.fixture(autouse=True)
def scalar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same plan on every machine."""
    monkeypatch.setenv("BITWRIGHT_ISA", "scalar")


def test_json_adds_the_plan(run: Run):
    result = run(*PLAN, "--threads", 2, "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    plan = document.pop("plan")
    assert document == json.loads(run(*INSPECT, "--json").out)
    steps = Engine("m.bw.safetensors", backend="native", threads=2).explain()
    fixed = ("name", "op", "kernel", "isa", "macs", "bytes")
    assert [tuple(step[key] for key in fixed) for step in plan] == [
        tuple(getattr(step, key) for key in fixed) for step in steps
    ]
    assert all(set(step) == {*fixed, "time_us", "percent_of_time", "percent_of_peak"} for step in plan)
    assert {step["isa"] for step in plan} == {"scalar"}
    assert sum(step["macs"] for step in plan) == document["macs"] == 585
    total = sum(step["time_us"] for step in plan)
    assert sum(step["percent_of_time"] for step in plan) == pytest.approx(100)
    for step in plan:
        assert step["percent_of_time"] == pytest.approx(100 * step["time_us"] / total)
        assert (step["percent_of_peak"] > 0) == (step["macs"] > 0)


def test_the_table_stands_in_place_of_the_layers(run: Run):
    result = run(*PLAN, "--threads", 1)
    assert (result.code, result.err) == (0, "")
    table, _, rest = result.out.partition("\n\n")
    assert [line.split("  ")[0] for line in rest.splitlines()] == ["file", "sha256", "MACs", "peak"]
    assert "Winograd" not in rest
    header, *rows = [re.split(r" {2,}", line) for line in table.splitlines()]
    assert header == ["layer", "op", "kernel", "isa", "us", "% of time", "MACs", "bytes", "% of peak"]
    steps = Engine("m.bw.safetensors", backend="native", threads=1).explain()
    assert [row[:4] for row in rows[:-1]] == [[step.name, step.op, step.kernel, step.isa] for step in steps]
    assert [row[6:8] for row in rows[:-1] if len(row) == 9] == [
        [f"{step.macs:,}", f"{step.bytes:,}"] for step in steps if step.macs
    ]
    name, _, percent, macs, bytes_, _ = rows[-1]
    assert (name, percent, macs, bytes_) == ("total", "100.0", "585", f"{sum(step.bytes for step in steps):,}")


def test_a_plan_of_winograd_says_what_its_macs_are(run: Run, monkeypatch: pytest.MonkeyPatch):
    step = StepSummary("conv", "conv2d", "igemm, Winograd", "avx2", 1.0, 100.0, 9, 9, 120.0)
    monkeypatch.setattr("bitwright.cli.inspect.plan_summary", lambda *_: PlanSummary((step,)))
    assert "Winograd's kernels multiply 16 times for 36 of them" in run(*PLAN).out


def test_the_name_of_a_set_is_not_that_of_its_variant(project: Path, monkeypatch: pytest.MonkeyPatch):
    step = PlanStep("conv", "conv2d", "igemm", "avx512vnni_novbmi", 9, 9, 1.0, 1.0, 50.0)
    monkeypatch.setattr(Engine, "explain", lambda _: [step])
    assert plan_summary(load(project / "m.bw.safetensors"), 1).steps[0].isa == "avx512vnni"


@pytest.mark.parametrize("options", [["--threads", "2"], ["--plan", "--threads", "0"], ["--plan", "--threads", "x"]])
def test_wrong_usage(options: list[str], run: Run):
    result = run(*INSPECT, *options)
    assert (result.code, result.out) == (2, "")
    assert "--threads" in result.err


def test_it_needs_no_torch_but_the_native_backend(project: Path):
    found = in_a_process(project, "-c", WITHOUT_TORCH, *PLAN, "--json")
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["plan"]
    for json_option in ([], ["--json"]):
        found = in_a_process(project, "-c", WITHOUT_NATIVE, *PLAN, *json_option)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr == (
            "bitwright: error: the native backend was not built; install bitwright where there is a C++ compiler\n"
        )
    assert in_a_process(project, "-c", WITHOUT_NATIVE, *INSPECT).returncode == 0
