"""Signatures: what is believed, what is refused, and that the OpenSSF's own library agrees."""

import base64
import hashlib
import json
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from bitwright.errors import MissingExtraError, SignatureError
from bitwright.signatures import Trust, sign
from bitwright.signing_keys import fingerprint, generate, private_key
from tests.signatures_of_model_signing import CONTENT, KEY, OF_ITS_FOLDER, OF_THE_FILE

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

DATA = b"the bytes of a file"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def trust(key: Path) -> Trust:
    return Trust.load(f"{key}.pub")


@pytest.fixture
def bundle(key: Path) -> bytes:
    return sign(DATA, "m", private_key(key))


def changed(bundle: bytes, *path: str | int, to: object) -> bytes:
    """A bundle with another value somewhere."""
    document = node = json.loads(bundle)
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return json.dumps(document).encode()


def test_what_was_signed_is_verified(key: Path, trust: Trust, bundle: bytes):
    found = trust.verify(DATA, bundle)
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert found.key == hashlib.sha256(Path(f"{key}.pub").read_bytes()).hexdigest()


def test_every_bit_of_the_file_counts(trust: Trust, bundle: bytes):
    for i in range(8 * len(DATA)):
        flipped = bytearray(DATA)
        flipped[i // 8] ^= 1 << i % 8
        with pytest.raises(SignatureError, match="of other bytes"):
            trust.verify(bytes(flipped), bundle)


def test_every_byte_of_statement_and_signature_counts(trust: Trust, bundle: bytes):
    envelope = json.loads(bundle)["dsseEnvelope"]
    places = {("payload",): envelope["payload"], ("signatures", 0, "sig"): envelope["signatures"][0]["sig"]}
    for place, text in places.items():
        raw = base64.b64decode(text)
        for i in range(0, len(raw), 7):
            bad = raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]
            with pytest.raises(SignatureError, match="it is false"):
                trust.verify(DATA, changed(bundle, "dsseEnvelope", *place, to=base64.b64encode(bad).decode()))


def test_a_stranger_is_not_believed_whatever_the_bundle_says(trust: Trust, bundle: bytes):
    stranger = ec.generate_private_key(ec.SECP256R1())
    of_a_stranger = sign(DATA, "m", stranger)
    with pytest.raises(SignatureError, match=r"none of .*key\.pub; expected one of"):
        trust.verify(DATA, of_a_stranger)
    (trusted,) = trust.keys
    claims = changed(of_a_stranger, "verificationMaterial", "publicKey", "hint", to=trusted)
    with pytest.raises(SignatureError, match="it is false"):
        trust.verify(DATA, claims)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_bundle_that_is_cut_off_is_refused(trust: Trust, bundle: bytes, cut: int):
    with pytest.raises(SignatureError, match="expected a signature of a model by a key"):
        trust.verify(DATA, bundle[:cut])


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("mediaType",), "application/json"),
        (("dsseEnvelope", "payloadType"), "text/plain"),
        (("dsseEnvelope", "signatures"), []),
        (("dsseEnvelope", "payload"), "%%"),
        (("dsseEnvelope",), None),
        (("verificationMaterial",), {"certificate": {"rawBytes": "AA=="}}),
        (("verificationMaterial", "publicKey", "hint"), ["a"]),
    ],
)
def test_a_bundle_of_another_kind_is_refused(trust: Trust, bundle: bytes, path, to):
    with pytest.raises(SignatureError, match="expected a signature of a model by a key"):
        trust.verify(DATA, changed(bundle, *path, to=to))


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_all_curves_of_the_format_sign(curve, tmp_path: Path):
    own = ec.generate_private_key(curve())
    pem = own.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pub").write_bytes(pem)
    assert Trust.load(tmp_path / "pub").verify(DATA, sign(DATA, "m", own)).key == fingerprint(own.public_key())


def test_a_file_may_hold_several_keys_and_there_may_be_several_files(tmp_path: Path, bundle: bytes, key: Path):
    for name in ("a", "b"):
        generate(tmp_path / name)
    both = tmp_path / "both"
    both.write_bytes(b"".join((tmp_path / f"{name}.pub").read_bytes() for name in ("a", "b")))
    assert len(Trust.load(both).keys) == 2
    assert len(Trust.load(both, f"{key}.pub").keys) == 3
    assert Trust.load(both, f"{key}.pub").verify(DATA, bundle).key in Trust.load(f"{key}.pub").keys


