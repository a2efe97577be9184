"""A network that fails: a proxy on loopback, with the eight toxics of toxiproxy.

Its loop runs in a thread of its own, so that it serves tests of any kind. A toxic holds for the
connections that are open and for new ones, until another takes its place.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

Result = TypeVar("Result")
Name = Literal[
    "latency", "down", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"
]
SLICE = 64
"""Bytes that `slicer` passes on at once."""


@dataclass(frozen=True)
class Toxic:
    """What happens to the data of each connection."""

    name: Name
    amount: float = 0
    """Seconds of `latency` for each piece, before a `slow_close`, and before `timeout` and
    `reset_peer` end what passes nothing any more; bytes a second of `bandwidth`; bytes from the
    client until `limit_data` hangs up."""
    after: tuple[bytes, ...] = ()
    """Begins with the answer to the last of these, which the client sent in this order."""


@dataclass(eq=False)
class Link:
    """A connection through the proxy, and what has come from its client."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    sent: int = 0
    awaited: list[bytes] = field(default_factory=list)

    def close(self, *, reset: bool = False) -> None:
        if reset:
            # a linger of nothing: the peer is not told goodbye
            option = struct.pack("ii", 1, 0)
            own: socket.socket = self.client.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.client.transport.abort() if reset else self.client.close()
        self.server.close()


class Proxy:
    """Passes connections on to the unix socket of a PostgreSQL; `url` leads through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._socket = f"{options['host']}/.s.PGSQL.{options['port']}"
        self._links: set[Link] = set()
        self._toxic: Toxic | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = self._server.sockets[0].getsockname()[1]
        # the socket knows no TLS, so nobody need ask for it
        self.url = f"{parts.scheme}://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"

    @property
    def toxic(self) -> Toxic | None:
        return self._toxic

    @toxic.setter
    def toxic(self, toxic: Toxic | None) -> None:
        self._run(self._poison(toxic))

    def close(self) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _poison(self, toxic: Toxic | None) -> None:
        self._toxic = toxic
        for link in list(self._links):
            link.awaited = list(toxic.after) if toxic else []
            if toxic and toxic.name == "down":
                link.close()

    async def _end(self) -> None:
        self._server.close()
        for link in list(self._links):
            link.close()
        pumps = asyncio.all_tasks() - {asyncio.current_task()}
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        toxic = self._toxic
        if toxic and toxic.name == "down":
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        link = Link(writer, server_writer, awaited=list(toxic.after) if toxic else [])
        self._links.add(link)
        with suppress(OSError):
            await asyncio.gather(
                self._pump(link, reader, server_writer), self._pump(link, server_reader, writer)
            )
        self._links.discard(link)

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        is_request = writer is link.server
        while data := await reader.read(1 << 16):
            if is_request:
                link.sent += len(data)
            is_clean = bool(link.awaited) or self._toxic is None
            while is_request and link.awaited and link.awaited[0] in data:
                del link.awaited[0]
            if is_clean:
                writer.write(data)
                await writer.drain()
            elif not await self._pass_on(link, data, writer):
                return
        if self._toxic and self._toxic.name == "slow_close":
            await asyncio.sleep(self._toxic.amount)
        writer.close()

    async def _pass_on(self, link: Link, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether anything comes after this."""
        toxic = self._toxic
        assert toxic
        if toxic.name in ("timeout", "reset_peer"):
            await asyncio.sleep(toxic.amount)
            link.close(reset=toxic.name == "reset_peer")
            return False
        if toxic.name == "limit_data" and link.sent > toxic.amount:
            link.close()
            return False
        if toxic.name in ("latency", "bandwidth"):
            seconds = toxic.amount if toxic.name == "latency" else len(data) / toxic.amount
            await asyncio.sleep(seconds)
        size = SLICE if toxic.name == "slicer" else len(data)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        return True


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A way to PostgreSQL that can be poisoned."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
