"""A client that is no bottleneck: requests made beforehand, over connections that stay open."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import cast

import uvloop

CONNECTIONS = 8
_PATIENCE = 600
"""Seconds: it is another fault then."""


class _Connection(asyncio.Protocol):
    """Sends the next request when it has the whole answer to the last one."""

    def __init__(self, requests: Iterator[bytes], status: bytes) -> None:
        self._requests = requests
        self._status = status
        self._read = b""
        self._missing = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end:
            return
        if head[9:12] != self._status:
            self._end(RuntimeError(self._read[:2000].decode(errors="replace")))
            return
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) >= int(rest.partition(b"\r\n")[0]):
            self._read = b""
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or RuntimeError("the server closed the connection"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
        else:
            self._transport.write(request)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
        self._transport.close()


def seconds(port: int, requests: Sequence[bytes], status: int = 200) -> float:
    """What a server on loopback takes to answer all of them, eight at a time.

    Raises:
        RuntimeError: An answer has another status, or no length.
    """

    async def run() -> float:
        loop, waiting = asyncio.get_running_loop(), iter(requests)
        begun = time.perf_counter()
        made = [
            await loop.create_connection(
                lambda: _Connection(waiting, str(status).encode()), "127.0.0.1", port
            )
            for _ in range(CONNECTIONS)
        ]
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*(connection.ended for _, connection in made))
        return time.perf_counter() - begun

    return uvloop.run(run())


def request(method: str, path: str, token: str, body: str = "") -> bytes:
    content = body.encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content
