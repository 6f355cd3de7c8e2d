"""A bit of the weights that flips while a server runs: the requests that would read it are refused, and everybody is told."""

import ctypes
import json
from dataclasses import replace
from pathlib import Path

import pytest

import bitwright as bw
from bitwright.serve.models import ServedModel
from tests.serve.conftest import QUICK, Running, colours, picture
from tests.serve.test_models import until, version

RESNET20 = Path(__file__).parents[2] / "examples/cifar10/resnet20-w4a4.bw.safetensors"
INFER = json.dumps({"inputs": [{"name": "input", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": [7] * 3072}]})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServedModel]:
    """What servers of this test have loaded."""
    found: list[ServedModel] = []
    prove = ServedModel._prove

    def noted(self: ServedModel) -> None:
        found.append(self)
        prove(self)

    monkeypatch.setattr(ServedModel, "_prove", noted)
    return found


def flip(engine: bw.Engine) -> None:
    """Flips a bit in the middle of the largest packed weights."""
    memory = engine._backend._plan.packed_memory  # type: ignore[attr-defined]
    _, address, size = max(memory, key=lambda piece: piece[2])
    ctypes.c_uint8.from_address(address + size // 2).value ^= 4  # in front there may be offsets


def metric(server: Running, model: str) -> str:
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    return next(line for line in lines if line.startswith(f'bitwright_weights_changed{{model="{model}"}}')).split()[1]


def test_a_flipped_bit_ends_the_answers_of_its_model_and_the_probes_say_so(tmp_path, started, served):
    path, other = tmp_path / "m.bw.safetensors", tmp_path / "other.bw.safetensors"
    bw.load(RESNET20).save(path)
    colours().save(other)
    settings = replace(QUICK, check_weights=1, reload_seconds=0.02)
    server = started(settings, {"m": path, "other": other})
    assert server.ask("POST", "/v2/models/m/infer", INFER).status == 200
    assert server.ask("GET", "/v2/health/live").json == {"live": True}
    assert metric(server, "m") == "0.0"
    flip(served[0].classifier.engine)
    refused = server.ask("POST", "/v2/models/m/infer", INFER)
    assert refused.status == 503
    assert "m answers nothing any more: the weights of" in refused.json["error"]
    assert "have changed in memory" in refused.json["error"]
    assert server.ask("POST", "/classify?model=m", picture("red")).status == 503
    assert [server.ask("GET", f"/v2/{name}").status for name in ("health/live", "health/ready", "models/m/ready")] == [
        503
    ] * 3
    assert server.ask("GET", "/v2/models/other/ready").json == {"name": "other", "ready": True}
    assert server.ask("POST", "/classify?model=other", picture("red")).status == 200
    assert (metric(server, "m"), metric(server, "other")) == ("1.0", "0.0")
    states = {entry["name"]: entry["state"] for entry in server.ask("POST", "/v2/repository/index").json}
    assert states == {"m": "UNAVAILABLE", "other": "READY"}
    before = version(server)
    replace(bw.load(RESNET20), classes=None).save(path)
    until(lambda: version(server) != before)
    assert server.ask("POST", "/v2/models/m/infer", INFER).status == 200
    assert server.ask("GET", "/v2/health/ready").json == {"ready": True}
    assert metric(server, "m") == "0.0"


def test_pictures_that_are_decoded_by_threads_are_checked_as_well(tmp_path, started, served):
    path = tmp_path / "m.bw.safetensors"
    bw.load(RESNET20).save(path)
    server = started(replace(QUICK, threads=2, check_weights=1), {"m": path})
    assert server.ask("POST", "/classify", picture("red")).status == 200
    classifier = served[0].classifier
    flip(classifier._engine_of_a_thread)
    flip(classifier.engine)
    assert server.ask("POST", "/classify", picture("red")).status == 503
    assert server.ask("GET", "/v2/health/ready").status == 503


def test_without_the_option_nothing_is_checked(tmp_path, started, served):
    path = tmp_path / "m.bw.safetensors"
    bw.load(RESNET20).save(path)
    server = started(QUICK, {"m": path})
    flip(served[0].classifier.engine)
    assert server.ask("POST", "/v2/models/m/infer", INFER).status == 200
