"""Logs as lines of JSON on stderr: one for each request, one for each thing that happens to the server or a model.

Lines are written directly: through `logging`, a request's line would cost more than its answer.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NAMES = {number: name for name, number in LEVELS.items()}
_encode = json.JSONEncoder(default=str).encode
_least = logging.CRITICAL  # nothing is written before `configure`: a program that imports this has logs of its own


def log(event: str, level: int = logging.INFO, fault: BaseException | None = None, **fields: object) -> None:
    """Write a line, if the level is on: the time, the level, the event, what it is about, and a fault's traceback."""
    if level < _least:
        return
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line: dict[str, Any] = {"time": time, "level": _NAMES[level], "event": event, **fields}
    if fault is not None:
        line["traceback"] = "".join(traceback.format_exception(fault))
    try:
        sys.stderr.write(_encode(line) + "\n")
        sys.stderr.flush()
    except OSError:  # whoever read the log is gone, or the disk is full: serving goes on
        return


def configure(level: str) -> None:
    """Write lines of this level and above, and the warnings of all libraries: a reader of the log finds nothing but JSON."""
    global _least
    _least = LEVELS[level]
    root = logging.getLogger()
    root.handlers[:] = [_Lines()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


class _Lines(logging.Handler):
    """Writes records of `logging` as such lines."""

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        log(record.getMessage(), min(record.levelno, logging.ERROR), fault, logger=record.name)
