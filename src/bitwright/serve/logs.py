"""Logs as lines of JSON on stderr: one for each request, one for each thing that happens to the server or a model."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("bitwright.serve")
_FIELDS = "fields"


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, event, and what the event is about."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, _FIELDS, {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log(event: str, level: int = logging.INFO, exc_info: bool = False, **fields: object) -> None:
    """Write a line, if the level is on."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, exc_info=exc_info, extra={_FIELDS: fields})


def configure(level: str) -> None:
    """Send this server's lines, and uvicorn's warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for logger, its_level in ((LOGGER, level.upper()), (logging.getLogger("uvicorn"), "WARNING")):
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(its_level)
