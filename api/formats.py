"""The formats of a list, and which of them a request asks for."""

from typing import Literal

from starlette.requests import Request

from api.accept import ranges_of, weight_of
from api.cursor import refuse
from api.errors import MEDIA_TYPE, Problem

Format = Literal["json", "ndjson", "csv", "xlsx", "parquet"]

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
FILES = {media_type: _BINARY for name, media_type in MEDIA_TYPES.items() if name != "json"}
"""In OpenAPI."""
WORKBOOK = {
    "description": "A workbook.",
    # The second for generated clients, some of which know no other name of a file.
    "content": {MEDIA_TYPES["xlsx"]: _BINARY, "application/octet-stream": _BINARY},
}


def negotiate(request: Request, asked: str | None) -> Format:
    """The format that the query asks for, else the one that `Accept` likes best (RFC 9110, 12.5.1).

    Of those that it likes as well the first of `MEDIA_TYPES`.

    Raises:
        Problem: 422 for a parameter that is no format, 406 where `Accept` names none of ours.
    """
    if asked is not None:
        for name in MEDIA_TYPES:
            if name == asked:
                return name
        refuse("format", f"The format is one of {', '.join(MEDIA_TYPES)}.")
    accepted = ranges_of(",".join(request.headers.getlist("accept")))
    if not accepted:
        return "json"
    best = max(MEDIA_TYPES, key=lambda name: weight_of(MEDIA_TYPES[name], accepted))
    if weight_of(MEDIA_TYPES[best], accepted):
        return best
    # Who takes problems only reads JSON; the document names their type too.
    if weight_of(MEDIA_TYPE, accepted):
        return "json"
    raise Problem(406)
