"""Who may do what: tokens, roles, and pages for this machine only."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
from fastapi import FastAPI

from api.errors import Problem
from api.tokens import Tokens, id_of, rotate_keys
from api.users import add_user_statement
from tests.api.conftest import GEMS, PASSWORD, SECRET, client_of
from tests.conftest import PLATFORM

pytestmark = pytest.mark.anyio

ROW: dict[str, Any] = {"json": {"label": "x"}}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "exp": now + 900,
        "nbf": now,
        "iat": now,
        "iss": "assay",
        "aud": "assay api",
        "sub": str(uuid4()),
        "jti": "1",
        "sid": str(UUID(int=1)),
        "ver": 0,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(
    payload: dict[str, Any], key: str = SECRET, algorithm: str = "HS256", **header: Any
) -> str:
    return jwt.encode(payload, key, algorithm, {"typ": "at+jwt", "kid": id_of(SECRET)} | header)


def tampered(token: str) -> str:
    """The last but one character carries six bits of the signature."""
    changed = "A" if token[-2] != "A" else "B"
    return token[:-2] + changed + token[-1]


def unsigned(payload: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "at+jwt"}, payload)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(part.rstrip("=") for part in encoded) + "."


def signed_by_hand(payload: dict[str, Any], **header: Any) -> str:
    """PyJWT refuses to make such a header."""
    parts = ({"alg": "HS256", "typ": "at+jwt"} | header, payload)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signed_part = b".".join(encoded)
    mac = hmac.digest(SECRET.encode(), signed_part, "sha256")
    return b".".join((signed_part, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()


def bad_tokens(subject: UUID) -> dict[str, str]:
    """All but the named fault would do."""
    now = int(time.time())
    good = claims(sub=str(subject))
    other = signed(claims(sub=str(uuid4()))).split(".")
    header, payload, signature = signed(good).split(".")
    return {
        "expired": signed(good | {"exp": now - 31}),
        "not yet valid": signed(good | {"nbf": now + 40}),
        "issued in the future": signed(good | {"iat": now + 40}),
        "tampered signature": tampered(signed(good)),
        "tampered payload": f"{header}.{other[1]}.{signature}",
        "no signature": f"{header}.{payload}.",
        "alg none": unsigned(good),
        "other algorithm": signed(good, SECRET * 2, "HS512"),
        "other secret": signed(good, "another secret of more than 32 bytes"),
        "wrong typ": signed(good, typ="JWT"),
        "no kid": jwt.encode(good, SECRET, "HS256", {"typ": "at+jwt"}),
        "unknown kid": signed(good, kid="0" * 16),
        "kid of no text": signed_by_hand(good, kid=["x"]),
        "jku": signed(good, jku="http://localhost:9/keys"),
        "x5u": signed(good, x5u="http://localhost:9/keys"),
        "jwk": signed(good, jwk={"kty": "oct", "k": "AAAA"}),
        "crit": signed(good, crit=["exp"]),
        "padded": signed(good) + "=",
        "version of text": signed(good | {"ver": "0"}),
        "other version": signed(good | {"ver": 1}),
        "no session id": signed(good | {"sid": "x"}),
        "wrong aud": signed(good | {"aud": "other"}),
        "list of aud": signed(good | {"aud": ["assay api"]}),
        "wrong iss": signed(good | {"iss": "other"}),
        "no user id": signed(good | {"sub": "admin"}),
        "unknown user": signed(good | {"sub": str(uuid4())}),
        "garbage": "garbage",
        "dots": "..",
        "not ascii": "\xfc.\xfc.\xfc",
        **{f"no {name}": signed(claims(**{"sub": str(subject), name: None})) for name in good},
    }


B01 = ("alg none", "other algorithm", "no signature")
B02 = (
    "tampered signature",
    "tampered payload",
    "other secret",
    "no kid",
    "unknown kid",
    "kid of no text",
    "jku",
    "x5u",
    "jwk",
    "crit",
    "padded",
    "garbage",
    "dots",
    "not ascii",
)
B04 = ("wrong typ",)


async def refused(app: FastAPI, token: str) -> str:
    """What it is told."""
    async with client_of(app) as client:
        headers = {b"Authorization": f"Bearer {token}".encode("latin-1")}
        response = await client.get(GEMS, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    detail: str = response.json()["detail"]
    return detail


@pytest.mark.parametrize("fault", B01)
async def test_b01_one_algorithm(app: FastAPI, users: dict[str, UUID], fault: str) -> None:
    """HS256; whatever else the header says is 401."""
    await refused(app, bad_tokens(users["admin"])[fault])


@pytest.mark.parametrize("fault", B02)
async def test_b02_what_was_tampered_with_is_401(
    app: FastAPI, users: dict[str, UUID], fault: str
) -> None:
    """A header that names a key elsewhere too: nothing is asked there."""
    await refused(app, bad_tokens(users["admin"])[fault])


async def test_b03_each_claim_is_there_and_right(app: FastAPI, users: dict[str, UUID]) -> None:
    """None is optional; the leeway is 30 seconds."""
    now = int(time.time())
    good = claims(sub=str(users["reader"]))
    for fault, token in bad_tokens(users["admin"]).items():
        if fault not in (*B01, *B02, *B04):
            await refused(app, token)
    late = signed(good | {"exp": now - 20, "nbf": now + 20, "iat": now + 20})
    async with client_of(app, late) as client:
        assert (await client.get(GEMS)).status_code == 200


@pytest.mark.parametrize("shift", [-3600, -40, -20, 20, 40, 3600])
async def test_a18_a_clock_may_be_half_a_minute_wrong(
    app: FastAPI, users: dict[str, UUID], shift: int
) -> None:
    """Of another server that issued the token: it ends now, or begins now, by that clock."""
    now = int(time.time()) + shift
    begin = {"nbf": now, "iat": now, "exp": now + 10_000}
    end = {"nbf": now - 10_000, "iat": now - 10_000, "exp": now}
    token = signed(claims(sub=str(users["reader"])) | (begin if shift > 0 else end))
    async with client_of(app, token) as client:
        assert (await client.get(GEMS)).status_code == (200 if abs(shift) < 30 else 401)


async def test_b04_a_token_of_another_type_is_401(app: FastAPI, users: dict[str, UUID]) -> None:
    """Though all else is right."""
    await refused(app, bad_tokens(users["admin"])["wrong typ"])


async def test_no_fault_of_a_token_is_told_from_another(
    app: FastAPI, users: dict[str, UUID]
) -> None:
    """One answer for all that the token itself shows."""
    of_database = ("unknown user", "other version")
    tokens = bad_tokens(users["admin"])
    answers = {await refused(app, t) for fault, t in tokens.items() if fault not in of_database}
    assert len(answers) == 1


def test_b17_there_is_no_default_account(create_database: Callable[..., str]) -> None:
    """The first admin is made by a command, or from the settings."""
    with psycopg.connect(create_database()) as connection:
        connection.execute("create schema raw")
        for migration in PLATFORM:
            connection.execute(migration)
        assert connection.execute("select from auth.users").rowcount == 0


async def test_another_scheme_is_401(app: FastAPI) -> None:
    async with client_of(app) as client:
        response = await client.get(GEMS, auth=("admin", PASSWORD))
    assert response.status_code == 401


async def test_b26_the_role_is_the_databases_at_each_request(
    app: FastAPI, database: psycopg.Connection[Any], tokens: Tokens
) -> None:
    """A token says who calls, and outlives neither a demotion nor a dismissal."""
    database.execute(*add_user_statement("temp", PASSWORD, "editor"))
    row = database.execute("select user_id from auth.users where username = 'temp'").fetchone()
    assert row
    async with client_of(app, tokens.issue(row["user_id"])) as client:
        assert (await client.post(GEMS, **ROW)).status_code == 201
        database.execute("update auth.users set role = 'reader' where username = 'temp'")
        assert (await client.get(GEMS)).status_code == 401
    async with client_of(app, tokens.issue(row["user_id"], 1)) as client:
        assert (await client.post(GEMS, **ROW)).status_code == 403
        assert (await client.get(GEMS)).status_code == 200
        database.execute("update auth.users set is_active = false where username = 'temp'")
        assert (await client.get(GEMS)).status_code == 401


async def test_strangers_do_not_learn_whether_their_request_was_right(
    nobody: httpx.AsyncClient,
) -> None:
    assert (await nobody.get(f"{GEMS}?limit=x")).status_code == 401
    assert (await nobody.post(GEMS, content=b"{")).status_code == 401
    assert (await nobody.get(f"{GEMS}/x")).status_code == 401


def test_a_short_secret_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="ASSAY_SECRET has less than 32 bytes"):
        Tokens("x" * 31)


LOCAL = [
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui-bundle.js",
    "/openapi.json",
    "/dbt",
    "/metrics",
]


@pytest.mark.parametrize("url", LOCAL)
@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("10.0.0.7", {}),
        ("::ffff:10.0.0.7", {}),
        ("127.0.0.1", {"Host": "example.org"}),
        ("127.0.0.1", {"Host": "example.org:8000"}),
        ("127.0.0.1", {"Host": "localhost.example.org"}),
        ("127.0.0.1", {"Host": "127.0.0.1.example.org"}),
        ("127.0.0.1", {"Host": "[::2]:8000"}),
        ("127.0.0.1", {"Host": ""}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}),
    ],
)
async def test_b41_pages_for_this_machine_are_404_elsewhere(
    app: FastAPI, url: str, address: str, headers: dict[str, str]
) -> None:
    """A proxy, or a page whose name resolves to this machine, is elsewhere."""
    async with client_of(app, client=(address, 5000)) as client:
        response = await client.get(url, headers=headers)
    assert response.status_code == 404
    assert response.json()["detail"] == "There is nothing here."


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]", "[::1]:8"])
async def test_pages_for_this_machine_are_there_on_it(
    app: FastAPI, address: str, host: str
) -> None:
    async with client_of(app, client=(address, 5000)) as client:
        assert (await client.get("/openapi.json", headers={"Host": host})).status_code == 200


async def test_the_api_itself_takes_any_host(reader: httpx.AsyncClient) -> None:
    headers = {"Host": "example.org", "X-Forwarded-For": "10.0.0.7"}
    assert (await reader.get(GEMS, headers=headers)).status_code == 200


def test_a_token_that_was_read_before_ends_on_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its key goes: its signature is not computed anew, all else is asked each time."""
    keys = tmp_path / "keys.json"
    tokens = Tokens(SECRET, keys)
    of_secret = tokens.issue(uuid4())
    rotate_keys(keys)
    of_file = tokens.issue(uuid4())
    for token in (of_secret, of_file):
        assert tokens.read(token) == tokens.read(token)
    keys.unlink()
    with pytest.raises(Problem):
        tokens.read(of_file)
    assert tokens.read(of_secret)
    end = jwt.decode(of_secret, options={"verify_signature": False})["exp"] + 30
    monkeypatch.setattr(time, "time", lambda: end - 0.1)
    assert tokens.read(of_secret)
    monkeypatch.setattr(time, "time", lambda: end)
    with pytest.raises(Problem):
        tokens.read(of_secret)
