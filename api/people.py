"""What the endpoints for people share: their shape, and one way to change them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import Request, Response
from pydantic import BaseModel, StringConstraints

from api.audit import Event, audit
from api.database import Database
from api.errors import Fault, Problem, invalid
from api.fields import MaybeText, NextCursor
from api.members import Body
from api.users import ALL, CHANGE_USER, ONE_USER, SCOPES, TABLE, Role, User
from assay.catalog import Catalog

PREFIX = "/api/v1/users"
READING = (401, 403, 422, 500, 503, 504)
WRITING = (*READING, 413, 415)

_LAST_ADMIN = "This is the last active admin: make another one first."
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"\S")]


class Shown(BaseModel):
    """A user, as admins and the user see it."""

    user_id: UUID
    username: str
    display_name: MaybeText
    role: Role
    scopes: list[str]
    is_active: bool
    created_at: datetime


class UserPage(BaseModel):
    items: list[Shown]
    next: NextCursor


class Scopes:
    """Those that there are: of each dataset that is served, and of all."""

    def __init__(self, catalog: Catalog) -> None:
        paths = (ALL, *(entity.path for entity in catalog.served))
        self._known = {f"{path}:{scope}" for path in paths for scope in SCOPES}

    def check(self, scopes: list[str] | None) -> None:
        """Raises `Problem` 422 for one that does not exist."""
        if fault := self.fault_of(scopes or ()):
            raise invalid(Fault(fault, "#/scopes"))

    def fault_of(self, scopes: Iterable[str]) -> str | None:
        """A sentence where one does not exist."""
        if not set(scopes) - self._known:
            return None
        kinds = ", ".join(f"<path>:{scope}" for scope in SCOPES)
        return f"There is no such scope; they are {kinds}, with {ALL} for all paths."


async def user_as_json(database: Database, user_id: UUID) -> str:
    """Raises `Problem` 404."""
    row = await database.fetch_row(ONE_USER, user_id)
    if row is None:
        raise Problem(404)
    body: str = row["body"]
    return body


async def change(
    request: Request, database: Database, caller: User, user_id: UUID, given: Body
) -> Response:
    members = given.model_dump(exclude_unset=True)
    scopes = members.get("scopes")
    row = await administer(
        request,
        database,
        caller,
        "user_updated",
        CHANGE_USER,
        user_id,
        members.get("role"),
        None if scopes is None else sorted(set(scopes)),
        members.get("is_active"),
        "display_name" in members,
        members.get("display_name"),
    )
    return answer(row["body"])


async def administer(
    request: Request, database: Database, caller: User, event: Event, sql: str, *values: object
) -> asyncpg.Record:
    """Do it and keep it; raises `Problem` 404, or 409 where no admin would be left."""
    try:
        row = await database.write_row(TABLE, sql, *values)
    except asyncpg.RestrictViolationError:
        raise Problem(409, _LAST_ADMIN) from None
    if row is None:
        raise Problem(404)
    await audit(database, request, event, caller.username, target=row["username"])
    return row


def answer(body: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as PostgreSQL made it."""
    return Response(body, status, headers, "application/json")