def test_keys_that_are_none_are_refused(tmp_path: Path, key: Path):
    other = rsa.generate_private_key(65537, 2048).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    contents = {"found none": b"nothing", "curves .* found RSAPublicKey": pem, "holds a private key": key.read_bytes()}
    contents["expected public keys in PEM: "] = b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"
    for says, content in contents.items():
        (tmp_path / "keys").write_bytes(content)
        with pytest.raises(SignatureError, match=says):
            Trust.load(tmp_path / "keys")
    with pytest.raises(SignatureError, match="cannot read the keys"):
        Trust.load(tmp_path / "nix")


def test_a_private_key_is_its_owners_and_never_replaced(key: Path):
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    with pytest.raises(SignatureError, match="a key is never replaced"):
        generate(key)
    assert key.read_bytes() == before
    key.unlink()
    with pytest.raises(SignatureError, match=r"key\.pub is there already"):
        generate(key)


def test_a_key_with_a_password_needs_it(tmp_path: Path):
    generate(tmp_path / "key", b"secret")
    assert b"ENCRYPTED" in (tmp_path / "key").read_bytes()
    assert private_key(tmp_path / "key", b"secret").curve.name == "secp256r1"
    for wrong in (None, b"guess"):
        with pytest.raises(SignatureError, match="and its password if it has one"):
            private_key(tmp_path / "key", wrong)


def test_a_public_key_signs_nothing(key: Path):
    with pytest.raises(SignatureError, match="holds a public key; expected the private one"):
        private_key(Path(f"{key}.pub"))


def test_a_signature_that_is_missing_or_no_signature_is_named(tmp_path: Path, trust: Trust):
    path = tmp_path / "m"
    with pytest.raises(SignatureError, match=r"m is not signed: there is no .*m\.sig; get it from"):
        trust.verify_file(DATA, path)
    (tmp_path / "m.sig").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(SignatureError, match="more than 1048576 bytes"):
        trust.verify_file(DATA, path)


def test_what_model_signing_has_signed_is_verified(tmp_path: Path):
    (tmp_path / "pub").write_bytes(KEY)
    trust = Trust.load(tmp_path / "pub")
    assert trust.verify(CONTENT, OF_THE_FILE).sha256 == hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(SignatureError, match="of other bytes"):
        trust.verify(CONTENT + b"x", OF_THE_FILE)
    with pytest.raises(SignatureError, match="sign the file, not its folder"):
        trust.verify(CONTENT, OF_ITS_FOLDER)


def test_model_signing_verifies_what_was_signed_here(tmp_path: Path, key: Path, bundle: bytes):
    verifying = pytest.importorskip("model_signing.verifying")
    (tmp_path / "m").write_bytes(DATA)
    (tmp_path / "m.sig").write_bytes(bundle)
    config = verifying.Config().use_elliptic_key_verifier(public_key=Path(f"{key}.pub"))
    config.verify(tmp_path / "m", tmp_path / "m.sig")
    (tmp_path / "m").write_bytes(DATA + b"x")
    with pytest.raises(ValueError, match=r"(?i)mismatch|match|hash"):
        config.verify(tmp_path / "m", tmp_path / "m.sig")


def test_model_signing_verifies_what_expires(tmp_path: Path):
    """It knows nothing of days, and is not disturbed by them."""
    verifying = pytest.importorskip("model_signing.verifying")
    generate(tmp_path / "key", expires=date(2020, 1, 1))
    (tmp_path / "m").write_bytes(DATA)
    (tmp_path / "m.sig").write_bytes(sign(DATA, "m", private_key(tmp_path / "key"), date(2020, 1, 1)))
    config = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "key.pub")
    config.verify(tmp_path / "m", tmp_path / "m.sig")


def test_without_cryptography_it_is_said_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for call in (lambda: generate(tmp_path / "k"), lambda: private_key(tmp_path / "k")):
        with pytest.raises(MissingExtraError, match=r"bitwright\[signing\]"):
            call()
    (tmp_path / "pub").write_bytes(KEY)
    with pytest.raises(MissingExtraError, match=r"bitwright\[signing\]"):
        Trust.load(tmp_path / "pub")


def test_signatures_are_read_without_cryptography():
    """`bitwright inspect` names the key of a signature, and imports nothing for that."""
    code = "import sys; sys.modules['cryptography'] = None; import bitwright.signatures, bitwright.cli.inspect"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
