"""ETags (RFC 9110, 8.8 and 13.1): a row's version is the transaction that wrote it last."""

import re
from typing import Any

from fastapi import Request

from api.errors import Problem
from api.security import Subject

_TAG = re.compile(r'(?:^|,)[ \t]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?=,|$)', re.IGNORECASE)
_VERSION = re.compile("[0-9]{1,19}")
# What is left of a tag that was made weak, got a suffix or lost its quotes on the way.
_CHANGED = re.compile(
    r'\s*(?:W/)?"?([0-9]{1,19})(?:[^0-9A-Za-z",][^",]*)?"?\s*(?:,|$)', re.IGNORECASE
)
CACHING = {"Cache-Control": "private, no-cache, no-transform", "Vary": "Accept, Authorization"}
"""Of what has an ETag: it may be kept, is asked for again each time, and a proxy that compressed it
would change the tag."""
IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "The row's `ETag`, as you read it; `*` changes it whatever it is now.",
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
        Problem: 428 where there is no such header, 412 where it has no tag that we sent.
    """
    given = request.headers.getlist("if-match")
    if not given:
        raise Problem(428)
    if [value.strip() for value in given] == ["*"]:
        return None
    # Strong comparison: a weak tag is never the same.
    tags = (tag for value in given for tag in _TAG.findall(value))
    versions = [version for weak, version in tags if not weak and _VERSION.fullmatch(version)]
    if not versions:
        raise Problem(412, _not_ours(", ".join(given)))
    return versions


def _not_ours(given: str) -> str:
    """Nothing is known of the row here: it would be false to say that it has changed."""
    changed = _CHANGED.match(given)
    if not changed:
        return 'If-Match has no ETag of this API, such as "819": read the row, and send its ETag.'
    return (
        f'The ETag in If-Match is not as this API sent it, which was "{changed[1]}": a proxy that '
        "compresses, or the client, has changed it on the way. Let the proxy leave these answers "
        "as they are (docs/operations.md), and send the tag with its quotes, and nothing more."
    )


def is_known(request: Request, version: str) -> bool:
    """Whether the client has this version already (weak comparison)."""
    given = request.headers.getlist("if-none-match")
    tags = (tag for value in given for _, tag in _TAG.findall(value))
    return [value.strip() for value in given] == ["*"] or version in tags
