"""`trust=` of load, Engine and Classifier: only files that a trusted key has signed, whatever happens to file and signature."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import bitwright as bw
from bitwright.errors import SignatureError
from bitwright.signatures import Trust, generate, private_key, sign, signature_path

pytest.importorskip("cryptography")

RESNET20 = Path(__file__).parents[1] / "examples/cifar10/resnet20-w4a4.bw.safetensors"
OTHER = RESNET20.with_name("resnet20-w2a2.bw.safetensors")
USES = [bw.load, bw.Engine, bw.Classifier]


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A model, its signature, and the key's two halves."""
    path = tmp_path / "m.bw.safetensors"
    shutil.copy(RESNET20, path)
    generate(tmp_path / "key")
    sign_by(tmp_path / "key", path)
    return path


def sign_by(key: Path, path: Path) -> None:
    signature_path(path).write_bytes(sign(path.read_bytes(), path.name, private_key(key)))


@pytest.mark.parametrize("use", USES)
def test_a_signed_file_is_taken_however_the_keys_are_given(use: Any, signed: Path) -> None:
    public = signed.with_name("key.pub")
    for trust in (public, str(public), [public], Trust.load(public)):
        use(signed, trust=trust)


@pytest.mark.parametrize("use", USES)
def test_a_removed_signature_is_missed(use: Any, signed: Path) -> None:
    signature_path(signed).unlink()
    use(signed)
    with pytest.raises(SignatureError, match="cannot read the signature of"):
        use(signed, trust=signed.with_name("key.pub"))


@pytest.mark.parametrize("use", USES)
def test_another_file_in_its_place_is_refused(use: Any, signed: Path) -> None:
    shutil.copy(OTHER, signed)
    with pytest.raises(SignatureError, match="of other bytes"):
        use(signed, trust=signed.with_name("key.pub"))


def test_a_file_and_its_signature_may_be_renamed_together_and_not_apart(signed: Path) -> None:
    public, new = signed.with_name("key.pub"), signed.with_name("new")
    signed.rename(new)
    with pytest.raises(SignatureError, match=r"new\.sig"):
        bw.load(new, trust=public)
    signature_path(signed).rename(signature_path(new))
    bw.load(new, trust=public)


def test_files_that_are_added_beside_it_change_nothing(signed: Path) -> None:
    for name in ("other", "m.bw.safetensors.sig.bak", ".hidden"):
        signed.with_name(name).write_bytes(b"x")
    bw.load(signed, trust=signed.with_name("key.pub"))


def test_a_file_signed_again_has_the_last_signature(signed: Path, tmp_path: Path) -> None:
    """By a stranger: refused; by another trusted key: taken; and the first key's no longer counts."""
    first = signed.with_name("key.pub")
    generate(tmp_path / "second")
    sign_by(tmp_path / "second", signed)
    with pytest.raises(SignatureError, match="which is none of"):
        bw.load(signed, trust=first)
    bw.load(signed, trust=[first, tmp_path / "second.pub"])


def test_a_key_that_is_trusted_no_more_is_a_strangers(signed: Path, tmp_path: Path) -> None:
    """Keys do not expire: who takes one out of the file of keys trusts it no more."""
    generate(tmp_path / "second")
    keys = tmp_path / "keys"
    keys.write_bytes(signed.with_name("key.pub").read_bytes() + (tmp_path / "second.pub").read_bytes())
    bw.load(signed, trust=keys)
    keys.write_bytes((tmp_path / "second.pub").read_bytes())
    with pytest.raises(SignatureError, match="which is none of"):
        bw.load(signed, trust=keys)


@pytest.mark.parametrize("use", USES[1:])
def test_what_comes_from_no_file_has_no_signature(use: Any, signed: Path) -> None:
    with pytest.raises(SignatureError, match="an artifact in memory"):
        use(bw.load(signed), trust=signed.with_name("key.pub"))


def test_a_bundle_with_a_key_twice_is_refused(signed: Path) -> None:
    beside = signature_path(signed)
    beside.write_bytes(beside.read_bytes().replace(b'"mediaType":', b'"mediaType": "x", "mediaType":', 1))
    with pytest.raises(SignatureError, match="the key 'mediaType' stands twice"):
        bw.load(signed, trust=signed.with_name("key.pub"))
