"""Signatures of artifacts: who vouches for the bytes of a file. A signature lies beside it, as FILE.sig.

The format is that of the OpenSSF's model-signing 1.0 with keys, so that each verifies what the other has signed:

    bundle      sigstore's, JSON: which key (the SHA-256 of its PEM), and an envelope
    envelope    DSSE: a statement and its signature, ECDSA over  "DSSEv1 28 application/vnd.in-toto+json" SIZE STATEMENT
    statement   in-toto's, JSON: a file of this SHA-256

Of a bundle nothing is believed but what a trusted key has signed. What is signed are the bytes, not their name: a signature
does not tell whether a file is the newest, or the one that somebody meant.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitwright.errors import MissingExtraError, SignatureError
from bitwright.files import reason, write_new
from bitwright.json_keys import each_key_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

SUFFIX, PUBLIC_SUFFIX = ".sig", ".pub"
MAX_BYTES = 2**20
"""The most bytes that a signature or a file of keys may have."""
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_PEM_END = b"-----END PUBLIC KEY-----"


@dataclass(frozen=True)
class Signature:
    """A signature that was verified.

    Attributes:
        key: which key has signed: the SHA-256 of its PEM, in hex.
        sha256: of the bytes that it vouches for, in hex.
    """

    key: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return {"key": self.key, "sha256": self.sha256}


@dataclass(frozen=True)
class Trust:
    """The public keys whose signatures are believed, by what `Signature.key` says."""

    keys: Mapping[str, "EllipticCurvePublicKey"]
    where: str = "the trusted keys"

    @classmethod
    def load(cls, *paths: str | os.PathLike[str]) -> "Trust":
        """Read files of public keys in PEM, one or several in each.

        Raises:
            SignatureError: a file cannot be read, or holds something else.
            MissingExtraError: the package cryptography is not installed.
        """
        keys = [key for path in paths for key in _public_keys(_read(Path(path), "the keys"), str(path))]
        return cls({fingerprint(key): key for key in keys}, ", ".join(str(path) for path in paths))

    def verify(self, data: bytes, bundle: bytes, where: str = "the signature") -> Signature:
        """Check that a key that is trusted has signed these bytes; `where` names the bundle in errors.

        Raises:
            SignatureError: it has not, with what was found in place of that.
        """
        hint, statement, signed = _opened(bundle, where)
        key = self.keys.get(hint)
        if key is None:
            raise SignatureError(
                f"{where}: it is signed by the key {hint[:16]}, which is none of {self.where}; expected one of "
                f"{', '.join(known[:16] for known in self.keys)}"
            )
        if not _has_signed(key, statement, signed):
            raise SignatureError(f"{where}: it is false: the key {hint[:16]} has not signed what it says")
        found, vouched = hashlib.sha256(data).hexdigest(), _vouched(statement, where)
        if found != vouched:
            raise SignatureError(
                f"{where}: it is of other bytes: it vouches for the SHA-256 {vouched[:16]}..., and the file has "
                f"{found[:16]}...; the file has changed since, or the signature belongs to another"
            )
        return Signature(hint, vouched)

    def verify_file(self, data: bytes, path: str | os.PathLike[str], signature: Path | None = None) -> Signature:
        """The same of the bytes of the file `path`, by the signature beside it, or `signature`."""
        beside = signature_path(path) if signature is None else signature
        return self.verify(data, _read(beside, f"the signature of {os.fspath(path)}"), str(beside))


def signature_path(path: str | os.PathLike[str]) -> Path:
    """Where the signature of a file lies."""
    return Path(os.fspath(path) + SUFFIX)


def claimed_key(path: Path) -> str:
    """Which key the signature in a file says that it is of: unverified. SignatureError where it is no signature."""
    return _opened(_read(path, "the signature"), str(path))[0]


def fingerprint(key: "EllipticCurvePublicKey") -> str:
    """The name of a key, in hex: the SHA-256 of its PEM."""
    return hashlib.sha256(_pem(key)).hexdigest()


def sign(data: bytes, name: str, key: "EllipticCurvePrivateKey") -> bytes:
    """A signature of the bytes of a file: the contents of NAME.sig."""
    from cryptography.hazmat.primitives.asymmetric import ec

    digest = hashlib.sha256(data)
    files = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    resource = {"name": ".", "algorithm": "sha256", "digest": digest.hexdigest()}
    subject = {"name": name, "digest": {"sha256": hashlib.sha256(digest.digest()).hexdigest()}}
    statement = json.dumps(
        {
            "_type": _STATEMENT,
            "subject": [subject],
            "predicateType": _PREDICATE,
            "predicate": {"serialization": files, "resources": [resource]},
        },
        indent=2,
    ).encode()
    signed = key.sign(_encoded(statement), ec.ECDSA(_hash_of(key.public_key())))
    envelope = {
        "payload": base64.b64encode(statement).decode(),
        "payloadType": _PAYLOAD,
        "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": fingerprint(key.public_key())}, "tlogEntries": []}
    return json.dumps({"mediaType": _BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()


def generate(path: Path, password: bytes | None = None) -> str:
    """Write a new key, P-256, to `path`, readable by its owner alone, and its public half to `path`.pub; its fingerprint.

    Raises:
        SignatureError: one of the files is there already, or cannot be written.
    """
    _expect_cryptography()
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    public = Path(f"{path}{PUBLIC_SUFFIX}")
    key = ec.generate_private_key(ec.SECP256R1())
    locked = s.NoEncryption() if password is None else s.BestAvailableEncryption(password)
    try:
        for there in filter(os.path.lexists, (path, public)):
            raise SignatureError(f"{there} is there already, and a key is never replaced; choose another path")
        write_new(public, _pem(key.public_key()), 0o666)
        try:
            write_new(path, key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked), 0o600)
        except (OSError, ValueError):
            public.unlink()
            raise
    except (OSError, ValueError) as error:
        raise SignatureError(f"cannot write the key {path}: {reason(error)}") from error
    return fingerprint(key.public_key())


def private_key(path: Path, password: bytes | None = None) -> "EllipticCurvePrivateKey":
    """Read a private key in PEM.

    Raises:
        SignatureError: there is none, it is of another kind, or the password is not its own.
        MissingExtraError: the package cryptography is not installed.
    """
    _expect_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = _read(path, "the key")
    try:
        key = serialization.load_pem_private_key(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            f"{path}: expected a private key in PEM, and its password if it has one: {error}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise SignatureError(f"{path}: {_expected_curve(key)}")
    return key


def _public_keys(data: bytes, where: str) -> "Sequence[EllipticCurvePublicKey]":
    _expect_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if b"PRIVATE KEY" in data:
        raise SignatureError(f"{where} holds a private key; expected the public one, which keygen writes as FILE.pub")
    keys = []
    for piece in data.split(_PEM_END)[:-1]:
        try:
            key = serialization.load_pem_public_key(piece + _PEM_END + b"\n")
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SignatureError(f"{where}: expected public keys in PEM: {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
            raise SignatureError(f"{where}: {_expected_curve(key)}")
        keys.append(key)
    if not keys:
        raise SignatureError(f"{where}: expected public keys in PEM, found none; bitwright keygen makes one")
    return keys


def _expected_curve(key: object) -> str:
    found = getattr(getattr(key, "curve", None), "name", type(key).__name__.removeprefix("_"))
    return f"expected a key of one of the curves {', '.join(_HASHES)}, found {found}; bitwright keygen makes one"


def _opened(bundle: bytes, where: str) -> tuple[str, bytes, bytes]:
    """What a bundle says, unverified: which key has signed, the statement, and the signature's bytes."""
    try:
        document = json.loads(bundle, object_pairs_hook=each_key_once)
        kind, envelope = document["mediaType"], document["dsseEnvelope"]
        hint = document["verificationMaterial"]["publicKey"]["hint"]
        (signature,) = envelope["signatures"]
        statement, signed = (base64.b64decode(text, validate=True) for text in (envelope["payload"], signature["sig"]))
        if (kind, envelope["payloadType"]) != (_BUNDLE, _PAYLOAD) or not isinstance(hint, str):
            raise ValueError(f"it is of the kind {kind!r:.100}")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise SignatureError(
            f"{where}: expected a signature of a model by a key, as bitwright sign and model_signing write it; {error}"
        ) from error
    return hint, statement, signed


