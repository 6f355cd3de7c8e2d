"""`trust=` of load, Engine and Classifier: only files that a trusted key has signed, whatever happens to file and signature."""

import base64
import json
import os
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import bitwright as bw
from bitwright.errors import SignatureError
from bitwright.signatures import Trust, sign, signature_path
from bitwright.signing_keys import generate, private_key, today

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


def sign_by(key: Path, path: Path, expires: date | None = None) -> None:
    signature_path(path).write_bytes(sign(path.read_bytes(), path.name, private_key(key), expires))


@pytest.mark.parametrize("use", USES)
def test_a_signed_file_is_taken_however_the_keys_are_given(use: Any, signed: Path) -> None:
    public = signed.with_name("key.pub")
    for trust in (public, str(public), [public], Trust.load(public)):
        use(signed, trust=trust)


@pytest.mark.parametrize("use", USES)
def test_trusting_nobody_is_no_way_to_ask(use: Any, signed: Path) -> None:
    with pytest.raises(SignatureError, match="expected a file of public keys to trust, found none"):
        use(signed, trust=[])


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("wrong", [0, False, b"key.pub", [1], ["key.pub", None]])
def test_what_is_no_file_of_keys_is_told(use: Any, signed: Path, wrong: Any) -> None:
    with pytest.raises(SignatureError, match=r"trust: expected a file of public keys, several, or a Trust, found"):
        use(signed, trust=wrong)


@pytest.mark.parametrize("use", USES)
def test_a_removed_signature_is_missed(use: Any, signed: Path) -> None:
    signature_path(signed).unlink()
    use(signed)
    with pytest.raises(SignatureError, match="is not signed: there is no"):
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
    """Who takes a key out of the file of keys trusts it no more."""
    generate(tmp_path / "second")
    keys = tmp_path / "keys"
    keys.write_bytes(signed.with_name("key.pub").read_bytes() + (tmp_path / "second.pub").read_bytes())
    bw.load(signed, trust=keys)
    keys.write_bytes((tmp_path / "second.pub").read_bytes())
    with pytest.raises(SignatureError, match="which is none of"):
        bw.load(signed, trust=keys)


def days(count: int) -> date:
    """So many days from now."""
    return today() + timedelta(days=count)


@pytest.mark.parametrize("use", USES)
def test_a_key_counts_until_its_last_day_is_over(use: Any, signed: Path) -> None:
    public = signed.with_name("key.pub")
    pem = public.read_bytes()
    for line, allowed in ((days(1), True), (today(), True), (days(-1), False), ("2000-01-01", False)):
        public.write_bytes(f"of the release\nexpires: {line}\n".encode() + pem)
        if allowed:
            use(signed, trust=public)
        else:
            with pytest.raises(SignatureError, match=f"the key [0-9a-f]{{16}} has expired: its last day was {line}"):
                use(signed, trust=public)


@pytest.mark.parametrize("use", USES)
def test_a_signature_holds_until_its_last_day_is_over(use: Any, signed: Path) -> None:
    public = signed.with_name("key.pub")
    for count, allowed in ((1, True), (0, True), (-1, False)):
        sign_by(signed.with_name("key"), signed, days(count))
        if allowed:
            use(signed, trust=public)
        else:
            with pytest.raises(SignatureError, match="the signature has expired"):
                use(signed, trust=public)


def test_the_day_of_a_signature_is_signed(signed: Path) -> None:
    sign_by(signed.with_name("key"), signed, days(-1))
    bundle = json.loads(signature_path(signed).read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"]["expires"] = str(days(9))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement, indent=2).encode()).decode()
    signature_path(signed).write_text(json.dumps(bundle))
    with pytest.raises(SignatureError, match="it is false"):
        bw.load(signed, trust=signed.with_name("key.pub"))


def test_the_earlier_of_several_days_counts(signed: Path) -> None:
    public = signed.with_name("key.pub")
    later, earlier = signed.with_name("later"), signed.with_name("earlier")
    later.write_bytes(f"Expires: {days(9)}\n".encode() + public.read_bytes())
    earlier.write_bytes(f"Expires: {days(3)}\n".encode() + public.read_bytes())
    sign_by(signed.with_name("key"), signed, days(6))

    def last(*keys: Path) -> date | None:
        return Trust.load(*keys).verify_file(signed.read_bytes(), signed).expires

    assert [last(public), last(later), last(earlier)] == [days(6), days(6), days(3)]
    assert last(earlier, later, public) == last(public, later, earlier) == days(3)


def test_a_key_says_for_itself_alone_when_it_expires(signed: Path, tmp_path: Path) -> None:
    generate(tmp_path / "second", expires=days(-1))
    keys = tmp_path / "keys"
    keys.write_bytes((tmp_path / "second.pub").read_bytes() + signed.with_name("key.pub").read_bytes())
    bw.load(signed, trust=keys)
    sign_by(tmp_path / "second", signed)
    with pytest.raises(SignatureError, match="has expired"):
        bw.load(signed, trust=keys)


@pytest.mark.parametrize("written", ["", "soon", "31.12.2099", "2099-13-01", "2099-12-31T00:00:00Z"])
def test_what_is_no_day_is_refused(signed: Path, written: str) -> None:
    public = signed.with_name("key.pub")
    public.write_bytes(f"Expires: {written}\n".encode() + public.read_bytes())
    with pytest.raises(SignatureError, match="expected a day such as 2027-06-30, found"):
        bw.load(signed, trust=public)


@pytest.mark.parametrize("line", ["Expires 2020-01-01", "# Expires: 2020-01-01", "expires=2020-01-01"])
def test_an_expiry_that_would_count_for_nothing_is_refused(signed: Path, line: str) -> None:
    public = signed.with_name("key.pub")
    pem = public.read_text()
    for content in (f"{line}\n{pem}", f"{pem}{line}\n", f"{pem}Expires: 2020-01-01\n"):
        public.write_text(content)
        with pytest.raises(SignatureError, match="in front of a key, found"):
            bw.load(signed, trust=public)


def test_a_pipe_is_no_signature(signed: Path) -> None:
    beside = signature_path(signed)
    beside.unlink()
    os.mkfifo(beside)
    with pytest.raises(SignatureError, match="is no file"):
        bw.load(signed, trust=signed.with_name("key.pub"))


@pytest.mark.parametrize("use", USES[1:])
def test_what_comes_from_no_file_has_no_signature(use: Any, signed: Path) -> None:
    with pytest.raises(SignatureError, match="an artifact in memory"):
        use(bw.load(signed), trust=signed.with_name("key.pub"))


def test_a_bundle_with_a_key_twice_is_refused(signed: Path) -> None:
    beside = signature_path(signed)
    beside.write_bytes(beside.read_bytes().replace(b'"mediaType":', b'"mediaType": "x", "mediaType":', 1))
    with pytest.raises(SignatureError, match="the key 'mediaType' stands twice"):
        bw.load(signed, trust=signed.with_name("key.pub"))
