"""People: who they are, what they may do, and their passwords. Nothing here shows a password."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.audit import Event, audit
from api.cursor import Cursor, Limit, Page, check_parameters, page_body, read_page, refuse
from api.database import Database, Pool
from api.errors import Fault, Problem, documented, invalid
from api.members import (
    Body,
    Password,
    Username,
    documented_members,
    own_members_of,
    read_members,
)
from api.passwords import NO_PASSWORD, fault_of_password, hash_in_thread
from api.refresh import new_code
from api.schemas import MaybeText, NextCursor, type_adapter
from api.security import Admin, BearerToken, Reader, Subject, authenticated
from api.security import refuse as refuse_caller
from api.sessions import no_parameters, try_password
from api.throttle import unlock
from api.tokens import Tokens, unauthenticated
from api.users import (
    CHANGE_USER,
    CREATE_USER,
    DELETE_USER,
    ONE_USER,
    PAGE_OF_USERS,
    SCOPES,
    SET_CODE,
    SET_PASSWORD,
    TABLE,
    Role,
    User,
    normal_username,
)
from assay.catalog import Catalog

PREFIX = "/api/v1/users"
CODE_LIFETIME = timedelta(days=1)

_READING = (401, 403, 422, 500, 503, 504)
_WRITING = (*_READING, 413, 415)
_NAME = type_adapter("text")
_ID = type_adapter("uuid")
_PARAMETER = {
    "name": "user_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
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


class Made(Shown):
    code: MaybeText = Field(
        description="For somebody who has no password yet, to choose one; shown only here."
    )


class Codes(BaseModel):
    code: str = Field(description="To choose a password with, once, within a day.")


class UserPage(BaseModel):
    items: list[Shown]
    next: NextCursor


class NewUser(Body):
    """Without a password the user gets a code to choose one. Role and scopes are for admins."""

    username: Username
    password: Password | None = None
    display_name: DisplayName | None = None
    role: Role | None = None
    scopes: list[str] | None = None


class Change(Body):
    role: Role = "reader"
    scopes: list[str] = []
    is_active: bool = True
    display_name: DisplayName | None = None


class OwnChange(Body):
    display_name: DisplayName | None = None


class NewPassword(Body):
    old_password: Password
    new_password: Password


async def _asked_page(
    request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
) -> Page:
    return read_page(request, limit, cursor, (_NAME,))


async def _asked_id(request: Request, _subject: Subject) -> UUID:
    check_parameters(request)
    try:
        return UUID(_ID.validate_python(request.path_params["user_id"]))
    except ValueError:
        refuse("user_id", "The id of a user is a UUID.")


UserId = Annotated[UUID, Depends(_asked_id)]
Plain = Annotated[None, Depends(no_parameters)]


def router_of(catalog: Catalog, tokens: Tokens, *, open_registration: bool) -> APIRouter:
    """The endpoints of people; `open_registration` lets anybody become a reader."""
    router = APIRouter(prefix=PREFIX, tags=["Users"])
    known_scopes = {f"{entity.path}:{scope}" for entity in catalog.served for scope in SCOPES}
    of_id = {"parameters": [_PARAMETER]}

    def check_scopes(scopes: list[str] | None) -> None:
        wrong = sorted(set(scopes or ()) - known_scopes)
        if wrong:
            kinds = ", ".join(f"<path>:{scope}" for scope in SCOPES)
            raise invalid(Fault(f"There is no such scope; they are {kinds}.", "#/scopes"))

    async def creator(request: Request, token: BearerToken, database: Pool) -> User | None:
        """An admin; or nobody, where anybody may register."""
        if not token:
            return None
        caller = await authenticated(database, tokens.read(token))
        if caller.role != "admin":
            await refuse_caller(request, database, caller, "This takes the role admin.")
        return caller

    async def new_user(request: Request, token: BearerToken) -> NewUser:
        if token:
            tokens.read(token)
        elif not open_registration:
            raise unauthenticated("Log in and send the access token.")
        given = await read_members(request, NewUser)
        check_scopes(given.scopes)
        fault = given.password and fault_of_password(given.password, given.username)
        if fault:
            raise invalid(Fault(fault, "#/password"))
        return given

    async def asked_change(
        given: Annotated[Change, Depends(own_members_of(Change))],
    ) -> Change:
        check_scopes(given.scopes)
        if not given.model_fields_set:
            raise invalid(Fault("There is nothing to change.", "#"))
        return given

    @router.get(
        "",
        summary="List users, by name",
        responses={200: {"model": UserPage}, **documented(*_READING)},
    )
    async def list_users(
        page: Annotated[Page, Depends(_asked_page)], _caller: Admin, database: Pool
    ) -> Response:
        after = page.after[0] if page.after else None
        row = await database.fetch_row(PAGE_OF_USERS, page.limit, after)
        assert row is not None  # noqa: S101 - it always has one
        return _answer(page_body(row["items"], row["last"]))

    @router.post(
        "",
        status_code=201,
        summary="Create a user",
        openapi_extra=documented_members(NewUser),
        responses={201: {"model": Made}, **documented(409, *_WRITING)},
    )
    async def create_user(
        request: Request,
        given: Annotated[NewUser, Depends(new_user)],
        caller: Annotated[User | None, Depends(creator)],
        database: Pool,
    ) -> Response:
        if caller is None:
            _check_registration(given)
        code, code_hash = (None, None) if given.password else new_code()
        name = normal_username(given.username)
        hashed = await hash_in_thread(given.password, name) if given.password else NO_PASSWORD
        try:
            row = await database.write_row(
                TABLE,
                CREATE_USER,
                name,
                hashed,
                given.role or "reader",
                sorted(set(given.scopes or ())),
                given.display_name,
                code_hash,
                CODE_LIFETIME if code else None,
            )
        except asyncpg.UniqueViolationError:
            fault = Fault("Somebody has this name.", "#/username")
            raise Problem(409, fault.detail, (fault,)) from None
        assert row is not None  # noqa: S101 - an insert returns its row
        await audit(
            database, request, "user_created", caller.username if caller else name, target=name
        )
        body = row["body"].removesuffix("}") + f',"code":{_quoted(code)}}}'
        return _answer(body, 201, {"Location": f"{PREFIX}/{row['user_id']}"})

    @router.get(
        "/me",
        summary="Who am I",
        responses={200: {"model": Shown}, **documented(*_READING)},
    )
    async def read_me(_plain: Plain, caller: Reader, database: Pool) -> Response:
        return _answer(await _one(database, caller.user_id))

    @router.patch(
        "/me",
        summary="Change what I am called",
        openapi_extra=documented_members(OwnChange),
        responses={200: {"model": Shown}, **documented(*_WRITING)},
    )
    async def change_me(
        request: Request,
        given: Annotated[OwnChange, Depends(own_members_of(OwnChange))],
        caller: Reader,
        database: Pool,
    ) -> Response:
        return await _change(request, database, caller, caller.user_id, given)

    @router.post(
        "/me/password",
        status_code=204,
        summary="Change my password",
        description="All sessions end, this one too.",
        openapi_extra=documented_members(NewPassword),
        responses={204: {"description": "Log in with it."}, **documented(429, *_WRITING)},
    )
    async def change_password(
        request: Request,
        given: Annotated[NewPassword, Depends(own_members_of(NewPassword))],
        caller: Reader,
        database: Pool,
    ) -> Response:
        fault = fault_of_password(given.new_password, caller.username)
        if fault:
            raise invalid(Fault(fault, "#/new_password"))
        if not await try_password(request, database, caller.username, given.old_password):
            raise invalid(Fault("The old password is wrong.", "#/old_password"))
        hashed = await hash_in_thread(given.new_password, caller.username)
        await database.write_row(TABLE, SET_PASSWORD, caller.user_id, hashed)
        await audit(database, request, "authn_password_change", caller.username)
        return Response(status_code=204)

    @router.get(
        "/{user_id}",
        summary="Read a user",
        openapi_extra=of_id,
        responses={200: {"model": Shown}, **documented(404, *_READING)},
    )
    async def read_user(user_id: UserId, _caller: Admin, database: Pool) -> Response:
        return _answer(await _one(database, user_id))

    @router.patch(
        "/{user_id}",
        summary="Change a user",
        description="Another role, other scopes and being disabled end the user's sessions.",
        openapi_extra={**of_id, **documented_members(Change)},
        responses={200: {"model": Shown}, **documented(404, 409, *_WRITING)},
    )
    async def change_user(
        request: Request,
        user_id: UserId,
        given: Annotated[Change, Depends(asked_change)],
        caller: Admin,
        database: Pool,
    ) -> Response:
        return await _change(request, database, caller, user_id, given)

    @router.delete(
        "/{user_id}",
        status_code=204,
        summary="Delete a user",
        description="What the user wrote keeps the name: disable people rather.",
        openapi_extra=of_id,
        responses={204: {"description": "Gone."}, **documented(404, 409, *_READING)},
    )
    async def delete_user(
        request: Request, user_id: UserId, caller: Admin, database: Pool
    ) -> Response:
        await _administer(request, database, caller, "user_deleted", DELETE_USER, user_id)
        return Response(status_code=204)

    @router.post(
        "/{user_id}/reset",
        summary="Take a password away, and give a code for a new one",
        description="Ends the user's sessions. The code is shown only here.",
        openapi_extra=of_id,
        responses={200: {"model": Codes}, **documented(404, *_READING)},
    )
    async def reset_password(
        request: Request, user_id: UserId, caller: Admin, database: Pool
    ) -> Codes:
        code, code_hash = new_code()
        values = (user_id, code_hash, CODE_LIFETIME)
        await _administer(request, database, caller, "authz_admin", SET_CODE, *values)
        return Codes(code=code)

    @router.post(
        "/{user_id}/unlock",
        status_code=204,
        summary="Forget failed logins of a user",
        openapi_extra=of_id,
        responses={204: {"description": "Forgotten."}, **documented(404, *_READING)},
    )
    async def unlock_user(
        request: Request, user_id: UserId, caller: Admin, database: Pool
    ) -> Response:
        row = await database.fetch_row(ONE_USER, user_id)
        if row is None:
            raise Problem(404)
        await unlock(database, row["username"])
        await audit(database, request, "authz_admin", caller.username)
        return Response(status_code=204)

    return router


def _check_registration(given: NewUser) -> None:
    faults = [
        Fault("Only an admin gives this.", f"#/{name}")
        for name in ("role", "scopes")
        if name in given.model_fields_set
    ]
    if given.password is None:
        faults.append(Fault("This field is missing.", "#/password"))
    if faults:
        raise invalid(*faults)


async def _one(database: Database, user_id: UUID) -> str:
    row = await database.fetch_row(ONE_USER, user_id)
    if row is None:
        raise Problem(404)
    body: str = row["body"]
    return body


async def _change(
    request: Request, database: Database, caller: User, user_id: UUID, given: Body
) -> Response:
    members = given.model_dump(exclude_unset=True)
    scopes = members.get("scopes")
    row = await _administer(
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
    return _answer(row["body"])


async def _administer(
    request: Request, database: Database, caller: User, event: Event, sql: str, *values: Any
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


def _quoted(code: str | None) -> str:
    return f'"{code}"' if code else "null"


def _answer(
    body: str | bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """JSON as PostgreSQL made it."""
    return Response(body, status, headers, "application/json")
