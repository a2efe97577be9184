"""One page of an answer: its records as they were written, and the token of the next."""

import json
import re
from dataclasses import dataclass
from typing import Any

_BLANK = re.compile(r"[ \t\n\r]*")


def _refuse(constant: str) -> None:
    """`NaN` and the like, which Python takes and JSON does not have."""
    raise ValueError(constant)


# Numbers are not computed: a record may have one with more digits than Python takes.
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)
# RFC 6750, 2.1
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class PageError(Exception):
    """An answer that is no page: cut off, or of another shape."""


@dataclass(frozen=True)
class Page:
    """What an answer says."""

    records: tuple[str, ...]
    """Each the text of a JSON value. It is not written anew: that would round numbers."""
    next_token: str | None


def read_page(text: str, records: str | None, next_token: str | None) -> Page:
    """Read an answer.

    Args:
        text: The answer.
        records: The field that has the list of records; None where the answer is the list.
        next_token: Where the token of the next page is, with dots; None where there is none.

    Raises:
        PageError: It is not JSON, or has no list of records, or does not say what comes next: a
            listing is only whole where the API says so.
    """
    try:
        found, rest = _read(text, records)
    except (ValueError, IndexError, RecursionError):
        raise PageError("the answer is not the JSON of a page") from None
    if found is None:
        raise PageError(f"the answer has no {records!r}")
    is_last = next_token is None or records is None
    return Page(tuple(found), None if is_last else _token(rest, next_token or ""))


def read_bearer(text: str) -> str:
    """The token in the answer to a login.

    Raises:
        PageError: It has none.
    """
    try:
        token = json.loads(text)["access_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str) or not _BEARER.fullmatch(token):
        raise PageError("the login was answered without an access_token that can be used")
    return token


def _read(text: str, records: str | None) -> tuple[list[str] | None, dict[str, Any]]:
    """The records, and what else the answer says."""
    found, rest = None, {}
    place = _blank(text, 0)
    if records is None:
        found, place = _elements(text, place)
    else:
        place = _expect(text, place, "{")
        while text[place] != "}":
            name, place = _DECODER.raw_decode(text, place)
            place = _expect(text, place, ":")
            if name == records:
                found, place = _elements(text, place)
            else:
                rest[name], place = _DECODER.raw_decode(text, place)
            place = _next(text, place, "}")
        place += 1
    if _blank(text, place) != len(text):
        raise ValueError
    return found, rest


def _token(rest: dict[str, Any], path: str) -> str | None:
    value: Any = rest
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise PageError(f"the answer has no {path!r}")
        value = value[name]
    return None if value is None else str(value)


def _elements(text: str, place: int) -> tuple[list[str], int]:
    """The texts of the values in a list, and where it ends."""
    found = []
    place = _expect(text, place, "[")
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        found.append(text[place:end])
        place = _next(text, end, "]")
    return found, place + 1


def _next(text: str, place: int, closing: str) -> int:
    """Where the next member begins, or the closing bracket is."""
    place = _blank(text, place)
    if text[place] == closing:
        return place
    place = _expect(text, place, ",")
    if text[place] == closing:
        raise ValueError
    return place


def _expect(text: str, place: int, sign: str) -> int:
    place = _blank(text, place)
    if text[place] != sign:
        raise ValueError
    return _blank(text, place + 1)


def _blank(text: str, place: int) -> int:
    blank = _BLANK.match(text, place)
    return blank.end() if blank else place
