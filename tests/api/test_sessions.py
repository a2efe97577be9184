"""Logging in."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
import psycopg
import pytest
from fastapi import FastAPI

from api import passwords, users
from api.tokens import id_of
from tests.api.conftest import PASSWORD, SECRET, client_of

pytestmark = pytest.mark.anyio

LOGIN = "/api/v1/auth/login"


async def log_in(client: httpx.AsyncClient, username: str, password: str) -> httpx.Response:
    return await client.post(LOGIN, data={"username": username, "password": password})


async def test_a_login_gives_a_token_that_works(
    nobody: httpx.AsyncClient, app: FastAPI, users: dict[str, Any]
) -> None:
    response = await log_in(nobody, "editor", PASSWORD)
    assert response.status_code == 200
    token = response.json()
    assert set(token) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (token["token_type"], token["expires_in"]) == ("bearer", 900)
    async with client_of(app, token["access_token"]) as client:
        me = (await client.get("/api/v1/users/me")).json()
    assert (me["user_id"], me["username"], me["role"]) == (
        str(users["editor"]),
        "editor",
        "editor",
    )


async def test_a_token_has_all_claims_and_lives_15_minutes(nobody: httpx.AsyncClient) -> None:
    token = (await log_in(nobody, "reader", PASSWORD)).json()["access_token"]
    decoded = jwt.decode_complete(token, SECRET, ["HS256"], audience="assay api")
    assert decoded["header"] == {"alg": "HS256", "typ": "at+jwt", "kid": id_of(SECRET)}
    payload = decoded["payload"]
    assert set(payload) == {"exp", "nbf", "iat", "iss", "aud", "sub", "jti", "sid", "ver"}
    assert payload["exp"] - payload["iat"] == 900


async def test_a_username_is_compared_in_normal_form(nobody: httpx.AsyncClient) -> None:
    """Lower case and NFKC: full-width letters are letters."""
    assert (await log_in(nobody, "\uff21\uff24\uff2d\uff29\uff2e", PASSWORD)).status_code == 200


async def test_all_failures_look_the_same(
    nobody: httpx.AsyncClient, database: psycopg.Connection[Any]
) -> None:
    database.execute(*users.add_user_statement("left", PASSWORD, "reader"))
    database.execute("update auth.users set is_active = false where username = 'left'")
    database.execute("insert into auth.users values (default, 'broken', 'garbage', 'reader')")
    answers = []
    for username, password in (
        ("nobody", PASSWORD),
        ("editor", "wrong"),
        ("editor", PASSWORD + "\0"),
        ("left", PASSWORD),
        ("broken", "garbage"),
    ):
        response = await log_in(nobody, username, password)
        assert response.headers["www-authenticate"] == "Bearer"
        body = response.json()
        del body["request_id"]
        answers.append((response.status_code, body))
    assert answers[0][0] == 401
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        ({"username": "editor"}, "#/password"),
        ({"password": PASSWORD}, "#/username"),
        ({"username": "", "password": PASSWORD}, "#/username"),
        ({"username": "editor", "password": "x" * 129}, "#/password"),
        ({"username": "editor", "password": "x" * 1_000_000}, "#/password"),
        ({"username": "x" * 257, "password": PASSWORD}, "#/username"),
        ({"username": "edi\0tor", "password": PASSWORD}, "#/username"),
        ({"username": "e", "password": PASSWORD, "grant_type": "code"}, "#/grant_type"),
    ],
)
async def test_a_wrong_form_is_422_before_any_hashing(
    nobody: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, form: dict[str, str], pointer: str
) -> None:
    monkeypatch.setattr(passwords, "_verify", None)
    response = await nobody.post(LOGIN, data=form)
    assert response.status_code == 422
    assert [e["pointer"] for e in response.json()["errors"]] == [pointer]
    assert PASSWORD not in response.text


async def test_a_password_of_128_wide_characters_is_hashed(nobody: httpx.AsyncClient) -> None:
    assert (await log_in(nobody, "editor", "🔑" * 128)).status_code == 401


async def test_other_oauth2_fields_are_ignored(nobody: httpx.AsyncClient) -> None:
    """As RFC 6749 wants it; Swagger UI sends them."""
    form = {"username": "editor", "password": PASSWORD, "grant_type": "password", "scope": ""}
    assert (await nobody.post(LOGIN, data=form | {"client_id": "x"})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        urlencode([("username", "editor"), ("username", "admin"), ("password", PASSWORD)]),
        "username=%ff&password=x",
        "&".join(f"field{n}=" for n in range(100)),
    ],
)
async def test_an_ambiguous_form_is_422(nobody: httpx.AsyncClient, body: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await nobody.post(LOGIN, content=body, headers=headers)).status_code == 422


async def test_json_is_no_form(nobody: httpx.AsyncClient) -> None:
    assert (await nobody.post(LOGIN, json={"username": "editor"})).status_code == 415


async def test_many_logins_at_once_all_succeed(nobody: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(log_in(nobody, "editor", PASSWORD) for _ in range(20)))
    assert {response.status_code for response in responses} == {200}


@pytest.mark.parametrize("length", [14, 129])
def test_a_new_password_has_15_to_128_characters(length: int) -> None:
    with pytest.raises(ValueError, match="A password has 15 to 128 characters"):
        passwords.hash_password(("xyzzy plugh " * 12)[:length])


def test_a_hash_has_the_parameters_that_owasp_names() -> None:
    assert passwords.hash_password(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
