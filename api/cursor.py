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
from api.value_types import type_adapter
from assay.catalog import Column
from assay.grammar import form_of, read

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
LIMIT = f"Rows on a page; {DEFAULT_LIMIT} where it is not said."
"""A default in the schema is what viewers fill in, and what generated clients send."""


def limit_up_to(maximum: int) -> Any:  # noqa: ANN401 - so FastAPI types it
    """Text, and judged by `read_page`: FastAPI would go on to the next dependency after a fault."""
    schema = {"type": "integer", "minimum": 1, "maximum": maximum}
    return Query(
        default_factory=lambda: str(DEFAULT_LIMIT),
        description=LIMIT,
        json_schema_extra=schema,
    )


Limit = Annotated[str, limit_up_to(MAX_LIMIT)]
CURSOR = {"format": "cursor"}
Cursor = Annotated[
    str,
    Query(
        description="`next` of the page before; empty for the first page.",
        json_schema_extra=CURSOR,
    ),
]


VERSION = type_adapter("bigint")


@dataclass(frozen=True)
class Page:
    """Which rows: at most `limit`, after the row with these key values (as text), if any."""

    limit: int
    after: tuple[str | None, ...]


def read_page(  # noqa: PLR0913 - a page has these parts
    request: Request,
    limit: str,
    cursor: str,
    types: Collection[TypeAdapter[Any]],
    *,
    name: str = "cursor",
    maximum: int = MAX_LIMIT,
) -> Page:
    """The page that a query asks for; the cursor, a parameter of this name, has such values.

    Raises:
        Problem: 422.
    """
    check_parameters(request, "limit", name)
    return Page(read_limit(limit, maximum), read_position(name, cursor, types) if cursor else ())


def read_limit(limit: str, maximum: int = MAX_LIMIT) -> int:
    """Raises `Problem` 422."""
    if not re.fullmatch("[0-9]{1,5}", limit) or not 1 <= int(limit) <= maximum:
        refuse("limit", f"The limit is a whole number from 1 to {maximum}.")
    return int(limit)


def check_parameters(request: Request, *known: str) -> None:
    """Raises `Problem` 422 for a parameter in the query that is unknown or there twice."""
    for name in read_parameters(request):
        if name not in known:
            refuse(name, "There is no such parameter.")


def read_parameters(request: Request, repeated: Collection[str] = ()) -> dict[str, str]:
    """Raises `Problem` 422 for a parameter in the query that is there twice; some may be."""
    parameters: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in parameters and name not in repeated:
            refuse(name, "This parameter is there twice.")
        parameters[name] = value
    return parameters


def page_body(items: str, last: str | None) -> bytes:
    """A page in JSON; `last` is a JSON array of the last row's key values if more rows follow."""
    return f'{{"items":{items},"next":{json.dumps(last and encoded(last))}}}'.encode()


def encoded(values: str) -> str:
    """A JSON array as an opaque cursor."""
    return urlsafe_b64encode(values.encode()).decode().rstrip("=")


def read_key(column: Column, text: str) -> str:
    """A key in a path, as text for PostgreSQL.

    Raises:
        Problem: 422 where it cannot be a value of the column.
    """
    return as_text("key", column, text)


def as_text(parameter: str, column: Column, text: str) -> str:
    """A value in a URL, as text for PostgreSQL.

    Raises:
        Problem: 422 where it cannot be a value of the column.
    """
    try:
        return read(column.data_type, text).text
    except ValueError:
        refuse(parameter, f"{column.title}: give {_in_url(column.data_type)}.")


def read_moment(parameter: str, text: str) -> str:
    """A time in the query, as text for PostgreSQL.

    Raises:
        Problem: 422.
    """
    try:
        return read("timestamptz", text).text
    except ValueError:
        refuse(parameter, f"Give {_in_url('timestamptz')}.")


def _in_url(data_type: str) -> str:
    """What is taken for a type, for people who write it into a URL."""
    form = form_of(data_type)
    return f"{form}; in a URL a + is written %2B" if "+" in form else form


def read_position(
    name: str, cursor: str, types: Collection[TypeAdapter[Any]]
) -> tuple[str | None, ...]:
    """The values in a cursor, as text.

    Raises:
        Problem: 422 where they are not of these types.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        values = parse_json(urlsafe_b64decode(padded).decode())
        if not isinstance(values, list):
            raise TypeError  # noqa: TRY301 - it is refused like the others
        for value, adapter in zip(values, types, strict=True):
            adapter.validate_python(value)
    except (Problem, TypeError, ValueError):
        refuse(name, "The cursor is not one that a page gave.")
    return tuple(_text(value) for value in values)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return json.dumps(value) if isinstance(value, bool) else str(value)


def refuse(parameter: str, detail: str) -> NoReturn:
    raise invalid(Fault(detail, parameter=parameter))
