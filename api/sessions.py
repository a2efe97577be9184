"""Logging in, and who is logged in."""

from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from api.body import read_body
from api.cursor import check_parameters
from api.database import Pool
from api.errors import Fault, documented, invalid
from api.limits import address_of, take
from api.security import LIFETIME, LOGIN, Reader, Subject, Tokens, unauthenticated
from api.users import MAX_PASSWORD, Role, authenticate

_FORM = "application/x-www-form-urlencoded"
_MAX_USERNAME = 256
_DOCUMENTED_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string", "maxLength": _MAX_USERNAME},
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


class Me(BaseModel):
    user_id: UUID
    username: str
    role: Role


async def _read_login(request: Request) -> dict[str, str]:
    """The fields of OAuth2's password form (RFC 6749, 4.3.2); others are ignored, as it says."""
    take(request, "logins", address_of(request))
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
    for name, most in (("username", _MAX_USERNAME), ("password", MAX_PASSWORD)):
        if len(fields.get(name, "")) > most:
            faults.append(Fault(f"The {name} has more than {most} characters.", f"#/{name}"))
    if "\0" in fields.get("username", ""):
        faults.append(Fault("The username holds NUL.", "#/username"))
    if fields.get("grant_type", "password") != "password":
        faults.append(Fault("The grant type is password.", "#/grant_type"))
    if faults:
        raise invalid(*faults)
    return fields


def router_of(tokens: Tokens) -> APIRouter:
    router = APIRouter(tags=["Sessions"])

    @router.post(
        LOGIN,
        summary="Log in",
        openapi_extra=_DOCUMENTED_FORM,
        responses=documented(401, 413, 415, 422, 500, 503, 504),
    )
    async def log_in(
        form: Annotated[dict[str, str], Depends(_read_login)], database: Pool
    ) -> Token:
        user = await authenticate(database, form["username"], form["password"])
        if user is None:
            raise unauthenticated("The username or the password is wrong.")
        return Token(
            access_token=tokens.issue(user.user_id),
            token_type="bearer",  # noqa: S106 - its type, not a password
            expires_in=int(LIFETIME.total_seconds()),
        )

    @router.get(
        "/api/v1/auth/me",
        summary="Who am I",
        responses=documented(401, 422, 500, 503, 504),
    )
    async def me(_plain: Annotated[None, Depends(no_parameters)], caller: Reader) -> Me:
        return Me(user_id=caller.user_id, username=caller.username, role=caller.role)

    return router


async def no_parameters(request: Request, _subject: Subject) -> None:
    check_parameters(request)
