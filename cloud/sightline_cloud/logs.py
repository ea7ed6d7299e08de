"""Structured logs: one JSON object a line on stderr. Codes, keys and pictures are never in them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("sightline")
ENCODE = json.JSONEncoder(default=str, ensure_ascii=False).encode


class JsonFormatter(logging.Formatter):
    """Formats a record with its `fields` as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return ENCODE(line)


def configure(level: int = logging.INFO) -> None:
    """Send the service's log, and the web server's, to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("sightline", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level if name == "sightline" else logging.WARNING)


def log(event: str, **fields: Any) -> None:
    """Log `event` with fields."""
    if LOGGER.isEnabledFor(logging.INFO):
        # Every request logs. `LOGGER.info` would look for the line of code that called it, which nobody is told.
        record = logging.LogRecord(LOGGER.name, logging.INFO, "", 0, event, None, None)
        record.__dict__["fields"] = fields
        LOGGER.handle(record)


def warn(event: str, **fields: Any) -> None:
    """Log what an operator should look at, although everything works."""
    LOGGER.warning(event, extra={"fields": fields})


def log_failure(event: str, error: BaseException, **fields: Any) -> None:
    """Log an unexpected error with its traceback, for operators only."""
    LOGGER.error(event, exc_info=error, extra={"fields": fields})
