"""Names of models, and files that change while they are served."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bitwright as bw
from bitwright.errors import ArtifactError, ServeError, SignatureError
from bitwright.serve.settings import named, token_of
from bitwright.signatures import Trust, sign, signature_path
from bitwright.signing_keys import generate, private_key
from tests.serve.conftest import QUICK, colours, serving

PATCH = [[255, 0, 0]] * 16
INFER = json.dumps({"inputs": [{"name": "input", "shape": [1, 4, 4, 3], "datatype": "UINT8", "data": PATCH}]})


def test_a_model_has_the_name_of_its_file_or_the_one_given():
    assert named(["a/b.bw.safetensors", "c.safetensors", "x=d/e.bin", "/f=g/h.bin"]) == {
        "b": Path("a/b.bw.safetensors"),
        "c": Path("c.safetensors"),
        "x": Path("d/e.bin"),
        "h.bin": Path("/f=g/h.bin"),
    }


@pytest.mark.parametrize(
    ("artifacts", "says"),
    [(["a/m", "b/m"], "already"), (["=x"], "found ''"), (["ä=x"], "found 'ä'"), (["a b"], "'a b'"), ([], "found none")],
)
def test_a_name_that_is_no_address_is_refused(artifacts, says):
    with pytest.raises(ServeError, match=says):
        named(artifacts)


def test_the_token_is_in_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("BITWRIGHT_TOKEN", raising=False)
    assert token_of(None) is None
    monkeypatch.setenv("BITWRIGHT_TOKEN", "abc")
    assert token_of(None) == "abc"
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    assert token_of(file) == "of-the-file"
    for bad in ("", "two words", "ümlaut"):
        file.write_text(bad, "utf-8")
        with pytest.raises(ServeError, match="printable ASCII"):
            token_of(file)
    with pytest.raises(ServeError, match="No such file"):
        token_of(tmp_path / "nix")


def test_a_file_that_does_not_load_stops_the_start(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=str(path)), serving({"m": path}):
        pass


def test_a_model_whose_outputs_are_no_numbers_stops_the_start(models, monkeypatch):
    monkeypatch.setattr(bw.Engine, "outputs", lambda self, images: {"logits": np.full((len(images), 3), np.nan)})
    with pytest.raises(ArtifactError, match="not finite"), serving(models):
        pass


def version(server) -> str:
    return server.ask("GET", "/v2/models/m").json["versions"][0]


def logit(server) -> float:
    return server.ask("POST", "/v2/models/m/infer", INFER).json["outputs"][0]["data"][0]


def until(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def reloaded(server, outcome: str) -> int:
    """How many changed files were taken, or refused."""
    text = server.ask("GET", "/metrics").body.decode()
    start = f'bitwright_reloads_total{{model="m",outcome="{outcome}"}} '
    return sum(int(float(line.removeprefix(start))) for line in text.splitlines() if line.startswith(start))


def test_a_changed_file_is_taken_and_a_bad_one_is_not(tmp_path, started):
    path = tmp_path / "m.bw.safetensors"
    colours(times=10).save(path)
    server = started(replace(QUICK, reload_seconds=0.02), {"m": path})
    old = version(server)
    assert logit(server) == 10

    def reloads(outcome: str) -> bool:
        return reloaded(server, outcome) == 1

    path.write_bytes(path.read_bytes()[:-8])
    until(lambda: reloads("refused"))
    assert version(server) == old
    assert logit(server) == 10
    colours(times=20).save(path)
    until(lambda: version(server) != old)
    assert logit(server) == 20
    assert version(server) == bw.load(path).digest[:12]
    assert reloads("taken")
    assert server.ask("POST", f"/v2/models/m/versions/{old}/infer", INFER).status == 404
    info = [
        line
        for line in server.ask("GET", "/metrics").body.decode().splitlines()
        if line.startswith("bitwright_model_info")
    ]
    assert info == [f'bitwright_model_info{{model="m",version="{version(server)}"}} 1.0']
    path.unlink()
    time.sleep(0.1)
    assert logit(server) == 20


def test_with_trusted_keys_only_signed_files_are_served(tmp_path, started):
    pytest.importorskip("cryptography")
    path = tmp_path / "m.bw.safetensors"
    for name in ("own", "other"):
        generate(tmp_path / name)
    settings = replace(QUICK, reload_seconds=0.02, trust=Trust.load(tmp_path / "own.pub"))

    def signed_by(name: str) -> None:
        signature_path(path).write_bytes(sign(path.read_bytes(), path.name, private_key(tmp_path / name)))

    colours(times=10).save(path)
    with pytest.raises(SignatureError, match="is not signed: there is no"):
        started(settings, {"m": path})
    signed_by("other")
    with pytest.raises(SignatureError, match=r"none of .*own\.pub"):
        started(settings, {"m": path})
    signed_by("own")
    server = started(settings, {"m": path})
    assert logit(server) == 10
    colours(times=20).save(path)  # the old signature is beside it still
    until(lambda: reloaded(server, "refused") == 1)
    signed_by("other")
    until(lambda: reloaded(server, "refused") == 2)
    assert logit(server) == 10
    signed_by("own")  # the artifact itself does not change any more
    until(lambda: reloaded(server, "taken") == 1)
    assert logit(server) == 20
