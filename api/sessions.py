"""Logging in, staying so, logging out, and a password for who has a code."""

from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from api.addresses import site_of
from api.audit import audit
from api.body import read_body
from api.cursor import check_parameters
from api.database import Database, Pool
from api.errors import Fault, documented, invalid
from api.limits import take
from api.members import (
    MAX_USERNAME,
    Body,
    Code,
    Password,
    Username,
    documented_members,
    members_of,
    own_members_of,
)
from api.passwords import MAX_PASSWORD, fault_of_password, hash_in_thread
from api.refresh import (
    Session,
    begin_session,
    end_all_sessions,
    end_session,
    hash_of,
    refresh_session,
)
from api.router import Router
from api.security import LOGIN, Reader, Subject
from api.throttle import Throttle
from api.tokens import LIFETIME, Tokens, unauthenticated
from api.users import TABLE, USE_CODE, authenticate, normal_username

_FORM = "application/x-www-form-urlencoded"
_DOCUMENTED_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "title": "LogIn",
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string", "maxLength": MAX_USERNAME},
                        "password": {
                            "type": "string",
                            "format": "password",
                            "maxLength": MAX_PASSWORD,
                        },
                    },
                }
            }
        },
    }
}


class Token(BaseModel):
    """RFC 6749, 5.1."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str = Field(description="For the next access token; it can be used once.")


class Refresh(Body):
    refresh_token: Code


class Logout(Body):
    everywhere: bool = Field(default=False, description="All sessions, not only this one.")


class Reset(Body):
    """A code, for a password of one's own."""

    username: Username
    code: Code
    password: Password


async def _read_login(request: Request) -> dict[str, str]:
    """The fields of OAuth2's password form (RFC 6749, 4.3.2); others are ignored, as it says."""
    take(request, "logins", site_of(request))
    check_parameters(request)
    text = await read_body(request, _FORM)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise invalid(Fault("The body is not a form.", "#")) from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise invalid(Fault("A field is there twice.", "#"))
    faults = [
        Fault(f"The {name} is missing.", f"#/{name}")
        for name in ("username", "password")
        if not fields.get(name)
    ]
    for name, most in (("username", MAX_USERNAME), ("password", MAX_PASSWORD)):
        if len(fields.get(name, "")) > most:
            faults.append(Fault(f"The {name} has more than {most} characters.", f"#/{name}"))
    if "\0" in fields.get("username", ""):
        faults.append(Fault("The username holds NUL.", "#/username"))
    if fields.get("grant_type", "password") != "password":
        faults.append(Fault("The grant type is password.", "#/grant_type"))
    if faults:
        raise invalid(*faults)
    return fields


async def try_password(
    request: Request, database: Database, username: str, password: str
) -> UUID | None:
    """The active user of that name and password; raises `Problem` 429 for whoever guesses."""
    throttle = Throttle(database, request, username)
    # As many as can be hashed at once: no more guesses than these are under way when the throttle
    # begins to hold.
    async with request.app.state.password_turns:
        await throttle.check()
        known = await authenticate(database, username, password)
        if known and known.is_authentic:
            await throttle.succeed()
            return known.user_id
        is_blocked = await throttle.fail()
    # An unknown name is not kept: it may be a password.
    name = known.username if known else None
    await audit(database, request, "authn_login_fail", name, is_success=False)
    if is_blocked:
        await audit(database, request, "authn_login_lock", name)
    return None


async def use_code(request: Request, database: Database, given: Reset) -> None:
    """Raises `Problem` 401 for a wrong code, 422 for a password that is refused, 429."""
    fault = fault_of_password(given.password, given.username)
    if fault:
        raise invalid(Fault(fault, "#/password"))
    throttle = Throttle(database, request, given.username)
    async with request.app.state.password_turns:
        await throttle.check()
        hashed = await hash_in_thread(given.password, given.username)
        name = normal_username(given.username)
        row = await database.write_row(TABLE, USE_CODE, name, hash_of(given.code), hashed)
        if row is None:
            await throttle.fail()
            raise unauthenticated("The username or the code is wrong, or no longer valid.")
        await throttle.succeed()
    await audit(database, request, "authn_password_change", name)


def router_of(tokens: Tokens) -> Router:
    router = Router(tags=["Sessions"])

    def token_of(session: Session) -> Token:
        return Token(
            access_token=tokens.issue(session.user_id, session.token_version, session.session_id),
            token_type="bearer",  # noqa: S106 - its type, not a password
            expires_in=int(LIFETIME.total_seconds()),
            refresh_token=session.refresh_token,
        )

    @router.post(
        LOGIN,
        summary="Log in",
        openapi_extra=_DOCUMENTED_FORM,
        responses=documented(401, 413, 415, 422, 429, 500, 503, 504),
    )
    async def log_in(
        request: Request, form: Annotated[dict[str, str], Depends(_read_login)], database: Pool
    ) -> Token:
        user_id = await try_password(request, database, form["username"], form["password"])
        session = await begin_session(database, user_id) if user_id else None
        if session is None:
            raise unauthenticated("The username or the password is wrong.")
        name = normal_username(form["username"])
        await audit(database, request, "authn_login_success", name)
        return token_of(session)

    @router.post(
        "/api/v1/auth/refresh",
        summary="Go on with a session",
        description=(
            "A refresh token can be used once. One that comes again was stolen, and ends the "
            "session; but a request that comes within 10 seconds of the first is only refused."
        ),
        openapi_extra=documented_members(Refresh),
        responses=documented(401, 413, 415, 422, 500, 503, 504),
    )
    async def refresh(
        request: Request,
        given: Annotated[Refresh, Depends(members_of(Refresh))],
        database: Pool,
    ) -> Token:
        verdict, username, session = await refresh_session(database, given.refresh_token)
        if session is None:
            if verdict == "reused":
                await audit(database, request, "authn_token_reuse", username, is_success=False)
            raise unauthenticated(
                "The refresh token is not valid, or no longer: log in.", 'error="invalid_token"'
            )
        await audit(database, request, "authn_token_created", username)
        return token_of(session)

    @router.post(
        "/api/v1/auth/logout",
        status_code=204,
        summary="Log out",
        description="Of this session, or of all.",
        openapi_extra=documented_members(Logout),
        responses={
            204: {"description": "Its tokens are valid no longer."},
            **documented(401, 413, 415, 422, 500, 503, 504),
        },
    )
    async def log_out(
        request: Request,
        subject: Subject,
        given: Annotated[Logout, Depends(own_members_of(Logout))],
        caller: Reader,
        database: Pool,
    ) -> Response:
        if given.everywhere:
            await end_all_sessions(database, caller.user_id)
        else:
            await end_session(database, subject.session_id)
        await audit(database, request, "authn_token_revoked", caller.username)
        return Response(status_code=204)

    @router.post(
        "/api/v1/auth/reset",
        status_code=204,
        summary="Choose a password, with a code",
        description="An admin has the code made; it is good for a day, and once.",
        openapi_extra=documented_members(Reset),
        responses={
            204: {"description": "Log in with it."},
            **documented(401, 413, 415, 422, 429, 500, 503, 504),
        },
    )
    async def reset(
        request: Request, given: Annotated[Reset, Depends(members_of(Reset))], database: Pool
    ) -> Response:
        await use_code(request, database, given)
        return Response(status_code=204)

    return router


async def no_parameters(request: Request, _subject: Subject) -> None:
    check_parameters(request)
