"""Problems (RFC 9457): the one shape of all errors, and the one table from SQLSTATE to status."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import asyncpg
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from assay.catalog import Catalog, Entity, Rule

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "2"}
_AGAIN = (503,)
_UNREAD = (408, 413)
"""The rest of the body may still come: with the connection open it would be read for nothing."""

# The longest prefix of an SQLSTATE decides; all others are 500.
STATUS_OF_SQLSTATE = {
    "23505": 409,  # unique
    "23503": 409,  # foreign key
    "23P01": 409,  # exclusion
    "23514": 422,  # check
    "23502": 422,  # not null
    "22": 422,  # data
    "54": 422,  # too big or too complex for PostgreSQL
    "57014": 504,  # statement timeout
    "55P03": 503,  # lock timeout
    "40001": 503,  # serialization; database.py has tried again before
    "40P01": 503,  # deadlock; likewise
    "57P": 503,  # shutdown, crash, start
    "53": 503,  # resources
    "08": 503,  # connection
    "28": 503,  # PostgreSQL does not let us in
    "AS404": 404,  # ours: a row of a list is not there
    "3D000": 503,  # no such database yet
    "3F000": 503,  # schema, table, column or function are not built yet
    "42P01": 503,
    "42703": 503,
    "42883": 503,
}

_NOT_BUILT = ("3F000", "42P01", "42703", "42883")
# RFC 9110's names; Python's differ between its versions.
TITLES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    428: "Precondition Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_SENTENCES = {
    404: "There is nothing here.",
    405: "This resource does not take this method.",
    408: "The body came too slowly.",
    406: "None of the media types in Accept can be made of this.",
    409: "This contradicts another row.",
    412: "The row has changed since you read it: read it again.",
    413: "The body is too large.",
    422: "A value does not fit its column.",
    428: "Send the row's ETag in If-Match, so that you change what you have read; or `*`.",
    429: "This was tried too often; try again later.",
    500: "Something went wrong here; the log has the cause under this request id.",
    503: "The database is busy or away; try again soon.",
    504: "The database took too long; nothing was changed.",
}


@dataclass(frozen=True)
class Fault:
    """One member of a problem's `errors`: where (in the body or in the URL) and what."""

    detail: str
    pointer: str | None = None
    """JSON pointer into the body, as a URI fragment; `#` is the whole body."""
    parameter: str | None = None
    rule: str | None = None
    columns: tuple[str, ...] | None = None
    # of a file that was sent
    file: str | None = None
    row: int | None = None
    column: str | None = None
    remedy: str | None = None

    def document(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An answer other than the one that was asked for."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        errors: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail or _SENTENCES[status]
        self.errors = errors
        self.headers = dict(headers or (RETRY_AFTER if status in _AGAIN else {}))
        if status in _UNREAD:
            self.headers["Connection"] = "close"


def pointer_to(name: str) -> str:
    """Of a member of the body (RFC 6901, 6)."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    return "#/" + quote(escaped, safe="~!$&'()*+,;=:@", errors="replace")


def in_item(fault: Fault, place: int) -> Fault:
    """The fault of a document that stands in a list, at this place from 0 on."""
    return replace(fault, pointer=f"#/{place}{(fault.pointer or '#').removeprefix('#')}")


def fault_of_rule(rule: Rule) -> Fault:
    pointer = pointer_to(rule.columns[0]) if len(rule.columns) == 1 else "#"
    return Fault(rule.message, pointer=pointer, rule=rule.name, columns=rule.columns)


def invalid(*faults: Fault) -> Problem:
    """A request that cannot be right, whatever the database holds."""
    return Problem(422, faults[0].detail, faults)


def problem_of(error: BaseException, catalog: Catalog) -> Problem:
    """What to answer for an exception; never in PostgreSQL's or Python's words."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, asyncpg.PostgresError):
        return _problem_of_postgres(error, catalog)
    if isinstance(error, asyncio.CancelledError):
        return Problem(503, "The server is stopping; it may have done this, or not.")
    if isinstance(error, HTTPException):
        status = error.status_code if error.status_code in _SENTENCES else 500
        return Problem(status, headers=error.headers)
    if isinstance(error, RequestValidationError):
        return Problem(422, "The request is not valid.")
    return Problem(500)


@dataclass(frozen=True)
class Refusal:
    """What PostgreSQL says of a statement that it refuses; the names are asyncpg's."""

    sqlstate: str
    schema_name: str | None = None
    table_name: str | None = None
    column_name: str | None = None
    constraint_name: str | None = None


def _problem_of_postgres(error: asyncpg.PostgresError, catalog: Catalog) -> Problem:
    return problem_of_refusal(
        Refusal(
            error.sqlstate or "",
            error.schema_name,
            error.table_name,
            error.column_name,
            error.constraint_name,
        ),
        catalog,
    )


def problem_of_refusal(refusal: Refusal, catalog: Catalog) -> Problem:
    """The problem, in the contract's words where a rule of one is broken."""
    code = refusal.sqlstate
    status = next(
        (STATUS_OF_SQLSTATE[code[:n]] for n in (5, 3, 2) if code[:n] in STATUS_OF_SQLSTATE), 500
    )
    if code in _NOT_BUILT:
        return Problem(503, "This has not been built yet: run `assay build`.")
    entity = next(
        (
            entity
            for entity in catalog.entities.values()
            if (entity.schema, entity.table) == (refusal.schema_name, refusal.table_name)
        ),
        None,
    )
    if entity is None or status not in (409, 422):
        return Problem(status)
    rule = entity.rule_of_null(refusal.column_name) if refusal.column_name else None
    if rule is None and refusal.constraint_name:
        rule = entity.rule_of_constraint(refusal.constraint_name)
    if rule is None:
        return Problem(status)
    fault = _fault_of_key(entity, rule) or fault_of_rule(rule)
    if any(link.through.name == entity.name for e in catalog.entities.values() for link in e.links):
        # The body may be of one of the ends, which has no such column.
        fault = replace(fault, pointer="#")
    return Problem(status, fault.detail, (fault,))


def _fault_of_key(entity: Entity, rule: Rule) -> Fault | None:
    """Where a key that the server computes is taken: the columns that it is computed from.

    A row keeps its key when these change, so the row that has it may look different today.
    """
    key = entity.columns_by_name[entity.key[0]]
    if (
        rule.kind != "unique"
        or rule.columns != entity.key
        or not (key.is_server_owned and key.default)
    ):
        return None
    sources = [c for c in entity.columns if c is not key and _mentions(key.default, c.name)]
    if not sources:
        return None
    titles = ", ".join(column.title for column in sources)
    return Fault(
        f"{key.title} is computed from {titles}: a row that has the same, or had it when it was "
        "made, exists.",
        pointer=pointer_to(sources[0].name) if len(sources) == 1 else "#",
        rule=rule.name,
        columns=tuple(column.name for column in sources),
    )


def _mentions(expression: str, name: str) -> bool:
    words = "".join(c if c.isalnum() or c in "_$" else " " for c in expression)
    return name in words.split()


def respond(request: Request, problem: Problem) -> Response:
    title = TITLES[problem.status]
    document: dict[str, Any] = {
        "type": f"urn:assay:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        "request_id": request.state.request_id,
        "errors": [fault.document() for fault in problem.errors],
    }
    return JSONResponse(document, problem.status, problem.headers, MEDIA_TYPE)


_STRING = {"type": "string"}
SCHEMAS: dict[str, Any] = {
    "Problem": {
        "title": "Problem",
        "description": "What is wrong, in the shape of RFC 9457.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance", "request_id", "errors"],
        "properties": {
            "type": _STRING,
            "title": _STRING,
            "status": {"type": "integer"},
            "detail": _STRING,
            "instance": _STRING,
            "request_id": _STRING,
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
        },
    },
    "Fault": {
        "title": "Fault",
        "description": "One thing that is wrong, and where.",
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": _STRING,
            "pointer": {**_STRING, "description": "JSON pointer into the body."},
            "parameter": {**_STRING, "description": "Name in the URL."},
            "rule": {**_STRING, "description": "Name of the broken rule."},
            "columns": {"type": "array", "items": _STRING},
            "file": {**_STRING, "description": "Name of the file that was sent."},
            "row": {"type": "integer", "description": "As a spreadsheet numbers it."},
            "column": {**_STRING, "description": "Header of the column in the file."},
            "remedy": {**_STRING, "description": "What to do about it."},
        },
    },
}
"""In OpenAPI, by name."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for the problems that an endpoint may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": TITLES[status], "content": content} for status in statuses}
