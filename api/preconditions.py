"""ETags (RFC 9110, 8.8 and 13.1): a row's version is the transaction that wrote it last."""

import re
from typing import Any

from fastapi import Request

from api.errors import Problem
from api.security import Subject

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION = re.compile("[0-9]{1,19}")
CACHING = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
"""Of what has an ETag: it may be kept, and is asked for again each time."""
IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "The row's `ETag`, as you read it; `*` changes it whatever it is now.",
    "example": "*",
}
IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The `ETag` that you have: 304 while it is still right.",
}
DOCUMENTED_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Names this version."}}


def tag_of(version: str) -> dict[str, str]:
    """The header of a version."""
    return {"ETag": f'"{version}"', **CACHING}


async def expected_versions(request: Request, _subject: Subject) -> list[str] | None:
    """The versions in `If-Match` that a row may have; None for any.

    Raises:
        Problem: 428 where there is no such header.
    """
    given = request.headers.getlist("if-match")
    if not given:
        raise Problem(428)
    if [value.strip() for value in given] == ["*"]:
        return None
    # Strong comparison: a weak tag is never the same.
    tags = (tag for value in given for tag in _TAG.findall(value))
    return [version for weak, version in tags if not weak and _VERSION.fullmatch(version)]


def is_known(request: Request, version: str) -> bool:
    """Whether the client has this version already (weak comparison)."""
    given = request.headers.getlist("if-none-match")
    tags = (tag for value in given for _, tag in _TAG.findall(value))
    return [value.strip() for value in given] == ["*"] or version in tags
