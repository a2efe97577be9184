"""Users: what each may do, and the SQL about them."""

# ruff: noqa: S608, S105 - the texts are our own, and are no passwords

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from api.database import Database
from api.passwords import hash_password, verify_in_thread
from api.tokens import Claims
from assay.catalog import Entity

Role = Literal["reader", "editor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do all that those before it may."""

SCOPES = ("read", "write", "pii")
ALL = "*"
"""In the place of a path: each dataset that is not restricted."""
_LOADED = re.compile(r"load\s+\d+\s+row\b")
_WITHOUT_SCOPES = frozenset({f"{ALL}:write"})
"""What who has no scope has."""
TABLE = "auth.users"

USER_BY_NAME = """
select user_id, username, is_active, password_hash from auth.users where username = $1
"""
# A session that is not known was not ended: tokens outlive no session, which stays for 30 days.
USER_OF_CLAIMS = """
select user_id, username, role, scopes
from auth.users
where user_id = $1 and is_active and token_version = $2
and not exists (
    select from auth.sessions where session_id = $3 and revoked_at is not null
)
"""
_ADD_USER = "insert into auth.users (username, password_hash, role) values (%s, %s, %s)"
ARE_THERE_USERS = "select exists (select from auth.users) as are_there"
# Several processes may start at once.
ADD_FIRST_ADMIN = """
insert into auth.users (username, password_hash, role)
select $1, $2, 'admin'
where not exists (select from auth.users)
on conflict (username) do nothing
returning username
"""
_SET_PASSWORD_BY_NAME = """
update auth.users set
    password_hash = %s, token_version = token_version + 1,
    code_hash = null, code_expires_at = null
where username = %s
"""
STORE_HASH = """
update auth.users set password_hash = $3 where user_id = $1 and password_hash = $2
"""
_SHOWN = "user_id, username, display_name, role, scopes, is_active, created_at"
ONE_USER = f"""
select username, row_to_json(shown.*)::text as body
from (select {_SHOWN} from auth.users where user_id = $1) as shown
"""
# $1 limit, $2 name to go on after
PAGE_OF_USERS = f"""
with page as (
    select {_SHOWN} from auth.users where $2::text is null or username > $2
    order by username limit $1::integer + 1
),
shown as (select * from page order by username limit $1::integer)
select
    (
        select coalesce(json_agg(row_to_json(shown.*) order by username), '[]')::text from shown
    ) as items,
    case when (select count(*) from page) > $1::integer then (
        select json_build_array(max(username))::text from shown
    ) end as last
"""
CREATE_USER = f"""
with made as (
    insert into auth.users (
        username, password_hash, role, scopes, display_name, code_hash, code_expires_at
    )
    values ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7::interval)
    returning {_SHOWN}
)
select user_id, row_to_json(made.*)::text as body from made
"""
# A member that is not there is null, and stays; `display_name` can be null, and has a flag.
CHANGE_USER = f"""
with changed as (
    update auth.users set
        role = coalesce($2, role),
        scopes = coalesce($3, scopes),
        is_active = coalesce($4, is_active),
        display_name = case when $5 then $6 else display_name end
    where user_id = $1
    returning {_SHOWN}
)
select username, row_to_json(changed.*)::text as body from changed
"""
DELETE_USER = "delete from auth.users where user_id = $1 returning username"
SET_PASSWORD = """
update auth.users set
    password_hash = $2, token_version = token_version + 1,
    code_hash = null, code_expires_at = null
where user_id = $1
returning user_id
"""
SET_CODE = """
update auth.users set
    password_hash = '', token_version = token_version + 1,
    code_hash = $2, code_expires_at = clock_timestamp() + $3::interval
where user_id = $1
returning username
"""
# One who is faster takes it: the row is read again after the wait for it.
USE_CODE = """
update auth.users set
    password_hash = $3, token_version = token_version + 1,
    code_hash = null, code_expires_at = null
where username = $1 and code_hash = $2 and code_expires_at > clock_timestamp() and is_active
returning user_id
"""


@dataclass(frozen=True)
class User:
    """Who calls. A role says which verbs, scopes say which datasets (docs/security.md)."""

    user_id: UUID
    username: str
    role: Role
    scopes: frozenset[str] = frozenset()

    def may_read(self, entity: Entity) -> bool:
        """All that are not restricted without any scope, else those that the scopes name."""
        if entity.path is None:
            return not entity.is_restricted
        return any(self._has(scope, entity) for scope in SCOPES)

    def may_write(self, entity: Entity) -> bool:
        if self.role == "reader":
            return False
        if entity.path is None:
            return not entity.is_restricted
        return self._has("write", entity)

    def sees_personal_data_of(self, entity: Entity) -> bool:
        """True also where there is none."""
        return not entity.has_personal_data or self._has("pii", entity)

    def _has(self, scope: str, entity: Entity) -> bool:
        scopes = self.scopes or _WITHOUT_SCOPES
        return f"{entity.path}:{scope}" in scopes or (
            not entity.is_restricted and f"{ALL}:{scope}" in scopes
        )


def normal_username(username: str) -> str:
    """NFKC in lower case: the form in which names are stored and compared."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).lower())


def check_username(username: str) -> None:
    """Raises `ValueError` with a sentence for what is no name of a person.

    What loads write calls itself `load 1 row 2`; who was called so would pass for one.
    """
    name = normal_username(username)
    if not name.strip() or username != username.strip() or not username.isprintable():
        raise ValueError("A user has a name, without white space around it.")
    if _LOADED.match(name):
        raise ValueError("A name does not begin as that of a loaded row does (`load 1 row 2`).")


def add_user_statement(username: str, password: str, role: str) -> tuple[str, tuple[str, ...]]:
    """A new user as a statement for psycopg and its values.

    Raises:
        ValueError: As `check_username` and `hash_password`.
    """
    check_username(username)
    name = normal_username(username)
    return _ADD_USER, (name, hash_password(password, name), role)


def set_password_statement(username: str, password: str) -> tuple[str, tuple[str, ...]]:
    """Likewise another password; no row is changed where there is no such user."""
    name = normal_username(username)
    return _SET_PASSWORD_BY_NAME, (hash_password(password, name), name)


async def user_of_claims(database: Database, claims: Claims) -> User | None:
    """The user as the database has it now, if active and nothing has ended the session."""
    values = (claims.user_id, claims.version, claims.session_id)
    row = await database.fetch_row(USER_OF_CLAIMS, *values)
    if row is None:
        return None
    return User(row["user_id"], row["username"], row["role"], frozenset(row["scopes"]))


@dataclass(frozen=True)
class Known:
    """A user that a name belongs to, and whether the password was right and may be used."""

    user_id: UUID
    username: str
    is_authentic: bool


async def authenticate(database: Database, username: str, password: str) -> Known | None:
    """None where nobody has the name. That takes as long as a wrong password or a disabled user."""
    row = await database.fetch_row(USER_BY_NAME, normal_username(username))
    matches, updated = await verify_in_thread(password, row["password_hash"] if row else None)
    if row is None:
        return None
    is_authentic = matches and row["is_active"]
    if is_authentic and updated:
        values = (row["user_id"], row["password_hash"], updated)
        await database.write_row(TABLE, STORE_HASH, *values)
    return Known(row["user_id"], row["username"], is_authentic)
