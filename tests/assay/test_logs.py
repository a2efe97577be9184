"""Lines of the log, for machines and for people."""

import json
import logging
import logging.config
import sys
from typing import Any

import pytest

from assay.logs import REQUEST_ID, JsonLines, TextLines, configuration
from assay.settings import Settings

FORGED = "x\r\n2026-01-01 error api: forged\x1b[2J\u2028y\x85z"


def record(message: str = "said", **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "api.access",
            "levelno": logging.INFO,
            "levelname": "INFO",
            "msg": message,
            "created": 1_767_225_600.25,
            **more,
        }
    )


def raised(error: Exception) -> Any:
    try:
        raise error
    except type(error):
        return sys.exc_info()


def test_a_line_is_an_object() -> None:
    """With what was given as `extra`, and the request that is worked on."""
    token = REQUEST_ID.set("abc")
    try:
        line = JsonLines().format(record("took %s", args=("long",), status=200, user_id=None))
    finally:
        REQUEST_ID.reset(token)
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.250+00:00",
        "level": "info",
        "logger": "api.access",
        "message": "took long",
        "request_id": "abc",
        "status": 200,
        "user_id": None,
    }


def test_an_exception_is_part_of_its_line() -> None:
    line = JsonLines().format(record(exc_info=raised(ZeroDivisionError(FORGED))))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert "ZeroDivisionError" in json.loads(line)["error"]


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_b46_nobody_writes_a_line_of_his_own(formatter: logging.Formatter) -> None:
    """Whatever would end a line or change the terminal is escaped, also in extra fields."""
    line = formatter.format(record(FORGED, address=FORGED))
    assert len(line.splitlines()) == 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)


def test_text_is_for_people() -> None:
    """The lines of a traceback are indented: none can look like a line of the log."""
    said = TextLines().format(record(status=200, exc_info=raised(ValueError(FORGED))))
    first, *rest = said.split("\n")
    assert first == "2026-01-01T00:00:00.250+00:00 info api.access: said status=200"
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("log_format", "is_terminal", "formatter"),
    [
        (None, True, TextLines),
        (None, False, JsonLines),
        ("json", True, JsonLines),
        ("text", False, TextLines),
    ],
)
def test_a_terminal_gets_text(
    monkeypatch: pytest.MonkeyPatch, log_format: Any, is_terminal: bool, formatter: type
) -> None:
    """Unless the settings say otherwise."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    made = configuration(Settings(log_format=log_format))
    assert made["formatters"]["lines"]["()"] is formatter
