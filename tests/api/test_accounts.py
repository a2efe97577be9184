"""People: creating, changing and deleting users, and their passwords."""

import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.tokens import Tokens
from api.users import add_user_statement
from assay.settings import Settings, read_settings
from tests.api.conftest import CATALOG, PASSWORD, client_of

pytestmark = pytest.mark.anyio

USERS = "/api/v1/users"
LOGIN = "/api/v1/auth/login"
RESET = "/api/v1/auth/reset"
NEW_PASSWORD = "another horse of many words"  # noqa: S105 - of the tests


@pytest.fixture
async def admin(
    app: FastAPI,
    database: psycopg.Connection[Any],  # noqa: ARG001 - cleans up
    users: dict[str, UUID],
    tokens: Tokens,
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, tokens.issue(users["admin"])) as client:
        yield client


@pytest.fixture
async def open_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """Where anybody may register."""
    app = create_app(settings.model_copy(update={"open_registration": True}), CATALOG)
    async with app.router.lifespan_context(app):
        yield app


async def make(admin: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    body = {"username": uuid4().hex, "password": PASSWORD} | members
    response = await admin.post(USERS, json=body)
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    assert response.headers["location"] == f"{USERS}/{user['user_id']}"
    return user


async def log_in(client: httpx.AsyncClient, username: str, password: str) -> httpx.Response:
    return await client.post(LOGIN, data={"username": username, "password": password})


def pointers(response: httpx.Response) -> list[str]:
    assert response.status_code == 422, response.text
    return [error["pointer"] for error in response.json()["errors"]]


async def test_an_admin_makes_reads_changes_and_deletes_users(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    """No answer has a password or a hash."""
    user = await make(admin, role="editor", scopes=["gems:write"], display_name="Ada")
    url = f"{USERS}/{user['user_id']}"
    assert user.pop("code") is None
    assert set(user) == {
        "user_id",
        "username",
        "display_name",
        "role",
        "scopes",
        "is_active",
        "created_at",
    }
    assert (await log_in(nobody, user["username"], PASSWORD)).status_code == 200
    assert (await admin.get(url)).json() == user
    changes = {"role": "reader", "scopes": [], "is_active": False, "display_name": None}
    assert (await admin.patch(url, json=changes)).json() == user | changes
    assert (await log_in(nobody, user["username"], PASSWORD)).status_code == 401
    assert (await admin.delete(url)).status_code == 204
    assert (await admin.get(url)).status_code == 404
    assert (await admin.delete(url)).status_code == 404


async def test_users_are_listed_in_pages_by_name(admin: httpx.AsyncClient) -> None:
    """With the cursor of all lists."""
    for name in ("zoe", "ada", "Bob"):
        await make(admin, username=name)
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await admin.get(USERS, params={"limit": "2", "cursor": cursor})).json()
        names += [user["username"] for user in page["items"]]
        cursor = page["next"]
    assert names == sorted(names)
    assert set(names) == {"zoe", "ada", "bob", "reader", "editor", "admin"}


async def test_a_name_is_taken_once(admin: httpx.AsyncClient) -> None:
    """In whatever case, or width of its letters."""
    response = await admin.post(USERS, json={"username": "\uff21dmin", "password": PASSWORD})
    assert response.status_code == 409
    assert response.json()["errors"][0]["pointer"] == "#/username"


async def test_whoever_has_a_code_chooses_a_password(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient, database: psycopg.Connection[Any]
) -> None:
    """Once, within a day; nobody else knows it then."""
    user = await make(admin, password=None)
    name = user["username"]
    body = {"username": name, "code": user["code"], "password": NEW_PASSWORD}
    assert (await log_in(nobody, name, "")).status_code == 422
    assert (await log_in(nobody, name, user["code"])).status_code == 401
    assert pointers(await nobody.post(RESET, json=body | {"password": "short"})) == ["#/password"]
    assert (await nobody.post(RESET, json=body | {"code": "x"})).status_code == 401
    assert (await nobody.post(RESET, json=body)).status_code == 204
    assert (await log_in(nobody, name, NEW_PASSWORD)).status_code == 200
    assert (await nobody.post(RESET, json=body)).status_code == 401

    code = (await admin.post(f"{USERS}/{user['user_id']}/reset")).json()["code"]
    database.execute("update auth.users set code_expires_at = now() where code_hash is not null")
    assert (await nobody.post(RESET, json=body | {"code": code})).status_code == 401


async def test_b16_an_admin_resets_by_a_code_and_no_password(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    """The old password is gone at once; nobody but the user knows the new one."""
    user = await make(admin)
    url = f"{USERS}/{user['user_id']}"
    assert pointers(await admin.patch(url, json={"password": NEW_PASSWORD})) == ["#/password"]
    code = (await admin.post(f"{url}/reset")).json()["code"]
    assert (await log_in(nobody, user["username"], PASSWORD)).status_code == 401
    body = {"username": user["username"], "code": code, "password": NEW_PASSWORD}
    assert (await nobody.post(RESET, json=body)).status_code == 204
    assert (await log_in(nobody, user["username"], NEW_PASSWORD)).status_code == 200


async def test_b16_changing_a_password_takes_the_old_one(
    app: FastAPI, admin: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    """A stolen access token is not enough."""
    user = await make(admin)
    token = (await log_in(nobody, user["username"], PASSWORD)).json()["access_token"]
    url = f"{USERS}/me/password"
    async with client_of(app, token) as client:
        body = {"old_password": "not this one here", "new_password": NEW_PASSWORD}
        assert pointers(await client.post(url, json=body)) == ["#/old_password"]
        body = {"old_password": PASSWORD, "new_password": "password1234567"}
        assert pointers(await client.post(url, json=body)) == ["#/new_password"]
        body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await client.post(url, json=body)).status_code == 204
    assert (await log_in(nobody, user["username"], PASSWORD)).status_code == 401
    assert (await log_in(nobody, user["username"], NEW_PASSWORD)).status_code == 200


async def test_b18_nobody_registers_unless_it_is_wished_for(nobody: httpx.AsyncClient) -> None:
    """The default is off."""
    body = {"username": "stranger", "password": PASSWORD}
    assert (await nobody.post(USERS, json=body)).status_code == 401


async def test_b18_who_registers_is_a_reader(
    open_app: FastAPI, database: psycopg.Connection[Any]
) -> None:
    """Of what is not restricted; role and scopes are not theirs to give."""
    body = {"username": "stranger", "password": PASSWORD}
    async with client_of(open_app) as client:
        for more in ({"role": "admin"}, {"scopes": ["gems:pii"]}):
            response = await client.post(USERS, json=body | more)
            assert pointers(response) == [f"#/{next(iter(more))}"]
        assert pointers(await client.post(USERS, json={"username": "x"})) == ["#/password"]
        response = await client.post(USERS, json=body)
    assert response.status_code == 201
    row = database.execute("select * from auth.users where username = 'stranger'").fetchone()
    assert row
    assert (row["role"], row["scopes"]) == ("reader", [])


async def test_b18_where_anybody_registers_a_reader_makes_nobody_else(
    open_app: FastAPI, users: dict[str, UUID], tokens: Tokens
) -> None:
    """A token is judged as it is everywhere."""
    body = {"username": "stranger", "password": PASSWORD}
    async with client_of(open_app, tokens.issue(users["reader"])) as client:
        assert (await client.post(USERS, json=body)).status_code == 403


@pytest.mark.parametrize(
    "member", ["user_id", "password_hash", "token_version", "is_admin", "created_at", "code"]
)
async def test_b25_nobody_sets_what_is_not_his(
    admin: httpx.AsyncClient, reader: httpx.AsyncClient, users: dict[str, UUID], member: str
) -> None:
    """Unknown members are 422, of admins too."""
    body = {"username": "x", "password": PASSWORD, member: "x"}
    assert pointers(await admin.post(USERS, json=body)) == [f"#/{member}"]
    url = f"{USERS}/{users['reader']}"
    assert pointers(await admin.patch(url, json={member: "x"})) == [f"#/{member}"]
    assert pointers(await reader.patch(f"{USERS}/me", json={member: "x"})) == [f"#/{member}"]


@pytest.mark.parametrize("member", ["role", "scopes", "is_active", "username", "password"])
async def test_b25_nobody_gives_himself_rights(reader: httpx.AsyncClient, member: str) -> None:
    """Of `/users/me` only the name to show can be changed."""
    assert pointers(await reader.patch(f"{USERS}/me", json={member: "admin"})) == [f"#/{member}"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"scopes": ["gems:own"]}, "#/scopes"),
        ({"scopes": ["unknown:read"]}, "#/scopes"),
        ({"scopes": "gems:read"}, "#/scopes"),
        ({"role": "owner"}, "#/role"),
        ({"role": None}, "#/role"),
        ({"is_active": "false"}, "#/is_active"),
        ({}, "#"),
    ],
)
async def test_a_wrong_change_is_422(
    admin: httpx.AsyncClient, users: dict[str, UUID], change: dict[str, Any], pointer: str
) -> None:
    """Before any connection is taken."""
    response = await admin.patch(f"{USERS}/{users['reader']}", json=change)
    assert pointers(response) == [pointer]


