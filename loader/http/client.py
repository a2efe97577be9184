"""Asks an API: logs in, waits, asks again, and says what it could not get."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import httpx
import stamina

from assay.listings import Listing
from loader.errors import ListingError, LoadError, UnavailableError
from loader.http.access import Access
from loader.http.pages import Page, PageError, read_bearer, read_page
from loader.http.waiting import seconds_of

ATTEMPTS = 10
"""Of a request while the API is away, busy or failing: over half a minute and more."""
ATTEMPTS_WITH_TOKEN = 3
"""Of a page that is answered 500: its token may be one that the API no longer knows."""
MAX_PAGE = 16 << 20
"""Bytes of an answer."""
_LONGEST_WAIT = 300.0
"""Seconds that an API may ask to wait for."""

_UNAUTHORIZED, _FAILED = 401, 500
_GONE = (404, 410)
_BUSY = (408, 425, 429)
_WRONG_PASSWORD = (400, 401, 403)
_MISTAKES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
"""Of whoever set the URL."""
_log = logging.getLogger("assay.extract")
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
        self.largest = 0
        """Bytes of the largest answer."""

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
            ListingError: Its answer is no page.
            LoadError: It refuses.
        """
        parameters = _parameters(listing, token, modified_after)
        patience = _Patience(is_token=token is not None)
        try:
            async for attempt in stamina.retry_context(patience, attempts=ATTEMPTS, timeout=None):
                with attempt:
                    text = await self._get(path, parameters, listing, is_token=token is not None)
                    return read_page(text, listing.records, listing.next_token)
        except PageError as error:
            raise ListingError(
                str(error),
                remedy="compare `load.http` with the API's documentation",
                file=listing.path,
            ) from None
        except _MISTAKES as error:
            name = self._access.name.upper()
            raise LoadError(f"{name}_URL is none that can be asked ({error})") from None
        except (_AskAgainError, httpx.RequestError) as error:
            if patience.is_over:
                raise StaleTokenError from None
            raise UnavailableError(
                f"{self._access.name} cannot be read ({error or type(error).__name__})",
                remedy="run it again: it goes on where it stopped",
                file=listing.path,
            ) from None
        raise AssertionError

    async def _get(
        self, path: str, parameters: Mapping[str, str], listing: Listing, *, is_token: bool
    ) -> str:
        bearer = self._bearer or await self._log_in("")
        status, body = await self._ask(path, parameters, bearer)
        if status == _UNAUTHORIZED:
            status, body = await self._ask(path, parameters, await self._log_in(bearer))
        if httpx.codes.is_success(status):
            return _text(body)
        if is_token and status != _UNAUTHORIZED:
            raise StaleTokenError
        if status in _GONE:
            raise GoneError
        # It may name people, and all readers see why loads failed.
        _log.warning("%s answered %d: %r", self._access.name, status, body[:500])
        raise LoadError(
            f"{self._access.name} answered {status}",
            remedy="look at `load.http` and at the account's rights",
            file=listing.path,
        )

    async def _ask(
        self, path: str, parameters: Mapping[str, str], bearer: str
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return await self._send("GET", path, parameters=parameters, headers=headers)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of an answer within the limits of time and size."""
        body = bytearray()
        self.requests += 1
        # The client's own limits are of each read: this is of the whole.
        try:
            with self._client() as client:
                async with (
                    asyncio.timeout(self._seconds),
                    client.stream(
                        method, path, params=parameters, headers=headers, data=form
                    ) as response,
                ):
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > MAX_PAGE:
                            raise LoadError(
                                f"an answer has more than {MAX_PAGE >> 20} MiB",
                                remedy="ask for fewer records, `page.size`",
                            )
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {self._seconds:g} seconds") from None
        self.bytes += len(body)
        self.largest = max(self.largest, len(body))
        status = response.status_code
        if status >= _FAILED or status in _BUSY:
            raise _AskAgainError(status, seconds_of(response.headers.get("Retry-After")))
        return status, bytes(body)

    async def _log_in(self, refused: str) -> str:
        """A token that is another than the refused one; one login serves all that wait for it."""
        if self._access.login is None:
            return ""
        async with self._login:
            if self._bearer == refused:
                self._bearer = await self._new_bearer(self._access.login)
            return self._bearer

    async def _new_bearer(self, path: str) -> str:
        form = {
            "grant_type": "password",
            "username": self._access.username,
            "password": self._access.password,
        }
        status, body = await self._send("POST", path, form=form)
        if httpx.codes.is_success(status):
            try:
                return read_bearer(_text(body))
            except PageError as error:
                raise LoadError(str(error), remedy="check `login`", file=path) from None
        name = self._access.name
        is_known = status in _WRONG_PASSWORD
        raise LoadError(
            f"{name} refuses the login ({status})",
            remedy=f"check {name.upper()}_USERNAME and {name.upper()}_PASSWORD"
            if is_known
            else f"check `login` and {name.upper()}_URL",
        )


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PageError("the answer is not UTF-8") from None


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
            self._failures += error.status == _FAILED
            if self.is_over:
                return False
            if error.seconds is not None:
                return error.seconds if error.seconds <= _LONGEST_WAIT else False
        return not isinstance(error, _MISTAKES) and isinstance(
            error, _AskAgainError | PageError | httpx.RequestError
        )


def _parameters(listing: Listing, token: str | None, modified_after: str | None) -> dict[str, str]:
    parameters = {}
    if listing.next_token is not None:
        parameters[listing.size_parameter] = str(listing.page_size)
    if listing.modified_parameter and modified_after:
        parameters[listing.modified_parameter] = modified_after
    if token is not None:
        parameters[listing.token_parameter] = token
    return parameters
