"""What the client makes of answers, one request at a time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from assay.listings import Api, Listing, listing_of
from loader.errors import LoadError, UnavailableError
from loader.http import client as client_module
from loader.http.access import Access
from loader.http.client import Client, GoneError, StaleTokenError
from loader.http.pages import Page

PAGE = '{"data": [1], "pagination": {"next_token": null}}'
Answer = Callable[[httpx.Request], httpx.Response]


def listing() -> Listing:
    found = listing_of({"load": {"http": {"path": "/things", "key": ["id"]}}}, "provider")
    assert found
    return found


def ask(answer: Answer, *, token: str | None = None, login: str | None = None) -> Page:
    async def run() -> Page:
        transport = httpx.MockTransport(answer)
        access = Access("provider", "http://there", login, "me", "secret", transport)
        async with Client(access, 0.2) as client:
            return await client.page("/things", listing(), token, None)

    return asyncio.run(run())


def answers(*given: httpx.Response) -> Answer:
    rest = list(given)
    return lambda _request: rest.pop(0)


def page(status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, text=PAGE, headers=headers)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited; it does not."""
    found: list[float] = []

    async def note(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr("stamina._core._smart_sleep", note)
    return found


def test_it_waits_as_long_as_it_is_asked_to(waits: list[float]) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    busy = {"Retry-After": "7"}
    answer = answers(page(429, **busy), page(503, **{"Retry-After": moment}), page())
    assert ask(answer).records == ("1",)
    assert waits[0] == 7
    assert 30 < waits[1] <= 40


def test_it_does_not_wait_for_an_hour(waits: list[float]) -> None:
    with pytest.raises(UnavailableError, match="it answered 429"):
        ask(answers(page(429, **{"Retry-After": "3600"})))
    assert not waits


def test_it_gives_up_after_ten_tries(waits: list[float]) -> None:
    with pytest.raises(UnavailableError, match="it answered 502"):
        ask(lambda _request: page(502))
    assert len(waits) == client_module.ATTEMPTS - 1


@pytest.mark.usefixtures("waits")
def test_a_slow_answer_is_none() -> None:
    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(5)
            raise AssertionError(request)

    async def run() -> None:
        access = Access("provider", "http://there", None, transport=Slow())
        async with Client(access, 0.01) as client:
            await client.page("/things", listing(), None, None)

    with pytest.raises(UnavailableError, match=r"no answer within 0.01 seconds"):
        asyncio.run(run())


def test_no_redirect_is_followed() -> None:
    moved = httpx.Response(302, headers={"Location": "http://elsewhere/things"})
    with pytest.raises(LoadError, match="answered 302"):
        ask(answers(moved))


def test_what_it_refuses_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """All readers see why loads failed, and an answer may name people."""
    with pytest.raises(LoadError, match="/things: provider answered 403; look at") as refused:
        ask(answers(httpx.Response(403, text="not for Alma Fernfield")))
    assert not isinstance(refused.value, UnavailableError)
    assert "Alma" not in str(refused.value)
    assert "not for Alma Fernfield" in caplog.text


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("token", ["s3cret-bearer\n", "", None, "t\u00fc", 7, "a b"])
def test_a_token_that_cannot_be_sent_is_none(token: object) -> None:
    login = httpx.Response(200, json={"access_token": token})
    with pytest.raises(LoadError, match="without an access_token that can be used") as refused:
        ask(lambda _request: login, login="/login")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(("status", "said"), [(401, "LOGIN_USERNAME"), (404, "check `login`")])
def test_a_login_that_fails_says_what_to_check(status: int, said: str) -> None:
    with pytest.raises(LoadError, match=said.replace("LOGIN", "PROVIDER")):
        ask(answers(httpx.Response(status)), login="/login")


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize(
    "broken",
    [
        httpx.Response(200, content=b"no gzip", headers={"Content-Encoding": "identity"}),
        page(429, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 -0000"}),
        page(429, **{"Retry-After": "soon"}),
        httpx.Response(200, content=b"\xff\xfe{}"),
    ],
)
def test_a_broken_answer_is_asked_for_again(broken: httpx.Response) -> None:
    assert ask(answers(broken, page())).records == ("1",)


def test_a_url_that_is_none_is_said_at_once(waits: list[float]) -> None:
    async def run() -> None:
        async with Client(Access("provider", "there", None), 1) as client:
            await client.page("/things", listing(), None, None)

    with pytest.raises(LoadError, match="PROVIDER_URL is none that can be asked") as refused:
        asyncio.run(run())
    assert not isinstance(refused.value, UnavailableError)
    assert not waits


def test_a_number_of_any_length_and_a_mark_before_it_all() -> None:
    digits = "9" * 5000
    text = f'\ufeff{{"data": [{{"n": {digits}}}], "pagination": {{"next_token": null}}}}'
    assert ask(answers(httpx.Response(200, content=text.encode()))).records == (
        f'{{"n": {digits}}}',
    )


def test_nothing_there() -> None:
    with pytest.raises(GoneError):
        ask(answers(page(404)))


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_page_that_is_refused_has_a_stale_token(status: int) -> None:
    with pytest.raises(StaleTokenError):
        ask(answers(page(status)), token="t")  # noqa: S106


@pytest.mark.usefixtures("waits")
def test_a_page_that_fails_three_times_has_a_stale_token() -> None:
    with pytest.raises(StaleTokenError):
        ask(answers(page(500), page(500), page(500)), token="t")  # noqa: S106


def test_a_page_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGE", 10)
    with pytest.raises(LoadError, match="ask for fewer records"):
        ask(answers(page()))


def test_it_logs_in_once_more_and_then_says_so() -> None:
    logins = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/login":
            logins.append(request.content)
            return httpx.Response(200, json={"access_token": f"t{len(logins)}"})
        return httpx.Response(401, text="who are you")

    with pytest.raises(LoadError, match="answered 401"):
        ask(answer, login="/login")
    assert logins == [b"grant_type=password&username=me&password=secret"] * 2


def test_defaults_of_the_vocabulary() -> None:
    api = Api("provider", None, None, 32, 30)
    assert listing() == Listing(
        api=api,
        path="/things",
        key=("id",),
        for_each=None,
        records="data",
        next_token="pagination.next_token",  # noqa: S106
        token_parameter="pagination_token",  # noqa: S106
        size_parameter="page_size",
        page_size=100,
        max_pages=100_000,
        overlap="10 minutes",
    )
