"""Sessions and their refresh tokens: opaque, used once, then another (RFC 9700, 4.14)."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Literal
from uuid import UUID

from api.database import Database

IDLE = timedelta(hours=24)
ABSOLUTE = timedelta(days=30)
GRACE = timedelta(seconds=10)
"""Two requests of one client may collide: one that comes so soon after the first is no theft."""

_TABLE = "auth.sessions"
_TOKEN_BYTES = 32
# Also takes away what this user's sessions of long ago left.
BEGIN_SESSION = """
with gone as (
    delete from auth.sessions
    where user_id = $1 and created_at < clock_timestamp() - $3::interval
),
begun as (
    insert into auth.sessions (user_id, token_version)
    select user_id, token_version from auth.users where user_id = $1 and is_active
    returning session_id, token_version
),
issued as (
    insert into auth.refresh_tokens (sha256, session_id) select $2, session_id from begun
)
select session_id, token_version from begun
"""
# Who waits for the lock of the token reads it again: of two, the second finds it used.
REFRESH = """
with presented as (
    select
        tokens.sha256, tokens.used_at, tokens.issued_at, sessions.session_id,
        sessions.created_at, sessions.revoked_at, users.user_id, users.username,
        users.token_version,
        users.is_active and users.token_version = sessions.token_version as is_current
    from auth.refresh_tokens as tokens
    inner join auth.sessions as sessions using (session_id)
    inner join auth.users as users using (user_id)
    where tokens.sha256 = $1
    for update of tokens
),
judged as (
    select *, case
        when revoked_at is not null or not is_current then 'ended'
        when used_at < clock_timestamp() - $5::interval then 'reused'
        when used_at is not null then 'collided'
        when issued_at < clock_timestamp() - $3::interval then 'ended'
        when created_at < clock_timestamp() - $4::interval then 'ended'
        else 'fresh'
    end as verdict
    from presented
),
used as (
    update auth.refresh_tokens as tokens set used_at = clock_timestamp()
    from judged where tokens.sha256 = judged.sha256 and verdict = 'fresh'
    returning tokens.session_id
),
issued as (
    insert into auth.refresh_tokens (sha256, session_id) select $2, session_id from used
),
revoked as (
    update auth.sessions set revoked_at = clock_timestamp()
    from judged where sessions.session_id = judged.session_id and verdict = 'reused'
)
select verdict, user_id, username, session_id, token_version from judged
"""
END_SESSION = """
update auth.sessions set revoked_at = clock_timestamp()
where session_id = $1 and revoked_at is null
"""
END_ALL_SESSIONS = "update auth.users set token_version = token_version + 1 where user_id = $1"

Verdict = Literal["fresh", "collided", "reused", "ended", "unknown"]


@dataclass(frozen=True)
class Session:
    user_id: UUID
    session_id: UUID
    token_version: int
    refresh_token: str


def new_code() -> tuple[str, bytes]:
    """256 random bits as text, and what is stored of them."""
    text = secrets.token_urlsafe(_TOKEN_BYTES)
    return text, hash_of(text)


def hash_of(text: str) -> bytes:
    """Fast, as what it hides is random."""
    return sha256(text.encode()).digest()


async def begin_session(database: Database, user_id: UUID) -> Session | None:
    """None if the user was disabled just now."""
    text, hashed = new_code()
    row = await database.write_row(_TABLE, BEGIN_SESSION, user_id, hashed, ABSOLUTE)
    return Session(user_id, row["session_id"], row["token_version"], text) if row else None


async def refresh_session(
    database: Database, token: str
) -> tuple[Verdict, str | None, Session | None]:
    """What became of a refresh token, whose it is, and the session if it goes on.

    A token that comes again ends the session, for whoever has it: it was stolen.
    """
    text, hashed = new_code()
    values = (hash_of(token), hashed, IDLE, ABSOLUTE, GRACE)
    row = await database.write_row(_TABLE, REFRESH, *values)
    if row is None:
        return "unknown", None, None
    if row["verdict"] != "fresh":
        return row["verdict"], row["username"], None
    session = Session(row["user_id"], row["session_id"], row["token_version"], text)
    return "fresh", row["username"], session


async def end_session(database: Database, session_id: UUID) -> None:
    await database.write_row(_TABLE, END_SESSION, session_id)


async def end_all_sessions(database: Database, user_id: UUID) -> None:
    await database.write_row(_TABLE, END_ALL_SESSIONS, user_id)
