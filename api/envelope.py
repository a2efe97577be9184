"""What every answer has: a request id, security headers, a problem instead of an exception.

And what every request leaves: a line in the log, and a place in the metrics.
"""

import asyncio
import logging
import re
import time
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body import in_time
from api.cors import Cors
from api.errors import Problem, problem_of, respond
from api.metrics import Metrics
from assay.catalog import Catalog
from assay.logs import REQUEST_ID

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Two years; of https only, as RFC 6797, 7.2 demands.
_HSTS = "max-age=63072000"
# nginx's status for a client that did not wait; it is logged and never sent.
_GONE = 499
_log = logging.getLogger(__name__)
_access = logging.getLogger("api.access")


def segmented_path(scope: Scope) -> str:
    """The path, decoded but for `%2F` and `%25`: a slash in a key does not end its segment.

    A slash at the end of the path itself says nothing.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = unquote(re.sub("%(?=2[5Ff])", "%25", raw.decode("latin-1")))
    return path.removesuffix("/") or path


def segment_text(segment: str) -> str:
    """What a segment of such a path says."""
    return re.sub("%2F", "/", segment, flags=re.IGNORECASE).replace("%25", "%")


@dataclass
class _Exchange:
    """A request and what has been said to it."""

    scope: Scope
    request_id: str
    method: str
    begun: float = field(default_factory=time.perf_counter)
    status: int = _GONE
    has_begun: bool = False

    @property
    def route(self) -> str:
        """Its template: what a path says may be personal, and there is no end of paths."""
        return getattr(self.scope.get("route"), "path", "none")


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, catalog: Catalog, metrics: Metrics, cors: Cors, max_requests: int
    ) -> None:
        self._app = app
        self._catalog = catalog
        self._metrics = metrics
        self._cors = cors
        self._max_requests = max_requests
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        given = asked.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else uuid4().hex
        method = scope["method"]
        is_head = method == "HEAD"
        # RFC 9110, 9.3.2: HEAD is GET without the body. The server goes by a scope of its own.
        scope = {**scope, "path": segmented_path(scope), "method": "GET" if is_head else method}
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "is_head": is_head}
        exchange = _Exchange(scope, request_id, method)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.has_begun = True
                exchange.status = message["status"]
                self._add_headers(exchange, asked, MutableHeaders(scope=message))
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        token = REQUEST_ID.set(exchange.request_id)
        try:
            await self._answer(exchange, asked, in_time(receive), send_with_headers)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
            self._record(exchange)
            REQUEST_ID.reset(token)

    async def _answer(
        self, exchange: _Exchange, asked: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        scope = exchange.scope
        try:
            preflight = self._cors.preflight(scope["method"], asked)
            if preflight is not None:
                await Response(status_code=204, headers=preflight)(scope, receive, send)
                return
            self._check_busy(scope["path"])
            await self._app(scope, receive, send)
        except ClientDisconnect:
            _log.info("the client went away")
        # The task is cancelled when the server waits no longer for its requests; it ends here.
        except (Exception, asyncio.CancelledError) as error:
            problem = problem_of(error, self._catalog)
            if problem.status == 500:  # noqa: PLR2004
                _log.exception("request %s failed", exchange.request_id)
            if exchange.has_begun:
                raise
            await respond(Request(scope), problem)(scope, receive, send)

    def _check_busy(self, path: str) -> None:
        # Whoever asks whether it lives would stop one that is only busy.
        if self._in_flight > self._max_requests and path != "/live":
            raise Problem(503, "The server answers too many requests already; try again soon.")

    def _add_headers(
        self, exchange: _Exchange, asked: dict[bytes, bytes], headers: MutableHeaders
    ) -> None:
        given = {name for name, _ in headers.raw}
        headers.raw.extend(pair for pair in _RAW_HEADERS if pair[0] not in given)
        if exchange.scope.get("scheme") == "https":
            headers["Strict-Transport-Security"] = _HSTS
        for name, value in self._cors.headers(asked).items():
            headers.append(name, value)
        for policy, left in exchange.scope["state"].get("rates", ()):
            headers.append("RateLimit-Policy", policy)
            headers.append("RateLimit", left)
        headers["X-Request-ID"] = exchange.request_id
        media_type = headers.get("content-type", "").partition(";")[0]
        is_file = exchange.status == 200 and not media_type.endswith("json")  # noqa: PLR2004
        is_sent = is_file and exchange.method != "HEAD"
        if is_sent and getattr(exchange.scope.get("route"), "include_in_schema", False):
            self._metrics.count_export(media_type)

    def _record(self, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.begun
        scope = exchange.scope
        self._metrics.observe(exchange.method, exchange.route, exchange.status, seconds)
        client = scope.get("client")
        _access.info(
            "answered",
            extra={
                "method": exchange.method,
                "route": exchange.route,
                "status": exchange.status,
                "milliseconds": round(seconds * 1000, 1),
                "user_id": scope["state"].get("user_id"),
                "address": client[0] if client else None,
            },
        )
