"""`bitwright keygen`, `sign` and `verify`, and what other commands make of signatures."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import REPOSITORY

pytest.importorskip("cryptography")

FILE = "m.bw.safetensors"


@pytest.fixture
def keys(run: Run, project: Path, tmp_path: Path, monkeypatch) -> Path:
    """A folder with the artifact and two pairs of keys, of which the first has signed it."""
    shutil.copy(project / FILE, tmp_path / FILE)
    monkeypatch.chdir(tmp_path)
    for name in ("own", "other"):
        assert run("keygen", name).code == 0
    assert run("sign", FILE, "--key", "own").code == 0
    return tmp_path


def test_a_signed_artifact_is_verified(run: Run, keys: Path):
    result = run("verify", FILE, "--trust", "own.pub")
    assert result.code == 0
    assert f"{FILE}.sig, verified" in result.out
    document = json.loads(run("verify", FILE, "--trust", "other.pub", "--trust", "own.pub", "--json").out)
    assert document["sha256"] == json.loads(run("inspect", FILE, "--json").out)["sha256"]


def test_sign_says_which_bytes_it_vouches_for(run: Run, keys: Path):
    """Those of the file, also of one that was written by an earlier version."""
    shutil.copy(REPOSITORY / "examples" / "cifar10" / "resnet20-w4a4.bw.safetensors", "old")
    for file in (FILE, "old"):
        result = run("sign", file, "--key", "own")
        assert hashlib.sha256((keys / file).read_bytes()).hexdigest() in result.out


def test_who_is_not_trusted_is_refused(run: Run, keys: Path):
    result = run("verify", FILE, "--trust", "other.pub")
    assert (result.code, result.out) == (1, "")
    assert "none of other.pub" in result.err
    assert run("verify", FILE).code == 2


def test_a_file_that_has_changed_is_refused(run: Run, keys: Path):
    data = bytearray((keys / FILE).read_bytes())
    data[-1] ^= 1
    (keys / FILE).write_bytes(data)
    result = run("verify", FILE, "--trust", "own.pub")
    assert result.code == 1
    assert "of other bytes" in result.err


def test_only_artifacts_are_signed(run: Run, keys: Path):
    (keys / "x").write_bytes(b"nothing")
    result = run("sign", "x", "--key", "own")
    assert result.code == 1
    assert not (keys / "x.sig").exists()


def test_a_signature_may_lie_elsewhere_and_a_key_may_have_a_password(run: Run, keys: Path):
    (keys / "password").write_text("secret\n")
    assert run("keygen", "locked", "--password-file", "password").code == 0
    assert run("sign", FILE, "--key", "locked").code == 2
    assert run("sign", FILE, "--key", "locked", "--password-file", "password", "-o", "elsewhere").code == 0
    assert run("verify", FILE, "--trust", "locked.pub", "--signature", "elsewhere").code == 0


def test_a_link_that_leads_nowhere_is_told(run: Run, keys: Path):
    (keys / f"{FILE}.sig").unlink()
    (keys / f"{FILE}.sig").symlink_to("nowhere/x.sig")
    result = run("verify", FILE, "--trust", "own.pub")
    assert result.code == 1
    assert (
        f"{FILE} is not signed: there is no {FILE}.sig, it is a link to nowhere/x.sig, where nothing is" in result.err
    )
    result = run("sign", FILE, "--key", "own")
    assert result.code == 2
    assert f"cannot write {FILE}.sig, a link to nowhere/x.sig: there is no folder" in result.err


@pytest.mark.parametrize("taken", [FILE, "own"])
def test_a_signature_takes_the_place_of_no_file_that_it_needs(run: Run, keys: Path, taken: str):
    before = (keys / taken).read_bytes()
    result = run("sign", FILE, "--key", "own", "-o", taken)
    assert result.code == 2
    assert f"cannot write {taken}: it is the file of" in result.err
    assert (keys / taken).read_bytes() == before


def test_a_public_key_is_no_key_to_sign_with(run: Run, keys: Path):
    result = run("sign", FILE, "--key", "own.pub")
    assert result.code == 2
    assert "holds a public key; expected the private one" in result.err


def test_a_key_and_a_signature_may_expire(run: Run, keys: Path):
    assert run("keygen", "brief", "--expires", "2099-12-31").code == 0
    assert (keys / "brief.pub").read_text().startswith("Expires: 2099-12-31\n-----BEGIN PUBLIC KEY-----\n")
    assert run("sign", FILE, "--key", "brief", "--expires", "2099-01-31").code == 0
    assert json.loads(run("verify", FILE, "--trust", "brief.pub", "--json").out)["expires"] == "2099-01-31"
    assert "2099-01-31" in run("verify", FILE, "--trust", "brief.pub").out
    (keys / "brief.pub").write_text((keys / "brief.pub").read_text().replace("2099", "2020"))
    result = run("verify", FILE, "--trust", "brief.pub")
    assert result.code == 1
    assert "its last day was 2020-12-31" in result.err
    for past in ("2020-01-01", "soon"):
        result = run("sign", FILE, "--key", "own", "--expires", past)
        assert result.code == 2
        assert past in result.err


def test_inspect_says_what_is_known_of_the_signature(run: Run, keys: Path):
    def state(*options: str) -> dict:
        return json.loads(run("inspect", FILE, "--json", *options).out)["signature"]

    key = state()["key"]
    assert state() == {"path": f"{FILE}.sig", "key": key, "verified": None, "reason": None}
    assert state("--trust", "own.pub") == {"path": f"{FILE}.sig", "key": key, "verified": True, "reason": None}
    refused = state("--trust", "other.pub")
    assert (refused["verified"], refused["key"]) == (False, key)
    assert "none of other.pub" in refused["reason"]
    assert "NOT VERIFIED" in run("inspect", FILE, "--trust", "other.pub").out
    assert "not verified (--trust KEYS does)" in run("inspect", FILE).out
    (keys / f"{FILE}.sig").write_bytes(b"nothing")
    assert "unreadable" in run("inspect", FILE).out
    (keys / f"{FILE}.sig").unlink()
    assert state() == {"path": None, "key": None, "verified": None, "reason": None}


@pytest.mark.parametrize(("trusted", "code"), [("own.pub", 0), ("other.pub", 1)])
def test_a_gate_asks_for_a_signature(run: Run, keys: Path, trusted: str, code: int):
    (keys / "gates.toml").write_text("require_signature = true")
    result = run("check", FILE, "--trust", trusted, "--json")
    (finding,) = json.loads(result.out)["findings"]
    assert (result.code, finding["passed"]) == (code, code == 0)
    assert ("signed by the key" if code == 0 else "none of other.pub") in finding["reason"]
    assert run("check", FILE, "--trust", trusted).code == code


def test_serve_asks_for_keys_and_for_a_signature_together(run: Run, keys: Path):
    for options in (("--require-signature",), ("--trust", "own.pub")):
        result = run("serve", FILE, *options)
        assert result.code == 2
        assert "go together" in result.err
