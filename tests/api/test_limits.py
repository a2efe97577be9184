"""How often somebody may ask."""

from uuid import UUID

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from api.addresses import site_of
from api.limits import Limits
from api.security import Tokens
from assay.settings import Settings
from tests.api.conftest import GEMS, SECRET, client_of
from tests.api.test_envelope import served
from tests.api.test_errors import assert_headers

pytestmark = pytest.mark.anyio

LOGIN = "/api/v1/auth/login"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_b44_a_bucket_fills_evenly() -> None:
    """Three a minute: three at once, then one each twenty seconds."""
    clock = Clock()
    limits = Limits(Settings(uploads_per_minute=3, assay_secret=SecretStr(SECRET)), clock)
    for left, seconds in ((2, 20), (1, 40), (0, 60)):
        assert limits.take("uploads", "a") == (
            '"uploads";q=3;w=60',
            f'"uploads";r={left};t={seconds}',
            0,
        )
    assert limits.take("uploads", "a")[2] == pytest.approx(20)
    assert limits.take("uploads", "b")[2] == 0
    assert limits.take("exports", "a")[2] == 0
    clock.now += 15
    assert limits.take("uploads", "a")[2] == pytest.approx(5)
    clock.now += 5
    assert limits.take("uploads", "a")[2] == 0
    assert limits.take("uploads", "a")[2] == pytest.approx(20)
    clock.now += 3600
    assert [limits.take("uploads", "a")[2] for _ in range(4)] == [0, 0, 0, pytest.approx(20)]


def test_b44_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were not used for the longest time are forgotten first."""
    monkeypatch.setattr("api.limits._MAX_BUCKETS", 2)
    limits = Limits(Settings(logins_per_minute=1), Clock())
    assert [limits.take("logins", who)[2] for who in "ab"] == [0, 0]
    assert limits.take("logins", "a")[2] == 60
    assert limits.take("logins", "c")[2] == 0
    assert limits.take("logins", "a")[2] == 60
    assert limits.take("logins", "b")[2] == 0


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("a socket", ""),
    ],
)
def test_b44_a_site_of_ipv6_is_one_address(host: str, address: str) -> None:
    """Who has one address has 2 to the 64 of them."""
    assert site_of(Request({"type": "http", "client": (host, 1)})) == address
    assert site_of(Request({"type": "http", "client": None})) == ""


async def test_b44_a_user_who_asks_too_often_is_429(
    settings: Settings, users: dict[str, UUID], tokens: Tokens
) -> None:
    """From any address, and others of that address are served."""
    async with served(settings, requests_per_minute=2) as app:
        async with client_of(app, tokens.issue(users["reader"])) as client:
            first = await client.get(GEMS)
            assert first.headers["ratelimit-policy"] == '"requests";q=2;w=60'
            assert first.headers["ratelimit"] == '"requests";r=1;t=30'
            assert (await client.get(f"{GEMS}?x=1")).status_code == 422
        async with client_of(app, tokens.issue(users["reader"]), client=("192.0.2.1", 5)) as client:
            refused = await client.get(GEMS)
        assert (refused.status_code, refused.json()["title"]) == (429, "Too Many Requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
        assert_headers(refused)
        async with client_of(app, tokens.issue(users["editor"])) as client:
            assert (await client.get(GEMS)).status_code == 200


async def test_b44_an_address_without_a_token_that_asks_too_often_is_429(
    settings: Settings, users: dict[str, UUID], tokens: Tokens
) -> None:
    """With no token and with wrong ones; users of that address are served."""
    async with served(settings, requests_per_minute=2) as app:
        async with client_of(app) as client:
            wrong = {"Authorization": "Bearer x.y.z"}
            answers = [await client.get(GEMS), await client.get(GEMS, headers=wrong)]
            assert [answer.status_code for answer in answers] == [401, 401]
            assert (await client.get(GEMS)).status_code == 429
            assert (await client.get(GEMS, headers=wrong)).status_code == 429
            assert (await client.get("/live")).status_code == 200
        async with client_of(app, tokens.issue(users["reader"])) as client:
            assert (await client.get(GEMS)).status_code == 200
        async with client_of(app, client=("192.0.2.1", 5)) as client:
            assert (await client.get(GEMS)).status_code == 401


async def test_b44_logins_are_limited_by_address(settings: Settings) -> None:
    """Apart from all other requests, whoever they are for."""
    async with served(settings, logins_per_minute=2) as app, client_of(app) as client:
        for name in ("a", "b"):
            form = {"username": name, "password": "wrong password"}
            assert (await client.post(LOGIN, data=form)).status_code == 401
        refused = await client.post(LOGIN, data={"username": "c", "password": "wrong password"})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert (await client.get(GEMS)).status_code == 401


async def test_b44_uploads_are_limited_by_user(
    settings: Settings, users: dict[str, UUID], tokens: Tokens
) -> None:
    """Apart from all other requests, whatever token they have; both limits are in the answer."""
    async with (
        served(settings, uploads_per_minute=1) as app,
        client_of(app, tokens.issue(users["editor"])) as before,
        client_of(app, tokens.issue(users["editor"])) as client,
    ):
        assert before.headers["authorization"] != client.headers["authorization"]
        assert (await before.put(GEMS)).status_code == 415
        refused = await client.put(GEMS)
        assert refused.status_code == 429
        kinds = [left.partition(";")[0] for left in refused.headers.get_list("ratelimit")]
        assert kinds == ['"requests"', '"uploads"']
        assert (await client.get(GEMS)).status_code == 200
