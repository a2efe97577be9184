"""Passwords: which are taken, and what guessing them costs."""

# ruff: noqa: SLF001, S107 - the hashing itself has no public name; passwords of the tests

import logging
import statistics
import time
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from passlib.hash import argon2

from api import passwords, throttle
from api.app import create_app
from api.passwords import fault_of_password, hash_password
from api.tokens import Tokens
from api.users import add_user_statement
from assay.settings import Settings
from tests.api.conftest import CATALOG, PASSWORD, client_of

pytestmark = pytest.mark.anyio

LOGIN = "/api/v1/auth/login"


async def log_in(
    client: httpx.AsyncClient, password: str = "wrong", username: str = "guessed"
) -> httpx.Response:
    return await client.post(LOGIN, data={"username": username, "password": password})


@pytest.fixture
def guessed(database: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A user of that name."""
    database.execute(*add_user_statement("guessed", PASSWORD, "reader"))
    return database


def wait(database: psycopg.Connection[Any], seconds: int) -> None:
    """Let the time pass."""
    database.execute(
        "update auth.failures set failed_at = failed_at - %s * interval '1 second'", (seconds,)
    )


async def medians(client: httpx.AsyncClient, count: int) -> dict[str, float]:
    """Of the times that a login takes, in turns."""
    times: dict[str, list[float]] = {"guessed": [], "unknown": [], "left": []}
    for _ in range(count):
        for username, taken in times.items():
            begun = time.perf_counter()
            await log_in(client, username=username)
            taken.append(time.perf_counter() - begun)
    return {username: statistics.median(taken) for username, taken in times.items()}


@pytest.mark.long
async def test_b11_all_failures_take_the_same_time(
    nobody: httpx.AsyncClient,
    guessed: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 200 tries the median of unknown and disabled users is within 10 % of a known one's."""
    monkeypatch.setattr(throttle, "FREE_FAILURES", 10_000)
    monkeypatch.setattr(throttle, "FREE_FAILURES_OF_ADDRESS", 10_000)
    guessed.execute(*add_user_statement("left", PASSWORD, "reader"))
    guessed.execute("update auth.users set is_active = false where username = 'left'")
    await medians(nobody, 5)
    found = await medians(nobody, 200)
    for username in ("unknown", "left"):
        assert found[username] == pytest.approx(found["guessed"], rel=0.1)


async def test_b11_all_failures_hash_once(
    nobody: httpx.AsyncClient, guessed: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same parameters, whoever is asked for: that is what takes the time."""
    guessed.execute(*add_user_statement("left", PASSWORD, "reader"))
    guessed.execute("update auth.users set is_active = false where username = 'left'")
    hashed: list[str] = []
    verify = argon2.verify

    def counting(secret: str, stored: str, **options: Any) -> bool:
        hashed.append(stored.rsplit("$", 2)[0])
        return bool(verify(secret, stored, **options))

    monkeypatch.setattr(passwords._CONTEXT.handler("argon2"), "verify", counting)
    answers = set()
    for username in ("guessed", "unknown", "left"):
        response = await log_in(nobody, username=username)
        answers.add((response.status_code, response.json()["detail"]))
    assert hashed == ["$argon2id$v=19$m=19456,t=2,p=1"] * 3
    assert answers == {(401, "The username or the password is wrong.")}


@pytest.mark.parametrize(
    ("password", "is_taken"),
    [
        ("correct horse!", False),
        ("correct horse!!", True),
        ("\U0001f511" * 14 + "a", True),
        ("пароль из слов", False),
        ("пароль из слов!", True),
        (" " * 5 + "spaces count", True),
        ("only lower case letters", True),
        (("correct horse battery staple " * 5)[:128], True),
        (("correct horse battery staple " * 5)[:129], False),
        ("ﬃ" * 5, False),  # 15 characters in NFKC, but always the same three
        ("ﬃle of the odd", True),  # 14 characters, 16 in NFKC
    ],
)
def test_b12_a_password_has_15_to_128_characters_of_any_kind(password: str, is_taken: bool) -> None:
    """In NFKC; no rule of composition, and nothing is cut off."""
    assert (fault_of_password(password, "somebody") is None) is is_taken


def test_b12_no_character_is_cut_off() -> None:
    """The last of 128 counts."""
    password = ("correct horse battery staple " * 5)[:128]
    stored = hash_password(password)
    assert passwords._verify(password, stored)[0]
    assert not passwords._verify(password[:-1] + "X", stored)[0]


def test_b12_a_password_is_compared_in_nfkc() -> None:
    """Keyboards differ in how they write an umlaut."""
    stored = hash_password("caf\u00e9 and croissants")
    assert passwords._verify("cafe\u0301 and croissants", stored)[0]


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password1234567",
        "123456789012345",
        "1234567890123456",
        "qwertyuiopqwertyuiop",
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "administrator2026!",
        "postgresql123456",
        "assayassayassayassay",
        "ada.lovelace1815",
        "!!!Superman!!!!!",
    ],
)
def test_b13_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    """Common ones, words of the product, the own name; repeated, or with digits around."""
    fault = fault_of_password(password, "ada.lovelace")
    assert fault
    assert "guessed" in fault


def test_b13_the_list_has_at_least_3000_of_8_characters() -> None:
    """OWASP ASVS 6.2.4."""
    assert len([word for word in passwords._common() if len(word) >= 8]) >= 3000


async def test_b14_an_account_waits_from_the_fifth_failure_on(
    nobody: httpx.AsyncClient, guessed: psycopg.Connection[Any]
) -> None:
    """1 second, 2, 4 ... at most 15 minutes, said by Retry-After; then the right one works."""
    for _ in range(5):
        assert (await log_in(nobody)).status_code == 401
    for seconds in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        refused = await log_in(nobody, PASSWORD)
        assert refused.status_code == 429
        assert seconds - 1 <= int(refused.headers["retry-after"]) <= seconds
        wait(guessed, seconds)
        assert (await log_in(nobody)).status_code == 401
    wait(guessed, 900)
    assert (await log_in(nobody, PASSWORD)).status_code == 200
    for _ in range(5):
        assert (await log_in(nobody)).status_code == 401


async def test_b14_unknown_accounts_wait_alike(
    nobody: httpx.AsyncClient, guessed: psycopg.Connection[Any]
) -> None:
    """Else the wait would say who exists. The name itself is not kept."""
    for _ in range(5):
        await log_in(nobody, username="My Password!")
    assert (await log_in(nobody, username="my password!")).status_code == 429
    rows = guessed.execute("select * from auth.failures, auth.audit_events").fetchall()
    assert "assword" not in str(rows)


async def test_b14_others_do_not_wait(
    nobody: httpx.AsyncClient, guessed: psycopg.Connection[Any]
) -> None:
    """Not for an account that is guessed, from the same address."""
    for _ in range(5):
        await log_in(nobody)
    assert guessed
    assert (await log_in(nobody, PASSWORD, "editor")).status_code == 200


async def test_b14_an_address_waits_too(
    nobody: httpx.AsyncClient,
    app: FastAPI,
    guessed: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever tries one password on many accounts; a login of his own does not clear it."""
    monkeypatch.setattr(throttle, "FREE_FAILURES_OF_ADDRESS", 10)
    for number in range(11):
        assert (await log_in(nobody, username=f"user{number}")).status_code == 401
    assert (await log_in(nobody, PASSWORD)).status_code == 429
    async with client_of(app, client=("10.0.0.7", 1)) as elsewhere:
        assert (await log_in(elsewhere, PASSWORD)).status_code == 200
    assert (await log_in(nobody, PASSWORD)).status_code == 429
    wait(guessed, 1)
    assert (await log_in(nobody, PASSWORD)).status_code == 200


async def test_b14_all_servers_share_the_count(
    nobody: httpx.AsyncClient, settings: Settings, guessed: psycopg.Connection[Any]
) -> None:
    """It is in PostgreSQL: four have no more tries than one."""
    assert guessed
    for _ in range(4):
        app = create_app(settings, CATALOG)
        async with app.router.lifespan_context(app), client_of(app) as client:
            assert (await log_in(client)).status_code == 401
    assert (await log_in(nobody)).status_code == 401
    assert (await log_in(nobody, PASSWORD)).status_code == 429


async def test_b14_an_admin_unlocks(
    app: FastAPI,
    nobody: httpx.AsyncClient,
    guessed: psycopg.Connection[Any],
    tokens: Tokens,
    users: dict[str, Any],
) -> None:
    """A lock is no way to keep people out."""
    for _ in range(5):
        await log_in(nobody)
    row = guessed.execute("select user_id from auth.users where username = 'guessed'").fetchone()
    assert row
    async with client_of(app, tokens.issue(users["admin"])) as admin:
        response = await admin.post(f"/api/v1/users/{row['user_id']}/unlock")
    assert response.status_code == 204
    assert (await log_in(nobody, PASSWORD)).status_code == 200


async def test_b14_a_day_without_failures_forgets_them(
    nobody: httpx.AsyncClient, guessed: psycopg.Connection[Any]
) -> None:
    """Of the account; the next failure is the first."""
    for _ in range(5):
        await log_in(nobody)
    wait(guessed, 24 * 60 * 60)
    assert (await log_in(nobody)).status_code == 401
    assert (await log_in(nobody)).status_code == 401


async def test_b15_a_password_of_a_megabyte_is_422_before_hashing(
    nobody: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of 129 characters; NUL is a character like others, and wrong."""
    assert (await log_in(nobody, PASSWORD + "\0", "editor")).status_code == 401
    monkeypatch.setattr(passwords, "_verify", None)
    for length in (129, 1_000_000):
        assert (await log_in(nobody, "x" * length)).status_code == 422
    body = {"username": "x", "code": "x", "password": "x" * 1_000_000}
    assert (await nobody.post("/api/v1/auth/reset", json=body)).status_code == 422


async def test_a_hash_of_other_parameters_is_made_anew_at_login(
    nobody: httpx.AsyncClient, guessed: psycopg.Connection[Any]
) -> None:
    """It ends no session."""
    old = argon2.using(type="ID", memory_cost=1024, time_cost=1, parallelism=1).hash(PASSWORD)
    guessed.execute("update auth.users set password_hash = %s where username = 'guessed'", (old,))
    assert (await log_in(nobody, PASSWORD)).status_code == 200
    row = guessed.execute("select * from auth.users where username = 'guessed'").fetchone()
    assert row
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert row["token_version"] == 0
    assert (await log_in(nobody, PASSWORD)).status_code == 200


def events_of(database: psycopg.Connection[Any]) -> list[tuple[str, ...]]:
    rows = database.execute("select * from auth.audit_events order by event_id").fetchall()
    return [(row["event"], row["outcome"], row["username"]) for row in rows]


async def test_b46_logins_are_kept(
    nobody: httpx.AsyncClient,
    guessed: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who, what, from where, the outcome, the request; no password and no token."""
    caplog.set_level(logging.INFO, "assay.audit")
    token = (await log_in(nobody, PASSWORD)).json()
    for _ in range(6):
        response = await log_in(nobody, "a wrong password")
    assert events_of(guessed) == [
        ("authn_login_success", "success", "guessed"),
        *[("authn_login_fail", "failure", "guessed")] * 5,
        ("authn_login_lock", "success", "guessed"),
        ("excess_rate_limit_exceeded", "failure", None),
    ]
    last = guessed.execute("select * from auth.audit_events order by event_id desc").fetchone()
    assert last
    assert last["request_id"] == response.headers["x-request-id"]
    assert (last["address"], last["target"]) == ("127.0.0.1", f"POST {LOGIN}")
    kept = str(guessed.execute("select * from auth.audit_events").fetchall()) + caplog.text
    for secret in (PASSWORD, "a wrong password", token["access_token"], token["refresh_token"]):
        assert secret not in kept
    assert len([r for r in caplog.records if r.name == "assay.audit"]) == 8


async def test_b46_a_line_of_the_log_is_one_line(
    app: FastAPI,
    users: dict[str, Any],
    tokens: Tokens,
    guessed: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """CR and LF in a path and a query are escaped."""
    assert guessed
    caplog.set_level(logging.INFO, "assay.audit")
    async with client_of(app, tokens.issue(users["reader"])) as client:
        url = "/api/v1/stones/1"
        for path in (f"{url}?x=%0A", url, "/api/v1/gems/%0d%0aevil"):
            assert (await client.delete(path)).status_code == 403
    lines = [r.getMessage() for r in caplog.records if r.name == "assay.audit"]
    assert len(lines) == 3
    for line in lines:
        assert not any(c in line for c in "\r\n")
        assert '"authz_fail"' in line


@pytest.mark.parametrize(
    "statement",
    [
        "update auth.audit_events set username = 'x'",
        "delete from auth.audit_events",
        "truncate auth.audit_events",
    ],
)
def test_b46_events_are_append_only(guessed: psycopg.Connection[Any], statement: str) -> None:
    """For whoever connects, the owner too."""
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        guessed.execute(statement)


def test_b20_no_secret_is_made_for_one_process(settings: Settings) -> None:
    """Without one the API does not start: tokens would die with each restart."""
    with pytest.raises(ValueError, match="ASSAY_SECRET is not set"):
        create_app(settings.model_copy(update={"assay_secret": None}), CATALOG)
