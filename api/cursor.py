"""Keys in paths, and pages: `limit` and the opaque `cursor` that continues after a row."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from fastapi import Query, Request
from pydantic import TypeAdapter

from api.body import parse_json
from api.errors import Fault, Problem, invalid
from api.schemas import base_type
from assay.catalog import Column

MAX_LIMIT = 200
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}
_IN_QUOTES = ("text", "uuid", "date", "timestamptz")

# Text, and judged by `read_page`: FastAPI would go on to the next dependency after a wrong one.
Limit = Annotated[
    str,
    Query(
        default_factory=lambda: str(_LIMIT["default"]),
        description="Rows on a page.",
        json_schema_extra=_LIMIT,
    ),
]
Cursor = Annotated[str, Query(description="`next` of the page before; empty for the first page.")]


@dataclass(frozen=True)
class Page:
    """Which rows: at most `limit`, after the row with these key values (as text), if any."""

    limit: int
    after: tuple[str, ...]


def read_page(
    request: Request, limit: str, cursor: str, types: Collection[TypeAdapter[Any]]
) -> Page:
    """The page that a query asks for; its key has values of these types.

    Raises:
        Problem: 422.
    """
    check_parameters(request, "limit", "cursor")
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= MAX_LIMIT:
        _refuse("limit", f"The limit is a whole number from 1 to {MAX_LIMIT}.")
    return Page(int(limit), _after(cursor, types) if cursor else ())


def check_parameters(request: Request, *known: str) -> None:
    """Raises `Problem` 422 for a parameter in the query that is unknown or there twice."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            _refuse(name, "There is no such parameter.")
        if name in seen:
            _refuse(name, "This parameter is there twice.")
        seen.add(name)


def page_body(items: str, last: str | None) -> bytes:
    """A page in JSON; `last` is a JSON array of the last row's key values if more rows follow."""
    following = None if last is None else urlsafe_b64encode(last.encode()).decode().rstrip("=")
    return f'{{"items":{items},"next":{json.dumps(following)}}}'.encode()


def read_key(column: Column, adapter: TypeAdapter[Any], text: str) -> str:
    """A key in a path, as text for PostgreSQL.

    Raises:
        Problem: 422 where it cannot be a value of the column.
    """
    try:
        value = text if base_type(column.data_type) in _IN_QUOTES else parse_json(text)
        adapter.validate_python(value)
        if "\0" in text.encode().decode():  # which fails for half of a surrogate pair
            raise ValueError  # noqa: TRY301 - it is refused like the others
    except (Problem, ValueError):
        _refuse("key", f"{column.title} has a wrong value.")
    return text


def _after(cursor: str, types: Collection[TypeAdapter[Any]]) -> tuple[str, ...]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = parse_json(urlsafe_b64decode(padded).decode())
        if not isinstance(values, list):
            raise TypeError  # noqa: TRY301 - it is refused like the others
        for value, adapter in zip(values, types, strict=True):
            adapter.validate_python(value)
    except (Problem, TypeError, ValueError):
        _refuse("cursor", "The cursor is not one that a page gave.")
    return tuple(_text(value) for value in values)


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _refuse(parameter: str, detail: str) -> NoReturn:
    raise invalid(Fault(detail, parameter=parameter))
