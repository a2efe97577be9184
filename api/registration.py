"""Creating users: by admins, and by anybody where that is wished for."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

import asyncpg
from fastapi import Depends, Request, Response
from pydantic import Field

from api.addresses import site_of
from api.audit import audit
from api.database import Pool
from api.errors import Fault, Problem, documented, invalid
from api.fields import MaybeText
from api.limits import take
from api.members import Body, Password, Username, documented_members, read_members
from api.passwords import NO_PASSWORD, fault_of_password, hash_in_thread
from api.people import PREFIX, WRITING, DisplayName, Scopes, Shown, answer
from api.refresh import new_code
from api.router import Router
from api.security import BearerToken, user_with
from api.tokens import Tokens, unauthenticated
from api.users import CREATE_USER, TABLE, Role, User, normal_username
from assay.settings import Settings

CODE_LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class Registration:
    """What becomes of whoever registers himself."""

    role: Literal["reader", "editor"] = "reader"
    scopes: tuple[str, ...] = ()


def registration_of(settings: Settings, scopes: Scopes) -> Registration | None:
    """What the settings say; None where only admins make users.

    Raises:
        ValueError: A scope does not exist.
    """
    if fault := scopes.fault_of(settings.registration_scopes):
        raise ValueError(f"REGISTRATION_SCOPES: {fault}")
    if not settings.open_registration:
        return None
    return Registration(settings.registration_role, settings.registration_scopes)


class Made(Shown):
    code: MaybeText = Field(
        description="For somebody who has no password yet, to choose one; shown only here."
    )


class NewUser(Body):
    """Without a password the user gets a code to choose one. Role and scopes are for admins."""

    username: Username
    password: Password | None = None
    display_name: DisplayName | None = None
    role: Role | None = None
    scopes: list[str] | None = None


def router_of(scopes: Scopes, tokens: Tokens, registration: Registration | None) -> Router:
    """The endpoint; with a `registration` anybody becomes what it says."""
    router = Router(prefix=PREFIX, tags=["Users"])
    role: Role = "admin"

    async def creator(request: Request, token: BearerToken) -> User | None:
        """An admin; or nobody, where anybody may register."""
        if not token:
            take(request, "logins", site_of(request))
            if registration is None:
                raise unauthenticated("Log in and send the access token.")
            return None
        claims = tokens.read(token)
        take(request, "requests", str(claims.user_id))
        return await user_with(role, request, claims)

    Creator = Annotated[User | None, Depends(creator)]  # noqa: N806 - a type

    async def asked(request: Request, caller: Creator) -> NewUser:
        given = await read_members(request, NewUser)
        scopes.check(given.scopes)
        _check(given, is_registration=caller is None)
        return given

    @router.post(
        "",
        status_code=201,
        summary="Create a user",
        openapi_extra=documented_members(NewUser),
        responses={201: {"model": Made}, **documented(409, *WRITING)},
    )
    async def create_user(
        request: Request,
        given: Annotated[NewUser, Depends(asked)],
        caller: Creator,
        database: Pool,
    ) -> Response:
        rights = (registration if caller is None else None) or Registration()
        code, code_hash = (None, None) if given.password else new_code()
        name = normal_username(given.username)
        hashed = await hash_in_thread(given.password, name) if given.password else NO_PASSWORD
        try:
            row = await database.write_row(
                TABLE,
                CREATE_USER,
                name,
                hashed,
                given.role or rights.role,
                sorted(set(given.scopes or rights.scopes)),
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
        return answer(body, 201, {"Location": f"{PREFIX}/{row['user_id']}"})

    return router


def _check(given: NewUser, *, is_registration: bool) -> None:
    """Raises `Problem` 422."""
    faults = []
    if is_registration:
        faults += [
            Fault("Only an admin gives this.", f"#/{name}")
            for name in ("role", "scopes")
            if name in given.model_fields_set
        ]
        if given.password is None:
            faults.append(Fault("This field is missing.", "#/password"))
    if given.password is not None:
        fault = fault_of_password(given.password, given.username)
        faults += [Fault(fault, "#/password")] if fault else []
    if faults:
        raise invalid(*faults)


def _quoted(code: str | None) -> str:
    return f'"{code}"' if code else "null"
