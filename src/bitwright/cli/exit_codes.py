"""What exit code an error ends a command with.

2, wrong usage: what was asked for cannot be, before anything ran: an option, a recipe, a model, images, labels or a file that
is missing, of another kind, or does not fit the rest.
1: it ran, and the answer is no (a gate fails, a model only guesses, nobody vouches for a file, a file is no sound artifact, no
model keeps the budget), or it failed on the way (the disk is full or read-only, a training diverges).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from bitwright.cli.output import report
from bitwright.errors import (
    AnotherKindError,
    AuditError,
    BitwrightError,
    CaptureError,
    GateError,
    LabelError,
    ModelError,
    PreprocessError,
    RecipeError,
    ServeError,
    SignatureError,
    SourceError,
)

NO, USAGE = 1, 2
_USAGE = (
    AnotherKindError,
    AuditError,
    CaptureError,
    GateError,
    LabelError,
    ModelError,
    PreprocessError,
    RecipeError,
    ServeError,
    SourceError,
)
_NAMED_WRONGLY = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""What the system says of a path that is not there, or not what it was given for."""


class MisuseError(click.ClickException):
    """Wrong usage that is no matter of how the command is spelled: said in a line, without it."""

    exit_code = USAGE

    def show(self, file: IO[Any] | None = None) -> None:
        report(f"error: {self.message}")


@contextmanager
def misuse() -> Iterator[None]:
    """What goes wrong in this block is wrong usage, whatever kind of error it is, unless the system failed."""
    try:
        yield
    except BitwrightError as error:
        if _by_the_system(error) == NO:
            raise
        raise MisuseError(str(error)) from error


def exit_code(error: BaseException) -> int:
    """The exit code for an error: by what the system said, if that is the cause, else by its kind."""
    if isinstance(error, SignatureError):
        return NO  # a signature that is missing is an answer
    found = _by_the_system(error)
    return (USAGE if isinstance(error, _USAGE) else NO) if found is None else found


def _by_the_system(error: BaseException) -> int | None:
    """The exit code by the error of the system behind an error; None where there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:  # those without are ours
            return USAGE if isinstance(cause, _NAMED_WRONGLY) else NO
        cause = cause.__cause__
    return None
