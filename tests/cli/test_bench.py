"""`bitwright bench`: what it verifies and prints. How fast anything is, no test says."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import _native
from bitwright.artifact import load
from bitwright.engine import Engine
from bitwright.engine.native import Native
from bitwright.engine.timing import VERIFIED, random_images, verify
from bitwright.errors import EngineError
from tests.cli.conftest import Run
from tests.cli.test_app import WITHOUT_TORCH, in_a_process

BENCH = ("bench", "m.bw.safetensors", "--rounds", 3)
WITHOUT_NATIVE = """
import sys
sys.modules["bitwright._native"] = None
from bitwright.cli import main
sys.exit(main())
"""


def test_the_table(run: Run):
    result = run(*BENCH, "--threads", 2, "--batch", 5)
    assert (result.code, result.err) == (0, "")
    assert re.sub(r"[\d,]+\.\d+", "X", result.out) == (
        "artifact         m.bw.safetensors\n"
        f"logits           equal to the reference's, to the bit, on {VERIFIED} random images\n"
        f"instruction set  {_native.chosen_isa()}\n"
        "threads          2\n"
        "batch            5\n"
        "rounds           3\n"
        "median latency   X ms\n"
        "least latency    X ms\n"
        "throughput       X images/s\n"
    )


@pytest.mark.parametrize("times", [0, 1])
def test_what_disturbed_it_is_said(run: Run, times: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bitwright.records.NOISY", times and math.inf)
    result = run(*BENCH[:2], "--rounds", 10)
    assert result.code == 0
    assert result.err.startswith("bitwright: warning: latency of this model: the median is ") != bool(times)


def test_json(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BITWRIGHT_ISA", "scalar")
    result = run(*BENCH, "--batch", 2, "--json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    median, least, rate = (document.pop(key) for key in ("median_ms", "least_ms", "images_per_second"))
    assert 0 < least <= median
    assert rate == pytest.approx(2 * 1e3 / median)
    assert document == {
        "artifact": "m.bw.safetensors",
        "isa": "scalar",
        "threads": _native.available_threads(),
        "batch": 2,
        "rounds": 3,
        "verified_images": VERIFIED,
    }


@pytest.mark.parametrize("batch", [1, 3, VERIFIED, 2 * VERIFIED + 1])
def test_images_are_a_batch_of_a_few_random_ones(batch: int, project: Path):
    artifact = load("m.bw.safetensors")
    images = random_images(artifact, batch)
    assert images.dtype == np.uint8
    assert images.shape == (max(batch, VERIFIED), 8, 8, 3)
    assert len({image.tobytes() for image in images}) == VERIFIED
    np.testing.assert_array_equal(images, random_images(artifact, batch))


@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("threads", [1, 2])
def test_one_wrong_bit_anywhere_is_found(batch: int, threads: int, project: Path, monkeypatch: pytest.MonkeyPatch):
    engine = Engine("m.bw.safetensors", backend="native", threads=threads)
    images = random_images(engine.artifact, batch)
    verify(engine, images, batch)
    true_run, calls = Native.run, 0

    def wrong_at_last(self: Native, pixels: Any) -> Any:
        nonlocal calls
        calls += 1
        logits = true_run(self, pixels)
        if calls == -(-len(images) // batch):
            logits.view(np.uint32)[-1, -1] ^= 1
        return logits

    monkeypatch.setattr(Native, "run", wrong_at_last)
    with pytest.raises(
        EngineError, match=rf"logit 2 of random image {len(images) - 1}.* 1 of {3 * len(images)} differ"
    ):
        verify(engine, images, batch)


def test_a_wrong_engine_is_not_timed(run: Run, monkeypatch: pytest.MonkeyPatch):
    true_run = Native.run
    monkeypatch.setattr(Native, "run", lambda self, pixels: -true_run(self, pixels))
    result = run(*BENCH)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("bitwright: error: the native engine is wrong: expected ")
    assert "Nothing was timed" in result.err


def test_what_stops_it(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert run("bench", "none.bw") == (2, "", "bitwright: error: cannot read none.bw: No such file or directory\n")
    for options in (["--threads", 0], ["--batch", 0], ["--rounds", 0], ["--rounds", "many"]):
        result = run("bench", "m.bw.safetensors", *options)
        assert (result.code, result.out) == (2, "")
    monkeypatch.setenv("BITWRIGHT_ISA", "abacus")
    result = run(*BENCH)
    assert (result.code, result.out) == (1, "")
    assert "abacus" in result.err


def test_it_needs_no_torch_but_the_native_backend(project: Path):
    arguments = [str(argument) for argument in (*BENCH, "--json")]
    found = in_a_process(project, "-c", WITHOUT_TORCH, *arguments)
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["rounds"] == 3
    found = in_a_process(project, "-c", WITHOUT_NATIVE, *arguments)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        "bitwright: error: the native backend was not built; install bitwright where there is a C++ compiler\n"
    )
