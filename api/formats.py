"""The formats of a list, and which of them a request asks for."""

from typing import Literal

from starlette.requests import Request

from api.cursor import refuse
from api.errors import Problem

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
WORKBOOK = {"description": "A workbook.", "content": {MEDIA_TYPES["xlsx"]: _BINARY}}


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
    accepted = _ranges(",".join(request.headers.getlist("accept")))
    if not accepted:
        return "json"
    best = max(MEDIA_TYPES, key=lambda name: _liking(MEDIA_TYPES[name], accepted))
    if not _liking(MEDIA_TYPES[best], accepted):
        raise Problem(406)
    return best


def _ranges(accept: str) -> dict[str, float]:
    """Each media range with its weight."""
    ranges: dict[str, float] = {}
    for item in accept.lower().split(","):
        range_, *parameters = (part.strip() for part in item.split(";"))
        if range_:
            weights = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
            ranges[range_] = _weight(weights[0]) if weights else 1
    return ranges


def _weight(text: str) -> float:
    # what is no number from 0 to 1 is not there
    digits = text.replace(".", "", 1)
    return min(float(text), 1) if digits.isascii() and digits.isdecimal() else 1


def _liking(media_type: str, accepted: dict[str, float]) -> float:
    """The weight of the most specific range that has it."""
    of_its_kind = f"{media_type.partition('/')[0]}/*"
    return next((accepted[r] for r in (media_type, of_its_kind, "*/*") if r in accepted), 0)
