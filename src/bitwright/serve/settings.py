"""What a server may be told, and how much it takes at most."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bitwright.ahead import usable_processors
from bitwright.errors import ServeError
from bitwright.files import read_bytes
from bitwright.signatures import Trust

MAX_HEADER_BYTES = 32 * 1024
HEADER_SECONDS = 10.0
"""The seconds from a connection's first byte, or its opening, to the end of the headers."""
WRITE_SECONDS = 30.0
"""How long a client may leave an answer unread."""
MAX_CONNECTIONS = 1024
MAX_FILES = 256
"""Image files of one request to /classify."""
MAX_TOP = 1000
TOKEN_VARIABLE = "BITWRIGHT_TOKEN"
NAME_SUFFIXES = (".bw.safetensors", ".safetensors")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        threads: of each engine, and how many decode pictures; None: all that this process may use.
        batch: images that run through an engine at once, at most, where requests are put together.
        queue: images that may wait in front of an engine; what comes then is refused with 429.
        patience_seconds: the longest that a request may wait for its turn; it is refused with 429 then.
        max_body: bytes of a request.
        max_held: bytes of all requests that are being read or answered, together.
        body_seconds: in which a request's body must have arrived.
        drain_seconds: how long after SIGTERM requests are still taken, each answered with `Connection: close`.
        grace_seconds: how long then the last answers may take.
        reload_seconds: between two looks at the files; 0: they are read once.
        check_weights: in so many calls each engine has compared all its packed weights with their checksums; None: never.
        trust: keys; a file is served only if one of them has signed it. None: any file is.
        token: what clients must send as `Authorization: Bearer TOKEN`; None: nothing.
    """

    threads: int | None = None
    batch: int = 64
    queue: int = 512
    patience_seconds: float = 2.0
    max_body: int = 16 * 2**20
    max_held: int = 256 * 2**20
    body_seconds: float = 20.0
    drain_seconds: float = 1.0
    grace_seconds: float = 30.0
    reload_seconds: float = 2.0
    check_weights: int | None = None
    trust: Trust | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def workers(self) -> int:
        """How many threads decode pictures."""
        return usable_processors() if self.threads is None else self.threads


def named(artifacts: Sequence[str]) -> dict[str, Path]:
    """The path of each model by its name: given as NAME=PATH, else the file's name without its suffix.

    Raises:
        ServeError: a name is empty, has a character that does not belong in a URL, or is given twice.
    """
    paths: dict[str, Path] = {}
    for text in artifacts:
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            path = text
            file = Path(text).name
            name = next((file.removesuffix(s) for s in NAME_SUFFIXES if file.endswith(s)), file)
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
            raise ServeError(
                f"{text}: a model's name is part of its address, of letters, digits, '-', '_' and '.'; found {name!r}; "
                "give one with NAME=PATH"
            )
        if name in paths:
            raise ServeError(f"{text}: there is a model {name!r} already, {paths[name]}; give another with NAME=PATH")
        paths[name] = Path(path)
    if not paths:
        raise ServeError("expected an artifact to serve, found none")
    return paths


def token_of(file: Path | None) -> str | None:
    """The token in a file, else in $BITWRIGHT_TOKEN; None where neither is given.

    Raises:
        ServeError: the file cannot be read, or the token is empty or has a space or another character that headers lack.
    """
    if file is not None:
        try:
            text, where = read_bytes(file).decode().strip(), str(file)
        except (OSError, ValueError) as error:
            raise ServeError(f"cannot read the token in {file}: {getattr(error, 'strerror', None) or error}") from error
    elif (variable := os.environ.get(TOKEN_VARIABLE)) is not None:
        text, where = variable, f"${TOKEN_VARIABLE}"
    else:
        return None
    if not text or not all("!" <= c <= "~" for c in text):
        raise ServeError(f"{where}: expected a token of printable ASCII without spaces, found {len(text)} characters")
    return text
