"""Signatures of artifacts: who vouches for the bytes of a file. A signature lies beside it, as FILE.sig.

The format is that of the OpenSSF's model-signing 1.0 with keys, so that each verifies what the other has signed:

    bundle      sigstore's, JSON: which key (the SHA-256 of its PEM), and an envelope
    envelope    DSSE: a statement and its signature, ECDSA over  "DSSEv1 28 application/vnd.in-toto+json" SIZE STATEMENT
    statement   in-toto's, JSON: a file of this SHA-256; and, where the signer says so, `expires`, the last day that it holds

Of a bundle nothing is believed but what a trusted key has signed. What is signed are the bytes, not their name: a signature
does not tell whether a file is the newest, or the one that somebody meant. Days are compared with this machine's clock.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitwright.errors import SignatureError
from bitwright.json_keys import each_key_once
from bitwright.signing_keys import PublicKey, day, fingerprint, hash_of, public_keys, read_limited, today

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

SUFFIX = ".sig"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class Signature:
    """A signature that was verified.

    Attributes:
        key: which key has signed: the SHA-256 of its PEM, in hex.
        sha256: of the bytes that it vouches for, in hex.
        expires: the last day, of UTC, on which signature and key both count; None where neither ends.
    """

    key: str
    sha256: str
    expires: date | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain data."""
        return {"key": self.key, "sha256": self.sha256, "expires": self.expires and self.expires.isoformat()}


@dataclass(frozen=True)
class Trust:
    """The public keys whose signatures are believed, by what `Signature.key` says."""

    keys: Mapping[str, PublicKey]
    where: str = "the trusted keys"

    @classmethod
    def load(cls, *paths: str | os.PathLike[str]) -> "Trust":
        """Read files of public keys in PEM, one or several in each. A key that stands there twice expires on the earlier day.

        Raises:
            SignatureError: a file cannot be read, or holds something else, or none is given.
            MissingExtraError: the package cryptography is not installed.
        """
        if not paths:
            raise SignatureError("expected a file of public keys to trust, found none; keygen writes one")
        keys = [key for path in paths for key in public_keys(read_limited(Path(path), "the keys"), str(path))]
        keys.sort(key=lambda known: known.expires or date.max, reverse=True)
        return cls({fingerprint(known.key): known for known in keys}, ", ".join(str(path) for path in paths))

    def verify(self, data: bytes, bundle: bytes, where: str = "the signature") -> Signature:
        """Check that a key that is trusted has signed these bytes; `where` names the bundle in errors.

        Raises:
            SignatureError: it has not, with what was found in place of that.
        """
        hint, statement, signed = _opened(bundle, where)
        known = self.keys.get(hint)
        if known is None:
            raise SignatureError(
                f"{where}: it is signed by the key {hint[:16]}, which is none of {self.where}; expected one of "
                f"{', '.join(name[:16] for name in self.keys)}"
            )
        if not _has_signed(known.key, statement, signed):
            raise SignatureError(f"{where}: it is false: the key {hint[:16]} has not signed what it says")
        found, (vouched, expires) = hashlib.sha256(data).hexdigest(), _vouched(statement, where)
        if found != vouched:
            raise SignatureError(
                f"{where}: it is of other bytes: it vouches for the SHA-256 {vouched[:16]}..., and the file has "
                f"{found[:16]}...; the file has changed since, or the signature belongs to another"
            )
        _expect_valid(known.expires, f"{where}: the key {hint[:16]}", "sign anew with a newer key, and trust that one")
        _expect_valid(expires, f"{where}: the signature", "ask whoever signed it for a newer one")
        return Signature(hint, vouched, min(filter(None, (known.expires, expires)), default=None))

    def verify_file(self, data: bytes, path: str | os.PathLike[str], signature: Path | None = None) -> Signature:
        """The same of the bytes of the file `path`, by the signature beside it, or `signature`."""
        beside = signature_path(path) if signature is None else signature
        if signature is None and not os.path.exists(beside):
            link = f", it is a link to {os.readlink(beside)}, where nothing is" if os.path.islink(beside) else ""
            raise SignatureError(
                f"{os.fspath(path)} is not signed: there is no {beside}{link}; get it from where the file came from, or, to "
                "vouch for the file yourself: bitwright sign FILE --key KEY"
            )
        return self.verify(data, read_limited(beside, f"the signature of {os.fspath(path)}"), str(beside))


def signature_path(path: str | os.PathLike[str]) -> Path:
    """Where the signature of a file lies."""
    return Path(os.fspath(path) + SUFFIX)


def claimed_key(path: Path) -> str:
    """Which key the signature in a file says that it is of: unverified. SignatureError where it is no signature."""
    return _opened(read_limited(path, "the signature"), str(path))[0]


def sign(data: bytes, name: str, key: "EllipticCurvePrivateKey", expires: date | None = None) -> bytes:
    """A signature of the bytes of a file: the contents of NAME.sig. `expires`: the last day, of UTC, on which it holds."""
    from cryptography.hazmat.primitives.asymmetric import ec

    digest = hashlib.sha256(data)
    files = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    resource = {"name": ".", "algorithm": "sha256", "digest": digest.hexdigest()}
    until = {} if expires is None else {"expires": expires.isoformat()}
    subject = {"name": name, "digest": {"sha256": hashlib.sha256(digest.digest()).hexdigest()}}
    statement = json.dumps(
        {
            "_type": _STATEMENT,
            "subject": [subject],
            "predicateType": _PREDICATE,
            "predicate": {"serialization": files, "resources": [resource], **until},
        },
        indent=2,
    ).encode()
    signed = key.sign(_encoded(statement), ec.ECDSA(hash_of(key.public_key())))
    envelope = {
        "payload": base64.b64encode(statement).decode(),
        "payloadType": _PAYLOAD,
        "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": fingerprint(key.public_key())}, "tlogEntries": []}
    return json.dumps({"mediaType": _BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()


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


def _expect_valid(expires: date | None, what: str, remedy: str) -> None:
    if expires is not None and expires < today():
        raise SignatureError(f"{what} has expired: its last day was {expires}, and it is {today()}; {remedy}")


def _vouched(statement: bytes, where: str) -> tuple[str, date | None]:
    """The SHA-256 of the one file that a statement, whose signature is verified, is about, and the last day that it holds."""
    try:
        document = json.loads(statement, object_pairs_hook=each_key_once)
        kinds = document["_type"], document["predicateType"]
        (resource,) = document["predicate"]["resources"]
        digest = str(resource["digest"])
        if kinds == (_STATEMENT, _PREDICATE) and (resource["name"], resource["algorithm"]) == (".", "sha256"):
            until = document["predicate"].get("expires")
            return digest, None if until is None else day(str(until), f"{where}: expires")
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
        key.verify(signed, _encoded(statement), ec.ECDSA(hash_of(key)))
    except InvalidSignature:
        return False
    return True


def _encoded(statement: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(_PAYLOAD), _PAYLOAD.encode(), len(statement), statement)
