"""What people may know and change of themselves."""

from typing import Annotated

from fastapi import Depends, Request, Response

from api.audit import audit
from api.database import Pool
from api.errors import Fault, documented, invalid
from api.members import Body, Password, documented_members, own_members_of
from api.passwords import fault_of_password, hash_in_thread
from api.people import (
    PREFIX,
    READING,
    WRITING,
    DisplayName,
    Shown,
    answer,
    change,
    user_as_json,
)
from api.router import Router
from api.security import Reader
from api.sessions import no_parameters, try_password
from api.users import SET_PASSWORD, TABLE


class OwnChange(Body):
    display_name: DisplayName | None = None


class NewPassword(Body):
    old_password: Password
    new_password: Password


def router_of() -> Router:
    router = Router(prefix=f"{PREFIX}/me", tags=["Users"])

    @router.get(
        "",
        summary="Who am I",
        responses={200: {"model": Shown}, **documented(*READING)},
    )
    async def read_me(
        _plain: Annotated[None, Depends(no_parameters)], caller: Reader, database: Pool
    ) -> Response:
        return answer(await user_as_json(database, caller.user_id))

    @router.patch(
        "",
        summary="Change what I am called",
        openapi_extra=documented_members(OwnChange),
        responses={200: {"model": Shown}, **documented(*WRITING)},
    )
    async def change_me(
        request: Request,
        given: Annotated[OwnChange, Depends(own_members_of(OwnChange))],
        caller: Reader,
        database: Pool,
    ) -> Response:
        return await change(request, database, caller, caller.user_id, given)

    @router.post(
        "/password",
        status_code=204,
        summary="Change my password",
        description="All sessions end, this one too.",
        openapi_extra=documented_members(NewPassword),
        responses={204: {"description": "Log in with it."}, **documented(429, *WRITING)},
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

    return router
