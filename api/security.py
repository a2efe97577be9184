"""Who calls, and what endpoints ask for in their signatures: a role, and access to a dataset."""

from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, NoReturn, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from api.addresses import site_of
from api.audit import audit
from api.database import Database, database_of
from api.errors import Problem
from api.limits import take
from api.tokens import Claims, Tokens, unauthenticated
from api.users import ROLES, Role, User, user_of_claims
from assay.catalog import Entity

LOGIN = "/api/v1/auth/login"

Allow = Callable[[Request, Claims], Awaitable[User]]
"""Gives the user who may, or raises `Problem` 401, 403, 404."""

_bearer = OAuth2PasswordBearer(tokenUrl=LOGIN, auto_error=False)
BearerToken = Annotated[str | None, Depends(_bearer)]


class _Bearer(OAuth2PasswordBearer):
    """Whom the token in the header names; one step, since FastAPI takes time for each."""

    async def __call__(self, request: Request) -> Claims:  # type: ignore[override]
        tokens = cast("Tokens", request.app.state.tokens)
        try:
            token = await super().__call__(request)
            if not token:
                raise unauthenticated("Log in and send the access token.")
            claims = tokens.read(token)
        except Problem:
            take(request, "requests", site_of(request))
            raise
        request.state.user_id = claims.user_id
        take(request, "requests", str(claims.user_id))
        return claims


_claims = _Bearer(tokenUrl=LOGIN, auto_error=False, scheme_name=_bearer.scheme_name)

Subject = Annotated[Claims, Depends(_claims)]
"""Whom a valid token names; costs no connection. What reads the request depends on it, so that
strangers learn nothing."""


class Right:
    """What endpoints ask for: a route asks it before whatever reads parameters or the body.

    So nobody learns from a refusal of his request what is not for him, and no work is done for
    somebody who may not have it done.
    """

    def __init__(self, role: Role, allow: Allow) -> None:
        self.role = role
        self._allow = allow

    async def __call__(self, request: Request, subject: Subject) -> User:
        """Raises `Problem` 401, 403, 404."""
        return await self._allow(request, subject)


async def authenticated(database: Database, claims: Claims) -> User:
    """The user as the database has it now, in the one query that each request makes.

    Raises:
        Problem: 401 where the user is not active, or the session was ended.
    """
    user = await user_of_claims(database, claims)
    if user is None:
        raise unauthenticated("The session has ended: log in again.", 'error="invalid_token"')
    return user


def _at_least(role: Role) -> Right:
    async def allow(request: Request, claims: Claims) -> User:
        return await user_with(role, request, claims)

    return Right(role, allow)


async def user_with(role: Role, request: Request, claims: Claims) -> User:
    """The user, who has at least this role. Raises `Problem` 401, 403."""
    database = await database_of(request)
    user = await authenticated(database, claims)
    if ROLES.index(user.role) < ROLES.index(role):
        detail = f"This takes the role {role}; yours is {user.role}."
        await refuse(request, database, user, detail)
    return user


# Rights come from the database at each request: a token only says who calls.
Reader = Annotated[User, Depends(_at_least("reader"))]
Editor = Annotated[User, Depends(_at_least("editor"))]
Admin = Annotated[User, Depends(_at_least("admin"))]


def reader_of(entity: Entity) -> Right:
    """For signatures: a user who may read the dataset, or 401, 403, 404."""

    async def allow(request: Request, claims: Claims) -> User:
        user = await user_with("reader", request, claims)
        check_readable(user, entity)
        if entity.has_personal_data and user.sees_personal_data_of(entity):
            await audit(await database_of(request), request, "sensitive_read", user.username)
        return user

    return Right("reader", allow)


def editor_of(entity: Entity) -> Right:
    """For signatures: an editor who may write the dataset, or 401, 403, 404."""

    async def allow(request: Request, claims: Claims) -> User:
        user = await user_with("editor", request, claims)
        await check_writable(request, await database_of(request), user, entity)
        return user

    return Right("editor", allow)


def uploader_of(fed: Collection[Entity]) -> Right:
    """For signatures: an editor who may write and see all that a file feeds, or 401, 403, 404."""

    async def allow(request: Request, claims: Claims) -> User:
        user = await user_with("editor", request, claims)
        database = await database_of(request)
        for entity in fed:
            await check_writable(request, database, user, entity)
            await check_shown(request, database, user, entity)
        return user

    return Right("editor", allow)


def check_readable(caller: User, entity: Entity) -> None:
    """Raises `Problem` 404: what is not the caller's is not there, whatever is asked of it."""
    if not caller.may_read(entity):
        raise Problem(404)


async def check_writable(
    request: Request, database: Database, caller: User, entity: Entity
) -> None:
    """Raises `Problem` 404 where it is not the caller's, 403 where the caller may only read it."""
    check_readable(caller, entity)
    if not caller.may_write(entity):
        await refuse(request, database, caller, f"This takes the scope {entity.path}:write.")


async def check_shown(request: Request, database: Database, caller: User, entity: Entity) -> None:
    """Raises `Problem` 403 where raw rows of the entity have what the caller may not see."""
    if not caller.sees_personal_data_of(entity):
        detail = f"Raw rows have personal data: this takes the scope {entity.path}:pii."
        await refuse(request, database, caller, detail)


async def check_personal_data(
    request: Request, database: Database, caller: User, entities: Collection[Entity]
) -> None:
    """Raises `Problem` 404, 403 where raw rows of these would show what the caller may not see."""
    for entity in entities:
        check_readable(caller, entity)
        await check_shown(request, database, caller, entity)
    if any(entity.has_personal_data for entity in entities):
        await audit(database, request, "sensitive_read", caller.username)


async def refuse(request: Request, database: Database, caller: User, detail: str) -> NoReturn:
    """Raises `Problem` 403, which the audit log keeps."""
    await audit(database, request, "authz_fail", caller.username, is_success=False)
    raise Problem(403, detail)
