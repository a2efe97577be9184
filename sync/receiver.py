"""The system that changes are delivered to: an API, and how it is logged in to."""

import asyncio
from types import TracebackType
from typing import Self

import httpx

from assay.settings import Settings
from loader.http.waiting import seconds_of
from sync.messages import Message

_UNAUTHORIZED = 401
_OF_THE_CHANGES = (400, 409, 413, 422)
"""Other statuses of 4xx say that it was not asked as it should be, whatever the changes."""
_GONE = (404, 410)
"""Of what is to be deleted: it is."""
_MAX_ERROR = 500
"""Characters of an answer that are kept."""


class NotTakenError(Exception):
    """The receiver did not take changes; the message is what it said, or why nobody heard it."""

    def __init__(self, said: str, seconds: float | None = None) -> None:
        super().__init__(said)
        self.seconds = seconds
        """How long it asks to wait."""


class Refused(NotTakenError):  # noqa: N818 - it says what the receiver did
    """It will not take these changes as they are."""


class Failing(NotTakenError):  # noqa: N818 - it says what the receiver did
    """It answered that it failed (5xx): one of the changes may be too much for it."""


class Away(NotTakenError):  # noqa: N818 - it says what the receiver did
    """It cannot be reached, does not answer in time, or takes nothing from us."""


class Receiver:
    """Sends batches; a context manager, since connections stay open between them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_known = False
        """Whether it has let us in, and did not say since that it does not know us."""
        self._token = ""
        # No redirect is followed: the password would go where the answer says.
        self._client = httpx.AsyncClient(
            base_url=settings.sync_url or "", timeout=settings.sync_timeout_seconds
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def send(self, message: Message) -> None:
        """Send a message; done when the receiver has answered 2xx.

        Raises:
            Refused: It says what is wrong with it.
            Failing: 5xx.
            Away: No answer, no login, or any other status.
        """
        try:
            # The client's own limits are of each read: this is of the whole.
            async with asyncio.timeout(self._settings.sync_timeout_seconds):
                response = await self._request(message)
                if response.status_code == _UNAUTHORIZED:
                    self._is_known = False
                    response = await self._request(message)
        except TimeoutError:
            seconds = self._settings.sync_timeout_seconds
            raise Away(f"no answer within {seconds} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Away(f"{type(error).__name__}: {error}") from None
        if message.method == "DELETE" and response.status_code in _GONE:
            return
        _judge(response)

    async def _request(self, message: Message) -> httpx.Response:
        if not self._is_known:
            self._token = await self._log_in()
            self._is_known = True
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if message.body is None:
            return await self._client.request(message.method, message.path, headers=headers)
        headers["Content-Type"] = "application/json"
        return await self._client.post(message.path, content=message.body, headers=headers)

    async def _log_in(self) -> str:
        """A token; none where the password goes with each request, or a cookie says who we are."""
        settings = self._settings
        password = settings.sync_password.get_secret_value() if settings.sync_password else ""
        account = {"username": settings.sync_username or "", "password": password}
        if settings.sync_login == "none":
            return ""
        if settings.sync_login == "basic":
            self._client.auth = (account["username"], account["password"])
            return ""
        self._client.cookies.clear()
        if settings.sync_login == "json":
            response = await self._client.post(settings.sync_token_path, json=account)
        else:
            form = {"grant_type": "password", **account}
            response = await self._client.post(settings.sync_token_path, data=form)
        return self._token_of(response)

    def _token_of(self, response: httpx.Response) -> str:
        # A form for people answers with a cookie, and often with a redirect, which is not followed.
        is_let_in = response.is_success or (response.is_redirect and self._client.cookies)
        if not is_let_in:
            raise Away(f"the login was answered {response.status_code}", _patience(response))
        name = self._settings.sync_token_field
        try:
            token = response.json()[name]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        # it goes into a header
        if isinstance(token, str) and token and token.isascii() and token.isprintable():
            return token
        if self._client.cookies:
            return ""
        raise Away(f"the login was answered without an {name}, and without a cookie")


def _judge(response: httpx.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    said = f"{status}: {response.text[:_MAX_ERROR]}".replace("\0", "")
    if status in _OF_THE_CHANGES:
        raise Refused(said)
    kind = Failing if response.is_server_error else Away
    raise kind(said, _patience(response))


def _patience(response: httpx.Response) -> float | None:
    return seconds_of(response.headers.get("Retry-After"))
