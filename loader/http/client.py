"""Asks an API: logs in, waits, asks again, and says what it could not get."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx
import stamina

from assay.listings import Listing
from loader.errors import LoadError, UnavailableError
from loader.http.access import Access
from loader.http.pages import Page, PageError, read_page

ATTEMPTS = 10
"""Of a request while the API is away, busy or failing: over half a minute and more."""
ATTEMPTS_WITH_TOKEN = 3
"""Of a page that is answered 5xx: its token may be one that the API no longer knows."""
MAX_PAGE = 64 << 20
"""Bytes of an answer."""
_LONGEST_WAIT = 300.0
"""Seconds that an API may ask to wait for."""

_UNAUTHORIZED, _SERVER_ERROR = 401, 500
_GONE = (404, 410)
_BUSY = (408, 425, 429)

# A warning for each try would run through the progress bar.
logging.getLogger("stamina").setLevel(logging.ERROR)


class StaleTokenError(Exception):
    """The API does not know the token of a page: its listing has to begin again."""


class GoneError(Exception):
    """There is nothing at the path."""


class _AskAgainError(Exception):
    """An answer that says so."""

    def __init__(self, status: int, seconds: float | None = None) -> None:
        super().__init__(f"it answered {status}")
        self.status = status
        self.seconds = seconds


class Client:
    """Asks for pages; a context manager, since connections stay open between them."""

    def __init__(self, access: Access, timeout_seconds: float) -> None:
        self._access = access
        self._seconds = timeout_seconds
        self._bearer = ""
        self._login = asyncio.Lock()
        # One connection each: at each request a pool looks at all of its connections.
        self._tls = httpx.create_ssl_context()
        self._idle: list[httpx.AsyncClient] = []
        self.requests = 0
        self.bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._idle:
            await client.aclose()

    @contextmanager
    def _client(self) -> Iterator[httpx.AsyncClient]:
        # No redirect is followed: the token would go where the answer says.
        client = (
            self._idle.pop()
            if self._idle
            else httpx.AsyncClient(
                base_url=self._access.url,
                transport=self._access.transport,
                timeout=self._seconds,
                verify=self._tls,
            )
        )
        try:
            yield client
        finally:
            self._idle.append(client)

    async def page(
        self, path: str, listing: Listing, token: str | None, modified_after: str | None
    ) -> Page:
        """A page of a listing; the first one without a token.

        Raises:
            StaleTokenError: The listing has to begin again.
            GoneError: There is no such listing.
            UnavailableError: The API did not answer, or failed, however often it was asked.
            LoadError: It refuses, or its answer is none.
        """
        parameters = _parameters(listing, token, modified_after)
        patience = _Patience(is_token=token is not None)
        try:
            async for attempt in stamina.retry_context(patience, attempts=ATTEMPTS, timeout=None):
                with attempt:
                    text = await self._get(path, parameters, is_token=token is not None)
                    return read_page(text, listing.records, listing.next_token)
        except PageError as error:
            raise LoadError(
                str(error), remedy="compare `load.http` with the API's documentation", file=path
            ) from None
        except (_AskAgainError, httpx.TransportError) as error:
            if patience.is_over:
                raise StaleTokenError from None
            raise UnavailableError(
                f"{self._access.name} cannot be read ({error or type(error).__name__})",
                remedy="run it again: it goes on where it stopped",
                file=path,
            ) from None
        raise AssertionError

    async def _get(self, path: str, parameters: dict[str, str], *, is_token: bool) -> str:
        bearer = self._bearer or await self._log_in("")
        status, body = await self._ask(path, parameters, bearer)
        if status == _UNAUTHORIZED:
            status, body = await self._ask(path, parameters, await self._log_in(bearer))
        if httpx.codes.is_success(status):
            try:
                return body.decode()
            except UnicodeDecodeError:
                raise PageError("the answer is not UTF-8") from None
        if is_token:
            raise StaleTokenError
        if status in _GONE:
            raise GoneError
        said = body[:200].decode(errors="replace")
        raise LoadError(
            f"{self._access.name} answered {status}: {said}",
            remedy="look at `load.http` and at the account's rights",
            file=path,
        )

    async def _ask(self, path: str, parameters: dict[str, str], bearer: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        body = bytearray()
        self.requests += 1
        # The client's own limits are of each read: this is of the whole.
        try:
            with self._client() as client:
                async with (
                    asyncio.timeout(self._seconds),
                    client.stream("GET", path, params=parameters, headers=headers) as response,
                ):
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > MAX_PAGE:
                            raise LoadError(
                                f"a page has more than {MAX_PAGE >> 20} MiB",
                                remedy="ask for fewer records, `page.size`",
                                file=path,
                            )
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {self._seconds:g} seconds") from None
        self.bytes += len(body)
        _judge(response)
        return response.status_code, bytes(body)

    async def _log_in(self, refused: str) -> str:
        """A token that is another than the refused one; one login serves all that wait for it."""
        if self._access.login is None:
            return ""
        async with self._login:
            if self._bearer == refused:
                self._bearer = await self._new_bearer(self._access.login)
            return self._bearer

    async def _new_bearer(self, path: str) -> str:
        self.requests += 1
        form = {
            "grant_type": "password",
            "username": self._access.username,
            "password": self._access.password,
        }
        with self._client() as client:
            response = await client.post(path, data=form)
        _judge(response)
        if response.is_success:
            try:
                return str(response.json()["access_token"])
            except (ValueError, KeyError, TypeError):
                raise PageError("the login was answered without an access_token") from None
        name = self._access.name.upper()
        raise LoadError(
            f"{self._access.name} refuses the login ({response.status_code})",
            remedy=f"check {name}_USERNAME and {name}_PASSWORD",
        )


class _Patience:
    """Says which error is worth another try, and when."""

    def __init__(self, *, is_token: bool) -> None:
        self._is_token = is_token
        self._failures = 0

    @property
    def is_over(self) -> bool:
        return self._is_token and self._failures >= ATTEMPTS_WITH_TOKEN

    def __call__(self, error: Exception) -> bool | float:
        if isinstance(error, _AskAgainError):
            self._failures += error.status >= _SERVER_ERROR
            if self.is_over:
                return False
            if error.seconds is not None:
                return error.seconds if error.seconds <= _LONGEST_WAIT else False
        return isinstance(error, _AskAgainError | PageError | httpx.TransportError)


def _parameters(listing: Listing, token: str | None, modified_after: str | None) -> dict[str, str]:
    parameters = {}
    if listing.next_token is not None:
        parameters[listing.size_parameter] = str(listing.page_size)
    if listing.modified_parameter and modified_after:
        parameters[listing.modified_parameter] = modified_after
    if token is not None:
        parameters[listing.token_parameter] = token
    return parameters


def _judge(response: httpx.Response) -> None:
    """Raises `_AskAgainError` for an answer that another try may be better than."""
    if response.status_code >= _SERVER_ERROR or response.status_code in _BUSY:
        raise _AskAgainError(response.status_code, _seconds(response.headers.get("Retry-After")))


def _seconds(retry_after: str | None) -> float | None:
    """Either form of RFC 9110, 10.2.3."""
    if retry_after is None:
        return None
    if retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
