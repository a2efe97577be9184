"""The system that changes are delivered to: an API with OAuth2's password login."""

import asyncio
from types import TracebackType
from typing import Any, Self

import httpx

from assay.settings import Settings
from loader.http.waiting import seconds_of

_UNAUTHORIZED = 401
_OF_THE_CHANGES = (400, 409, 413, 422)
"""Other statuses of 4xx say that it was not asked as it should be, whatever the changes."""
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

    async def send(self, path: str, batch: list[dict[str, Any]]) -> None:
        """POST a batch; done when the receiver has answered 2xx.

        Raises:
            Refused: It says what is wrong with them.
            Failing: 5xx.
            Away: No answer, no login, or any other status.
        """
        try:
            # The client's own limits are of each read: this is of the whole.
            async with asyncio.timeout(self._settings.sync_timeout_seconds):
                response = await self._post(path, batch)
                if response.status_code == _UNAUTHORIZED:
                    self._token = ""
                    response = await self._post(path, batch)
        except TimeoutError:
            seconds = self._settings.sync_timeout_seconds
            raise Away(f"no answer within {seconds} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Away(f"{type(error).__name__}: {error}") from None
        _judge(response)

    async def _post(self, path: str, batch: list[dict[str, Any]]) -> httpx.Response:
        if not self._token:
            self._token = await self._log_in()
        headers = {"Authorization": f"Bearer {self._token}"}
        return await self._client.post(path, json=batch, headers=headers)

    async def _log_in(self) -> str:
        settings = self._settings
        password = settings.sync_password.get_secret_value() if settings.sync_password else ""
        response = await self._client.post(
            settings.sync_token_path,
            data={
                "grant_type": "password",
                "username": settings.sync_username or "",
                "password": password,
            },
        )
        if not response.is_success:
            raise Away(f"the login was answered {response.status_code}", _patience(response))
        try:
            token = response.json()["access_token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        # it goes into a header
        if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
            raise Away("the login was answered without an access_token")
        return token


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
