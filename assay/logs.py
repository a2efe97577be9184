"""The lines of the log: JSON for machines, text for a terminal; one line each, whatever is said."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from assay.settings import Settings

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is worked on; every line that is logged meanwhile has it."""

_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
# The controls of ASCII and of Latin-1, and the two separators that end lines too.
_CONTROLS = {c: repr(chr(c))[1:-1] for c in (*range(32), *range(127, 160), 0x2028, 0x2029)}
_JSON = json.JSONEncoder(default=str)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What a line says beside its message: the request, and what was given as `extra`."""
    if request_id := REQUEST_ID.get():
        yield "request_id", request_id
    yield from ((name, value) for name, value in vars(record).items() if name not in _OWN)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _error(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""


class JsonLines(logging.Formatter):
    """One object a line, in ASCII: JSON escapes whatever would end it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **dict(_fields(record)),
        }
        if error := _error(record):
            line["error"] = error
        return _JSON.encode(line)


class TextLines(logging.Formatter):
    """For people; the lines of a traceback are indented, so that none of it looks like another."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _fields(record))
        said = f"{record.levelname.lower()} {record.name}: {record.getMessage()}{fields}"
        error = [f"    {line}" for line in _error(record).splitlines()]
        lines = (line.translate(_CONTROLS) for line in (f"{_time(record)} {said}", *error))
        return "\n".join(lines)


def configuration(settings: Settings) -> dict[str, Any]:
    """For `logging.config`: all goes to stderr, uvicorn's too, but not its own line per request."""
    kind = settings.log_format or ("text" if sys.stderr.isatty() else "json")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": JsonLines if kind == "json" else TextLines}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "api": {"level": "INFO"},
            "assay": {"level": "INFO"},
            "uvicorn.access": {"level": "CRITICAL", "propagate": False},
        },
    }
