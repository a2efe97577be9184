"""Sessions: refresh tokens, logging out, and what ends access tokens."""

import asyncio
from datetime import datetime, timedelta, tzinfo
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest
from fastapi import FastAPI

from api.tokens import KeyRing, Tokens, id_of, read_keys, rotate_keys
from api.users import add_user_statement
from tests.api.conftest import GEMS, PASSWORD, SECRET, client_of

pytestmark = pytest.mark.anyio

AUTH = "/api/v1/auth"


@pytest.fixture
def name(database: psycopg.Connection[Any]) -> str:
    """Of an editor that only this test has."""
    name = uuid4().hex
    database.execute(*add_user_statement(name, PASSWORD, "editor"))
    return name


async def log_in(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    form = {"username": name, "password": PASSWORD}
    response = await client.post(f"{AUTH}/login", data=form)
    assert response.status_code == 200
    token: dict[str, Any] = response.json()
    return token


async def refresh(client: httpx.AsyncClient, token: dict[str, Any]) -> httpx.Response:
    body = {"refresh_token": token["refresh_token"]}
    return await client.post(f"{AUTH}/refresh", json=body)


async def status(app: FastAPI, token: dict[str, Any], method: str = "GET", **body: Any) -> int:
    async with client_of(app, token["access_token"]) as client:
        url = GEMS if method == "GET" else f"{AUTH}/logout"
        return (await client.request(method, url, **body)).status_code


def age(database: psycopg.Connection[Any], table: str, column: str, interval: str) -> None:
    database.execute(f"update auth.{table} set {column} = {column} - interval '{interval}'")


async def test_b04_tokens_of_one_kind_are_not_those_of_the_other(
    app: FastAPI, nobody: httpx.AsyncClient, name: str
) -> None:
    """A refresh token is no JWT, and opens nothing; an access token refreshes nothing."""
    token = await log_in(nobody, name)
    with pytest.raises(jwt.DecodeError):
        jwt.get_unverified_header(token["refresh_token"])
    assert await status(app, {"access_token": token["refresh_token"]}) == 401
    assert (await refresh(nobody, {"refresh_token": token["access_token"]})).status_code == 401


async def test_b05_an_access_token_lives_15_minutes(nobody: httpx.AsyncClient, name: str) -> None:
    """As its claims and `expires_in` say."""
    token = await log_in(nobody, name)
    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == token["expires_in"] == 15 * 60


@pytest.mark.parametrize(
    ("table", "column", "just", "too"),
    [
        ("refresh_tokens", "issued_at", "23 hours 59 minutes", "24 hours 1 second"),
        ("sessions", "created_at", "29 days 23 hours", "30 days 1 second"),
    ],
)
async def test_b05_a_session_ends_24_hours_after_its_last_refresh_and_after_30_days(  # noqa: PLR0913, PLR0917
    nobody: httpx.AsyncClient,
    database: psycopg.Connection[Any],
    name: str,
    table: str,
    column: str,
    just: str,
    too: str,
) -> None:
    """Just before, it goes on."""
    token = await log_in(nobody, name)
    age(database, table, column, just)
    fresh = await refresh(nobody, token)
    assert fresh.status_code == 200
    database.execute(f"update auth.{table} set {column} = now()")
    age(database, table, column, too)
    assert (await refresh(nobody, fresh.json())).status_code == 401


async def test_b06_refresh_tokens_rotate(
    app: FastAPI, nobody: httpx.AsyncClient, database: psycopg.Connection[Any], name: str
) -> None:
    """Each gives another one of 256 bits, of which PostgreSQL has the SHA-256 only."""
    token = await log_in(nobody, name)
    following = (await refresh(nobody, token)).json()
    assert following["refresh_token"] != token["refresh_token"]
    assert await status(app, following) == 200
    assert (await refresh(nobody, following)).status_code == 200
    stored = {row["sha256"] for row in database.execute("select * from auth.refresh_tokens")}
    assert sha256(token["refresh_token"].encode()).digest() in stored
    assert len(token["refresh_token"]) == 43  # 32 bytes in base64


async def test_b06_a_refresh_token_that_comes_again_ends_the_session(
    app: FastAPI, nobody: httpx.AsyncClient, database: psycopg.Connection[Any], name: str
) -> None:
    """It was stolen, by whoever came first or second: nobody goes on, and it is kept."""
    other = await log_in(nobody, name)
    token = await log_in(nobody, name)
    following = (await refresh(nobody, token)).json()
    age(database, "refresh_tokens", "used_at", "11 seconds")
    assert (await refresh(nobody, token)).status_code == 401
    assert (await refresh(nobody, following)).status_code == 401
    assert await status(app, following) == 401
    assert await status(app, other) == 200
    events = database.execute("select event, username from auth.audit_events order by event_id")
    assert {"event": "authn_token_reuse", "username": name} in events.fetchall()


async def test_b06_two_refreshes_at_once_do_not_end_the_session(
    app: FastAPI, nobody: httpx.AsyncClient, name: str
) -> None:
    """One wins; the others are refused, and what the winner got is good."""
    token = await log_in(nobody, name)
    responses = await asyncio.gather(*(refresh(nobody, token) for _ in range(4)))
    assert sorted(r.status_code for r in responses) == [200, 401, 401, 401]
    winner = next(r.json() for r in responses if r.status_code == 200)
    assert await status(app, winner) == 200
    assert (await refresh(nobody, winner)).status_code == 200


async def test_b07_logout_ends_this_session_only(
    app: FastAPI, nobody: httpx.AsyncClient, name: str
) -> None:
    """Its access token at once, and its refresh token."""
    token, other = await log_in(nobody, name), await log_in(nobody, name)
    assert await status(app, token, "POST") == 204
    assert await status(app, token) == 401
    assert (await refresh(nobody, token)).status_code == 401
    assert await status(app, other) == 200
    assert (await refresh(nobody, other)).status_code == 200


async def test_b07_logout_everywhere_ends_all(
    app: FastAPI, nobody: httpx.AsyncClient, name: str
) -> None:
    """Of this user; the next login works."""
    token, other = await log_in(nobody, name), await log_in(nobody, name)
    assert await status(app, token, "POST", json={"everywhere": True}) == 204
    assert await status(app, other) == 401
    assert (await refresh(nobody, other)).status_code == 401
    assert await status(app, await log_in(nobody, name)) == 200


@pytest.mark.parametrize(
    "change", ["is_active = false", "role = 'reader'", "scopes = '{gems:read}'"]
)
async def test_b07_changed_rights_end_all_sessions(
    app: FastAPI,
    nobody: httpx.AsyncClient,
    database: psycopg.Connection[Any],
    name: str,
    change: str,
) -> None:
    """Whoever changes them, by the API or in PostgreSQL."""
    token = await log_in(nobody, name)
    database.execute(f"update auth.users set {change} where username = %s", (name,))
    assert await status(app, token) == 401
    assert (await refresh(nobody, token)).status_code == 401


async def test_b07_a_changed_password_ends_all_sessions(
    app: FastAPI, nobody: httpx.AsyncClient, name: str
) -> None:
    """The one that changed it too."""
    token = await log_in(nobody, name)
    body = {"old_password": PASSWORD, "new_password": "another horse of many words"}
    async with client_of(app, token["access_token"]) as client:
        assert (await client.post("/api/v1/users/me/password", json=body)).status_code == 204
    assert await status(app, token) == 401
    assert (await refresh(nobody, token)).status_code == 401


async def test_b08_an_ended_session_is_known_by_its_id(
    app: FastAPI, nobody: httpx.AsyncClient, tokens: Tokens, name: str
) -> None:
    """Another text of the token, or another token of the session, is ended with it."""
    token = await log_in(nobody, name)
    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    again = {"access_token": tokens.issue(claims["sub"], claims["ver"], claims["sid"])}
    assert await status(app, again) == 200
    assert await status(app, token, "POST") == 204
    assert await status(app, again) == 401
    assert await status(app, {"access_token": token["access_token"] + "="}) == 401


async def test_b09_keys_rotate_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest signs; the one before is taken until what it signed has expired."""
    file = tmp_path / ".assay" / "keys.json"
    tokens = Tokens(SECRET, file)
    user = uuid4()
    before = tokens.issue(user)
    assert jwt.get_unverified_header(before)["kid"] == id_of(SECRET)
    kid = rotate_keys(file)
    after = tokens.issue(user)
    assert jwt.get_unverified_header(after)["kid"] == kid
    assert tokens.read(before).user_id == tokens.read(after).user_id == user
    assert file.stat().st_mode & 0o777 == 0o600
    ((key, made_at),) = read_keys(file)
    assert len(key.encode()) >= 32

    class Later(datetime):
        """The clock, 16 minutes on."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # noqa: ARG003 - it is UTC
            return made_at + timedelta(minutes=16)

    monkeypatch.setattr("api.tokens.datetime", Later)
    ring = KeyRing(SECRET, file)
    assert ring.key(id_of(SECRET)) is None
    assert ring.key(kid) == ring.newest()[1] == key
    rotate_keys(file)
    rotate_keys(file)
    assert len(read_keys(file)) == 3  # what the first signed is still good
    assert KeyRing(SECRET).key(id_of(SECRET)) == SECRET


def test_b09_keys_have_at_least_32_bytes(tmp_path: Path) -> None:
    """RFC 7518, 3.2; those of the file too, and a file of something else is refused."""
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens("x" * 31)
    file = tmp_path / "keys.json"
    file.write_text('[{"key": "short", "made_at": "2026-01-01T00:00:00+00:00"}]')
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens(SECRET, file).issue(uuid4())
    file.write_text("{}x")
    with pytest.raises(ValueError, match="has no keys"):
        Tokens(SECRET, file).issue(uuid4())


async def test_b10_a_401_says_how_to_log_in(nobody: httpx.AsyncClient) -> None:
    """RFC 6750, 3; a token in the URL is no token but an unknown parameter."""
    response = await nobody.get(GEMS)
    assert response.headers["www-authenticate"] == "Bearer"
    response = await nobody.get(GEMS, headers={"Authorization": "Bearer x"})
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_b10_a_token_in_the_url_opens_nothing(
    app: FastAPI, nobody: httpx.AsyncClient, name: str
) -> None:
    """RFC 9700, 4.3.2."""
    token = (await log_in(nobody, name))["access_token"]
    async with client_of(app) as client:
        assert (await client.get(f"{GEMS}?access_token={token}")).status_code == 401


async def test_b20_every_worker_takes_the_tokens_of_the_others() -> None:
    """No key is made for one process: what one signs another reads, also after a restart."""
    user = uuid4()
    assert Tokens(SECRET).read(Tokens(SECRET).issue(user)).user_id == user
