"""Users and their passwords. Hashing takes time: the API does it in a few threads."""

import asyncio
import logging
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, cast, get_args
from uuid import UUID

from passlib.context import CryptContext  # type: ignore[import-untyped]

from api.database import Database

Role = Literal["reader", "editor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do all that those before it may."""

MIN_PASSWORD = 8
MAX_PASSWORD = 128
"""In code points: hashing costs time that grows with the length."""

USER_BY_NAME = """
select user_id, username, role, is_active, password_hash from auth.users where username = $1
"""
USER_BY_ID = "select user_id, username, role from auth.users where user_id = $1 and is_active"
_ADD_USER = """
insert into auth.users (username, password_hash, role) values ({}, {}, {}) returning user_id
"""

# OWASP's parameters (Password Storage Cheat Sheet); `dummy_verify` takes the same time with them.
_CONTEXT = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__memory_cost=19456,
    argon2__time_cost=2,
    argon2__parallelism=1,
)
# Each hash takes 19 MiB: the number of threads bounds what many logins at once cost.
_HASHING = ThreadPoolExecutor(max_workers=4, thread_name_prefix="password")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class User:
    user_id: UUID
    username: str
    role: Role

    def sees_personal_data_of(self, entity):
        return True


def normal_username(username: str) -> str:
    """NFKC in lower case: the form in which names are stored and compared."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).lower())


def hash_password(password: str) -> str:
    """Argon2id hash for `auth.users.password_hash`.

    Raises:
        ValueError: It is too short or too long; the message is a sentence.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ValueError(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
    return cast("str", _CONTEXT.hash(_normal_password(password)))


def add_user_statement(username: str, password: str, role: str) -> tuple[str, tuple[str, ...]]:
    """A new user as a statement for psycopg and its values; raises as `hash_password` does."""
    values = (normal_username(username), hash_password(password), role)
    return _ADD_USER.format("%s", "%s", "%s"), values


async def create_user(database: Database, username: str, password: str, role: Role) -> User:
    """Raises `ValueError` as `hash_password` does, `asyncpg.UniqueViolationError` if it exists."""
    loop = asyncio.get_running_loop()
    hashed = await loop.run_in_executor(_HASHING, hash_password, password)
    name = normal_username(username)
    row = await database.fetch_row(_ADD_USER.format("$1", "$2", "$3"), name, hashed, role)
    assert row is not None  # noqa: S101 - an insert returns its row
    return User(row["user_id"], name, role)


async def user_by_id(database: Database, user_id: UUID) -> User | None:
    """The user as the database has it now, if active."""
    row = await database.fetch_row(USER_BY_ID, user_id)
    return User(row["user_id"], row["username"], row["role"]) if row else None


async def authenticate(database: Database, username: str, password: str) -> User | None:
    """The active user of that name and password; unknown ones take as long as wrong passwords."""
    row = await database.fetch_row(USER_BY_NAME, normal_username(username))
    loop = asyncio.get_running_loop()
    stored = row["password_hash"] if row else None
    matches = await loop.run_in_executor(_HASHING, _verify, password, stored)
    if row is None or not matches or not row["is_active"]:
        return None
    return User(row["user_id"], row["username"], row["role"])


def warm_up() -> None:
    """Make the hash that `dummy_verify` uses: else the first unknown user takes twice the time."""
    _CONTEXT.dummy_verify()


def _verify(password: str, stored: str | None) -> bool:
    if stored is not None:
        try:
            return bool(_CONTEXT.verify(_normal_password(password), stored))
        except ValueError:
            _log.exception("a stored password hash cannot be read")
    _CONTEXT.dummy_verify()
    return False


def _normal_password(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
