"""Ctrl-C between two steps, where all is of a piece and can be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """Whether Ctrl-C was pressed. A second one ends the process wherever it is."""

    asked = False

    def hear(self, number: int, frame: Any) -> None:
        """SIGINT came."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def held_back() -> Iterator[Interrupts]:
    """Have Ctrl-C wait until somebody looks; not where it is ignored or heard by others, nor beside the main thread."""
    found, before = Interrupts(), signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield found
        return
    signal.signal(signal.SIGINT, found.hear)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
