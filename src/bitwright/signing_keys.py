"""Keys that sign artifacts: ECDSA, in PEM. A public key may say in front of its block until when it is trusted:

    Expires: 2027-06-30
    -----BEGIN PUBLIC KEY-----

That is a day of UTC, the last on which it counts. Text in front of a block is no part of the key: other programs pass over it.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bitwright.errors import MissingExtraError, SignatureError
from bitwright.files import reason, write_new

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

PUBLIC_SUFFIX = ".pub"
MAX_BYTES = 2**20
"""The most bytes that a signature or a file of keys may have."""
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_PEM_END = b"-----END PUBLIC KEY-----"
_EXPIRES = re.compile(rb"^[ \t]*Expires[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class PublicKey:
    """A key whose signatures are believed, up to and with the day `expires`; None: for ever."""

    key: "EllipticCurvePublicKey"
    expires: date | None = None


def today() -> date:
    """The day, in UTC, that expiry is compared with."""
    return datetime.now(UTC).date()


def day(text: str, where: str) -> date:
    """A day written as 2027-06-30. SignatureError, which names `where`, for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError as error:
        raise SignatureError(f"{where}: expected a day such as 2027-06-30, found {text!r:.100}") from error


def fingerprint(key: "EllipticCurvePublicKey") -> str:
    """The name of a key, in hex: the SHA-256 of its PEM."""
    return hashlib.sha256(_pem(key)).hexdigest()


def generate(path: Path, password: bytes | None = None, expires: date | None = None) -> str:
    """Write a new key, P-256, to `path`, readable by its owner alone, and its public half to `path`.pub; its fingerprint.

    The public half says until which day it is to be trusted, where that is given.

    Raises:
        SignatureError: one of the files is there already, or cannot be written.
    """
    expect_cryptography()
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    public = Path(f"{path}{PUBLIC_SUFFIX}")
    key = ec.generate_private_key(ec.SECP256R1())
    locked = s.NoEncryption() if password is None else s.BestAvailableEncryption(password)
    try:
        for there in filter(os.path.lexists, (path, public)):
            raise SignatureError(f"{there} is there already, and a key is never replaced; choose another path")
        until = b"" if expires is None else b"Expires: %b\n" % expires.isoformat().encode()
        write_new(public, until + _pem(key.public_key()), 0o666)
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
    expect_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = read_limited(path, "the key")
    if b"PUBLIC KEY" in data and b"PRIVATE KEY" not in data:
        raise SignatureError(
            f"{path} holds a public key; expected the private one, which keygen writes beside its .pub"
        )
    try:
        key = serialization.load_pem_private_key(data, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            f"{path}: expected a private key in PEM, and its password if it has one: {error}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise SignatureError(f"{path}: {_expected_curve(key)}")
    return key


def public_keys(data: bytes, where: str) -> list[PublicKey]:
    """The keys in the bytes of a file of PEM, each with the day in front of it. SignatureError where there are none."""
    expect_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if b"PRIVATE KEY" in data:
        raise SignatureError(f"{where} holds a private key; expected the public one, which keygen writes as FILE.pub")
    keys = []
    *pieces, tail = data.split(_PEM_END)
    for piece in (*pieces, tail):
        said = [line for line in piece.splitlines() if b"expires" in line.lower()]
        if len(said) != (0 if piece is tail else len(_EXPIRES.findall(piece))):
            found = said[0].decode(errors="replace")
            raise SignatureError(
                f"{where}: expected a line such as 'Expires: 2027-06-30' in front of a key, found {found!r:.100}"
            )
    for piece in pieces:
        try:
            key = serialization.load_pem_public_key(piece + _PEM_END + b"\n")
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SignatureError(f"{where}: expected public keys in PEM: {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
            raise SignatureError(f"{where}: {_expected_curve(key)}")
        keys.append(PublicKey(key, _expires(piece, where)))
    if not keys:
        raise SignatureError(f"{where}: expected public keys in PEM, found none; bitwright keygen makes one")
    return keys


def _expires(piece: bytes, where: str) -> date | None:
    """The day that stands in front of a key's block; of several the first to come."""
    days = [day(text.strip().decode(errors="replace"), f"{where}: Expires") for text in _EXPIRES.findall(piece)]
    return min(days, default=None)


def _expected_curve(key: object) -> str:
    found = getattr(getattr(key, "curve", None), "name", type(key).__name__.removeprefix("_"))
    return f"expected a key of one of the curves {', '.join(_HASHES)}, found {found}; bitwright keygen makes one"


def hash_of(key: "EllipticCurvePublicKey") -> "HashAlgorithm":
    """What a key's curve is signed with, by the format."""
    from cryptography.hazmat.primitives import hashes

    found: HashAlgorithm = getattr(hashes, _HASHES[key.curve.name])()
    return found


def _pem(key: "EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    return key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)


def expect_cryptography() -> None:
    """MissingExtraError where it is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("cryptography", "signing") from error


def read_limited(path: Path, what: str) -> bytes:
    """A file of at most MAX_BYTES; SignatureError where it is larger or cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise SignatureError(f"{path} is no file; expected {what}")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SignatureError(f"cannot read {what}, {path}: {reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise SignatureError(f"{path} has more than {MAX_BYTES} bytes, so it is not {what}")
    return data