def _vouched(statement: bytes, where: str) -> str:
    """The SHA-256 of the one file that a statement, whose signature is verified, is about."""
    try:
        document = json.loads(statement, object_pairs_hook=each_key_once)
        kinds = document["_type"], document["predicateType"]
        (resource,) = document["predicate"]["resources"]
        digest = str(resource["digest"])
        if kinds == (_STATEMENT, _PREDICATE) and (resource["name"], resource["algorithm"]) == (".", "sha256"):
            return digest
        found = f"{resource['name']!r:.100} by {resource['algorithm']!r:.100}"
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"
    raise SignatureError(
        f"{where}: expected a statement about the SHA-256 of one file; found {found}; sign the file, not its folder"
    )


def _has_signed(key: "EllipticCurvePublicKey", statement: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key.verify(signed, _encoded(statement), ec.ECDSA(_hash_of(key)))
    except InvalidSignature:
        return False
    return True


def _encoded(statement: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(_PAYLOAD), _PAYLOAD.encode(), len(statement), statement)


def _hash_of(key: "EllipticCurvePublicKey") -> "HashAlgorithm":
    from cryptography.hazmat.primitives import hashes

    found: HashAlgorithm = getattr(hashes, _HASHES[key.curve.name])()
    return found


def _pem(key: "EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    return key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)


def _expect_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("cryptography", "signing") from error


def _read(path: Path, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SignatureError(f"cannot read {what}, {path}: {reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise SignatureError(f"{path} has more than {MAX_BYTES} bytes, so it is not {what}")
    return data
