"""`Progress`: whoever waits for a long work hears through it how far it is. One protocol for all of them.

Calibration with its corrections, training, search, sensitivity, evaluation and classification take a `progress=`. The command
line draws bars of it; a notebook or a server may do what it likes.
"""

from typing import Protocol


class Progress(Protocol):
    """Receives how far a work is. Both methods return at once and raise nothing, or the work stops with what they raise."""

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        """`done` of `total` of the step called `what` are done; `details`, if any, print as what is known of it by now."""
        ...

    def say(self, text: str) -> None:
        """Pass on a sentence that the user has to know."""
        ...


class Silent:
    """Ignores all progress."""

    def at(self, what: str, done: float, total: float, details: object = None) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


SILENT = Silent()


class Wordless(Silent):
    """Passes on how far a part of the work is, and not what it says: whoever runs it speaks for the whole."""

    def __init__(self, progress: Progress) -> None:
        self.at = progress.at  # type: ignore[method-assign]
