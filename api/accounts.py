"""Users, as admins see and change them. Nothing here shows a password."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from api.audit import audit
from api.cursor import Cursor, Limit, Page, check_parameters, page_body, read_page, refuse
from api.database import Pool
from api.errors import Fault, Problem, documented, invalid
from api.members import Body, documented_members, own_members_of
from api.people import (
    PREFIX,
    READING,
    WRITING,
    DisplayName,
    Scopes,
    Shown,
    UserPage,
    administer,
    answer,
    change,
    user_as_json,
)
from api.refresh import new_code
from api.registration import CODE_LIFETIME
from api.router import Router
from api.security import Admin, Subject
from api.throttle import unlock
from api.users import DELETE_USER, ONE_USER, PAGE_OF_USERS, SET_CODE, Role
from api.value_types import type_adapter

_NAME = type_adapter("text")
_ID = type_adapter("uuid")
_PARAMETER = {
    "name": "user_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}


class Codes(BaseModel):
    code: str = Field(description="To choose a password with, once, within a day.")


class Change(Body):
    role: Role = "reader"
    scopes: list[str] = Field(default_factory=list)
    is_active: bool = True
    display_name: DisplayName | None = None


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


def router_of(scopes: Scopes) -> Router:
    router = Router(prefix=PREFIX, tags=["Users"])
    of_id = {"parameters": [_PARAMETER]}

    async def asked_change(
        given: Annotated[Change, Depends(own_members_of(Change))],
    ) -> Change:
        scopes.check(given.scopes)
        if not given.model_fields_set:
            raise invalid(Fault("There is nothing to change.", "#"))
        return given

    @router.get(
        "",
        summary="List users, by name",
        responses={200: {"model": UserPage}, **documented(*READING)},
    )
    async def list_users(
        page: Annotated[Page, Depends(_asked_page)], _caller: Admin, database: Pool
    ) -> Response:
        after = page.after[0] if page.after else None
        row = await database.fetch_row(PAGE_OF_USERS, page.limit, after)
        assert row is not None  # noqa: S101 - it always has one
        return answer(page_body(row["items"], row["last"]))

    @router.get(
        "/{user_id}",
        summary="Read a user",
        openapi_extra=of_id,
        responses={200: {"model": Shown}, **documented(404, *READING)},
    )
    async def read_user(user_id: UserId, _caller: Admin, database: Pool) -> Response:
        return answer(await user_as_json(database, user_id))

    @router.patch(
        "/{user_id}",
        summary="Change a user",
        description="Another role, other scopes and being disabled end the user's sessions.",
        openapi_extra={**of_id, **documented_members(Change)},
        responses={200: {"model": Shown}, **documented(404, 409, *WRITING)},
    )
    async def change_user(
        request: Request,
        user_id: UserId,
        given: Annotated[Change, Depends(asked_change)],
        caller: Admin,
        database: Pool,
    ) -> Response:
        return await change(request, database, caller, user_id, given)

    @router.delete(
        "/{user_id}",
        status_code=204,
        summary="Delete a user",
        description="What the user wrote keeps the name: disable people rather.",
        openapi_extra=of_id,
        responses={204: {"description": "Gone."}, **documented(404, 409, *READING)},
    )
    async def delete_user(
        request: Request, user_id: UserId, caller: Admin, database: Pool
    ) -> Response:
        await administer(request, database, caller, "user_deleted", DELETE_USER, user_id)
        return Response(status_code=204)

    @router.post(
        "/{user_id}/reset",
        summary="Take a password away, and give a code for a new one",
        description="Ends the user's sessions. The code is shown only here.",
        openapi_extra=of_id,
        responses={200: {"model": Codes}, **documented(404, *READING)},
    )
    async def reset_password(
        request: Request, user_id: UserId, caller: Admin, database: Pool
    ) -> Codes:
        code, code_hash = new_code()
        values = (user_id, code_hash, CODE_LIFETIME)
        await administer(request, database, caller, "authz_admin", SET_CODE, *values)
        return Codes(code=code)

    @router.post(
        "/{user_id}/unlock",
        status_code=204,
        summary="Forget failed logins of a user",
        openapi_extra=of_id,
        responses={204: {"description": "Forgotten."}, **documented(404, *READING)},
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
