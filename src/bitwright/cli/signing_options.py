"""Options about signatures, and what a command makes of them."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from bitwright.cli.exit_codes import misuse
from bitwright.errors import SignatureError
from bitwright.files import read_bytes
from bitwright.signatures import Signature, Trust, claimed_key, signature_path
from bitwright.signing_keys import today

trust_option = click.option(
    "--trust",
    multiple=True,
    metavar="KEYS",
    type=click.Path(path_type=Path),
    help="A file of public keys whose signatures are believed; may be repeated.",
)
password_option = click.option(
    "--password-file", type=click.Path(path_type=Path), help="Holds the password of the private key."
)


def _last_day(_context: click.Context, _parameter: click.Parameter, given: datetime | None) -> date | None:
    if given is not None and given.date() < today():
        raise click.BadParameter(f"expected a day to come, found {given.date()}, and it is {today()}")
    return given and given.date()


expires_option = click.option(
    "--expires",
    metavar="YYYY-MM-DD",
    type=click.DateTime(["%Y-%m-%d"]),
    callback=_last_day,
    help="The last day, of UTC, on which it counts; else it counts for ever.",
)


def password_in(file: Path | None) -> bytes | None:
    """The first line of a file; None where there is no file. SignatureError where it cannot be read or is empty."""
    if file is None:
        return None
    try:
        password = read_bytes(file).partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise SignatureError(f"cannot read the password in {file}: {error.strerror}") from error
    if not password:
        raise SignatureError(f"{file}: expected a password in its first line, found none")
    return password


def checked(data: bytes, path: Path, trust: tuple[Path, ...]) -> Signature | SignatureError | None:
    """Who vouches for the bytes of the file `path`; why nobody does; None where no keys are trusted. SignatureError where the
    keys cannot be read."""
    if not trust:
        return None
    with misuse():
        keys = Trust.load(*trust)
    try:
        return keys.verify_file(data, path)
    except SignatureError as error:
        return error


def signature_state(data: bytes, path: Path, trust: tuple[Path, ...]) -> dict[str, Any]:
    """What is to be said of the signature of a file, as plain data; `verified` is None where no keys are trusted."""
    place = signature_path(path)
    found = checked(data, path, trust)
    if isinstance(found, Signature):
        return {"path": str(place), "key": found.key, "verified": True, "reason": None}
    state: dict[str, Any] = {"path": None, "key": None, "verified": None if found is None else False}
    state["reason"] = None if found is None else str(found)
    if place.exists():
        state["path"] = str(place)
        try:
            state["key"] = claimed_key(place)
        except SignatureError as error:
            state["reason"] = state["reason"] or str(error)
    return state


def signature_in_words(state: dict[str, Any]) -> str:
    """The same as a line."""
    if state["verified"]:
        return f"{state['path']}, verified, by the key {state['key']}"
    if state["verified"] is False:
        return f"NOT VERIFIED: {state['reason']}"
    if state["path"] is None:
        return "none"
    if state["key"] is None:
        return f"unreadable: {state['reason']}"
    return f"{state['path']}, not verified (--trust KEYS does), says that it is by the key {state['key']}"
