"""Requests that may be sent again: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

What a request was answered is kept for a day, in the transaction that did its work: so there is no
moment at which the one is there and the other is not. Only what was done is kept: a request that
was refused changed nothing, and is judged again.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import PostgresError, Record
from fastapi import Request

from api.database import Database
from api.errors import RETRY_AFTER, Fault, Problem, invalid

_KEY = re.compile("[\x21-\x7e]{1,255}")
_FORGET_AND_FIND = """
    with forgotten as (
        delete from auth.answered_requests
        where answered_at < clock_timestamp() - interval '24 hours'
    )
    select sha256, keys, versions, bodies
    from auth.answered_requests
    where
        (user_id, route, idempotency_key) = ($1, $2, $3)
        and answered_at >= clock_timestamp() - interval '24 hours'
"""
HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": (
        "A name of your own for this request. Sent again with it within 24 hours, the same request "
        "is not done again and gets the same answer."
    ),
}


@dataclass(frozen=True)
class Once:
    """A request under its key."""

    user_id: UUID
    route: str
    key: str
    sha256: str

    @property
    def values(self) -> tuple[str, str, str, str]:
        """As the statement binds them that does the work."""
        return str(self.user_id), self.route, self.key, self.sha256

    async def done(
        self, database: Database, work: Callable[[], Awaitable[list[Record]]]
    ) -> list[dict[str, str]]:
        """The rows (key, version, body) of the work, which is done unless it was before.

        Raises:
            Problem: 422 where the key was another request's, 409 where this one is being done.
        """
        if (answered := await self._answered(database)) is not None:
            return answered
        try:
            rows = await work()
        except (PostgresError, Problem):
            # It was sent twice at once, and the other was faster.
            if (answered := await self._answered(database)) is not None:
                return answered
            raise
        if not rows:
            detail = "A request with this Idempotency-Key is being done: try again soon."
            raise Problem(409, detail, headers=RETRY_AFTER)
        return [dict(row) for row in rows]

    async def _answered(self, database: Database) -> list[dict[str, str]] | None:
        found: Record | None = await database.write_row(
            "auth.answered_requests", _FORGET_AND_FIND, self.user_id, self.route, self.key
        )
        if found is None:
            return None
        if found["sha256"] != self.sha256:
            raise Problem(422, "This Idempotency-Key was used for another request.")
        rows = zip(found["keys"], found["versions"], found["bodies"], strict=True)
        return [{"key": key, "version": version, "body": body} for key, version, body in rows]


async def read_idempotency_key(request: Request) -> str | None:
    """The key of a request, if it has one.

    Raises:
        Problem: 422.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        detail = "The Idempotency-Key is 1 to 255 visible ASCII characters."
        raise invalid(Fault(detail, parameter="Idempotency-Key"))
    return given[0]


def sha256_of(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