@pytest.mark.parametrize("username", ["", " ", " x", "x\n", "a\0b", "x" * 257])
async def test_a_name_is_plain(admin: httpx.AsyncClient, username: str) -> None:
    body = {"username": username, "password": PASSWORD}
    assert (await admin.post(USERS, json=body)).status_code == 422


@pytest.mark.parametrize("user_id", ["1", "x", "None"])
async def test_an_id_is_a_uuid(admin: httpx.AsyncClient, user_id: str) -> None:
    assert (await admin.get(f"{USERS}/{user_id}")).status_code == 422


async def test_the_last_active_admin_stays(
    admin: httpx.AsyncClient, users: dict[str, UUID]
) -> None:
    """Neither deleted, disabled nor demoted; with a second one, the first may go."""
    url = f"{USERS}/{users['admin']}"
    for change in ({"role": "editor"}, {"is_active": False}):
        assert (await admin.patch(url, json=change)).status_code == 409
    response = await admin.delete(url)
    assert response.status_code == 409
    assert "last active admin" in response.json()["detail"]
    second = await make(admin, role="admin")
    assert (await admin.delete(f"{USERS}/{second['user_id']}")).status_code == 204


def test_of_two_admins_who_leave_at_once_one_stays(
    database_url: str, database: psycopg.Connection[Any]
) -> None:
    """The second waits for the first in PostgreSQL, and counts anew."""
    database.execute(*add_user_statement("second", PASSWORD, "admin"))
    leave = "update auth.users set is_active = false where username = %s"
    with (
        psycopg.connect(database_url) as one,
        psycopg.connect(database_url, autocommit=True) as other,
        ThreadPoolExecutor() as threads,
    ):
        one.execute(leave, ("admin",))
        leaving = threads.submit(other.execute, leave, ("second",))
        try:
            waits = "select from pg_stat_activity where pid = %s and wait_event = 'advisory'"
            while not database.execute(waits, (other.info.backend_pid,)).rowcount:
                assert not leaving.done()
                time.sleep(0.01)
            one.commit()
            with pytest.raises(psycopg.errors.RestrictViolation):
                leaving.result()
        finally:
            database.execute(
                "set session_replication_role = replica;"
                "update auth.users set is_active = true, token_version = 0;"
                "set session_replication_role = origin"
            )


