"""uvicorn's HTTP, with bounds for what comes before the application sees anything of a request."""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
MAX_HEAD = 1 << 16
"""Bytes of the request line and the headers."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection; one whose head does not come, or has no end, is closed.

    uvicorn waits for both, as many bytes as there are and as long as it takes.
    """

    _timer: TimerHandle | None = None
    _is_head = True
    _received = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_head and self._timer is None:
            self._begin_head()
        # Before it is read: what completes a head sets it back, a body in the same data too.
        self._received += len(data)
        super().data_received(data)
        if self._is_head and self._received > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self._end_head()
        self._is_head = False
        self._received = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        # Of the next request, if there is one: until its first byte uvicorn's own timer runs.
        self._is_head = True
        self._received = 0

    def _begin_head(self) -> None:
        # `shutdown` closes it, at once or after the answer to an earlier request.
        self._timer = self.loop.call_later(HEAD_SECONDS, self.shutdown)

    def _end_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
