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
    """Have Ctrl-C wait until somebody looks; in the main thread, for Python has no handlers elsewhere."""
    found = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = signal.signal(signal.SIGINT, found.hear)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