async def test_a_user_changes_how_he_is_called(
    admin: httpx.AsyncClient, nobody: httpx.AsyncClient, app: FastAPI
) -> None:
    user = await make(admin)
    token = (await log_in(nobody, user["username"], PASSWORD)).json()["access_token"]
    async with client_of(app, token) as client:
        me = (await client.patch(f"{USERS}/me", json={"display_name": "Ada"})).json()
        assert (me["display_name"], me["user_id"]) == ("Ada", user["user_id"])
        assert (await client.get(f"{USERS}/me")).json() == me


async def test_deleting_a_user_leaves_the_name_in_what_he_wrote(
    admin: httpx.AsyncClient, database: psycopg.Connection[Any], tokens: Tokens, app: FastAPI
) -> None:
    """`updated_by` is a text."""
    database.execute(*add_user_statement("writer", PASSWORD, "editor"))
    row = database.execute("select user_id from auth.users where username = 'writer'").fetchone()
    assert row
    async with client_of(app, tokens.issue(row["user_id"])) as client:
        assert (await client.post("/api/v1/gems", json={"label": "x"})).status_code == 201
    assert (await admin.delete(f"{USERS}/{row['user_id']}")).status_code == 204
    assert database.execute("select updated_by from curated.gems").fetchall() == [
        {"updated_by": "writer"}
    ]


@pytest.mark.parametrize(
    ("role", "scopes", "may_write"),
    [
        ("reader", (), False),
        ("editor", (), True),
        ("editor", ("gems:write",), True),
        ("editor", ("gems:read",), False),
    ],
)
async def test_the_settings_say_what_who_registers_may_do(
    settings: Settings,
    database: psycopg.Connection[Any],  # noqa: ARG001 - cleans up
    role: str,
    scopes: tuple[str, ...],
    may_write: bool,
) -> None:
    """Register, log in, write; whoever asks for more himself is refused."""
    said = {"open_registration": True, "registration_role": role, "registration_scopes": scopes}
    app = create_app(settings.model_copy(update=said), CATALOG)
    name = uuid4().hex
    async with app.router.lifespan_context(app), client_of(app) as client:
        body = {"username": name, "password": PASSWORD}
        assert (await client.post(USERS, json=body | {"role": "admin"})).status_code == 422
        made = await client.post(USERS, json=body)
        assert made.status_code == 201
        assert (made.json()["role"], made.json()["scopes"]) == (role, sorted(scopes))
        token = (await log_in(client, name, PASSWORD)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        written = await client.post("/api/v1/gems", json={"label": uuid4().hex})
        assert written.status_code == (201 if may_write else 403)


@pytest.mark.parametrize("role", ["admin", "owner"])
def test_nobody_registers_as_an_admin(
    settings: Settings, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRATION_ROLE", role)
    with pytest.raises(ValueError, match="REGISTRATION_ROLE"):
        read_settings(settings.project)


def test_nobody_registers_with_a_scope_that_there_is_not(settings: Settings) -> None:
    """It is said at the start, not to whoever registers."""
    said = settings.model_copy(update={"registration_scopes": ("gems:all",)})
    with pytest.raises(ValueError, match="REGISTRATION_SCOPES: There is no such scope"):
        create_app(said, CATALOG)
