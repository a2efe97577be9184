"""Who calls: access tokens, and the roles that endpoints ask for in their signatures."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import jwt
from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from api.database import Pool
from api.errors import Problem
from api.limits import address_of, take
from api.users import ROLES, Role, User, user_by_id

LOGIN = "/api/v1/auth/login"
LIFETIME = timedelta(minutes=15)
LEEWAY = timedelta(seconds=30)
MIN_SECRET = 32
"""Bytes (RFC 7518, 3.2: a key for HS256 is at least as long as its hash)."""

_ISSUER = "assay"
_AUDIENCE = "assay api"
_TYPE = "at+jwt"
_CLAIMS = ("exp", "nbf", "iat", "iss", "aud", "sub", "jti")


class Tokens:
    """Issues and reads access tokens (JWT, RFC 9068)."""

    def __init__(self, secret: str) -> None:
        """Raises `ValueError` for a secret of less than 32 bytes."""
        if len(secret.encode()) < MIN_SECRET:
            raise ValueError(f"ASSAY_SECRET has less than {MIN_SECRET} bytes: set a longer one.")
        self._secret = secret

    def issue(self, user_id: UUID) -> str:
        now = datetime.now(UTC)
        claims = {
            "exp": now + LIFETIME,
            "nbf": now,
            "iat": now,
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(user_id),
            "jti": uuid4().hex,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256", headers={"typ": _TYPE})

    def read(self, token: str) -> UUID:
        """The user that a token was issued to.

        Raises:
            Problem: 401, for whatever is wrong with it; it does not say what.
        """
        try:
            decoded: dict[str, Any] = jwt.decode_complete(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                leeway=LEEWAY,
                options={"require": list(_CLAIMS), "strict_aud": True},
            )
            # PyJWT does not look at the type: a token made for another use would do.
            if decoded["header"].get("typ") == _TYPE:
                return UUID(decoded["payload"]["sub"])
        except (jwt.InvalidTokenError, ValueError):
            pass
        raise unauthenticated(
            "The access token is not valid, or no longer.", 'error="invalid_token"'
        )


def unauthenticated(detail: str, challenge: str = "") -> Problem:
    """401 as RFC 6750 wants it: `error` is for a token that was given."""
    return Problem(401, detail, headers={"WWW-Authenticate": f"Bearer {challenge}".strip()})


_bearer = OAuth2PasswordBearer(tokenUrl=LOGIN, auto_error=False)


async def _subject(request: Request, token: Annotated[str | None, Depends(_bearer)]) -> UUID:
    tokens = cast("Tokens", request.app.state.tokens)
    try:
        if not token:
            raise unauthenticated("Log in and send the access token.")
        subject = tokens.read(token)
    except Problem:
        take(request, "requests", address_of(request))
        raise
    request.state.user_id = subject
    take(request, "requests", str(subject))
    return subject


Subject = Annotated[UUID, Depends(_subject)]
"""Whom a valid token names; costs no connection. What reads the request depends on it, so that
strangers learn nothing, and comes before the role, so that a bad request costs no connection."""


def _at_least(role: Role) -> Callable[[UUID, Pool], Awaitable[User]]:
    async def authorize(subject: Subject, database: Pool) -> User:
        user = await user_by_id(database, subject)
        if user is None:
            raise unauthenticated("This user is not active.", 'error="invalid_token"')
        if ROLES.index(user.role) < ROLES.index(role):
            raise Problem(403, f"This takes the role {role}; yours is {user.role}.")
        return user

    return authorize


# The role comes from the database at each request: a token only says who calls.
Reader = Annotated[User, Depends(_at_least("reader"))]
Editor = Annotated[User, Depends(_at_least("editor"))]


def reader_of(entity):
    return _at_least("reader")


def editor_of(entity):
    return _at_least("editor")


def check_readable(caller, entity):
    return None
