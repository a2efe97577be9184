"""What every answer has: a request id, security headers, and a problem instead of an exception."""

import asyncio
import logging
import re
from urllib.parse import quote, unquote
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_of, respond
from assay.catalog import Catalog

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger(__name__)


def segmented_path(scope: Scope) -> str:
    """The path, decoded but for `%2F` and `%25`: a slash in a key does not end its segment."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return unquote(re.sub("%(?=2[5Ff])", "%25", raw.decode("latin-1")))


def segment_text(segment: str) -> str:
    """What a segment of such a path says."""
    return re.sub("%2F", "/", segment, flags=re.IGNORECASE).replace("%25", "%")


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, catalog: Catalog) -> None:
        self._app = app
        self._catalog = catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        scope["path"] = segmented_path(scope)
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            _log.info("request %s: the client went away", request_id)
        # The task is cancelled when the server waits no longer for its requests; it ends here.
        except (Exception, asyncio.CancelledError) as error:
            problem = problem_of(error, self._catalog)
            if problem.status == 500:  # noqa: PLR2004
                _log.exception("request %s failed", request_id)
            if started:
                raise
            await respond(Request(scope), problem)(scope, receive, send_with_headers)
