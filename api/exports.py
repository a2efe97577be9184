"""Rows as files of any size: made while they are sent, in a few MB of memory.

    return Export(database, caller, "name of the file", sql, values, cells_of(columns), format)

answers with the rows of one SELECT (`Listing.rows`), of which `cells` are the columns. PostgreSQL
makes the text (COPY), and waits while the client does. What goes wrong before the first byte is a
problem; after it, the connection breaks: a file that looks whole is whole.
"""

import asyncio
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.cells import Cell, file_of
from api.database import Database
from api.errors import Problem
from api.formats import MEDIA_TYPES, Format
from api.sheets import Sheet
from api.users import User

if TYPE_CHECKING:
    from api.parquet import Parquet

_Made = TypeVar("_Made")

MAX_EXPORTS = 2
"""Each holds a connection of the readers', and a thread that works."""
EXPORT_SECONDS = 300.0
"""From its query to its last byte: 1,000,000 rows of NDJSON (360 MB) take as long at 10 Mbit/s."""
STALL_SECONDS = 30.0
"""A client that takes nothing for so long is given up."""
_BLOCK = 1 << 20
"""Bytes of CSV that become one row group, or rows of a sheet. Of each row group the writer keeps a
description until the end: smaller ones would take more memory in all."""
_CSV: dict[str, Any] = {"format": "csv"}
# JSON has none of these characters, so COPY changes nothing in it.
_VERBATIM: dict[str, Any] = {"format": "csv", "delimiter": "\x02", "quote": "\x01"}


class Running:
    """Whose exports run: one of each user, so that nobody has all the places."""

    def __init__(self) -> None:
        self._users: set[UUID] = set()

    @contextmanager
    def place_of(self, user_id: UUID) -> Iterator[None]:
        """Raises `Problem` 429 while the user has a place, and 503 while all are taken."""
        headers = {"Retry-After": "10"}
        if user_id in self._users:
            detail = "A file is being made for you: take it to its end before you ask for another."
            raise Problem(429, detail, headers=headers)
        if len(self._users) >= MAX_EXPORTS:
            raise Problem(503, "Enough files are being made: try again soon.", headers=headers)
        self._users.add(user_id)
        try:
            yield
        finally:
            self._users.remove(user_id)


class Export(Response):
    """The rows of a SELECT as a file."""

    def __init__(  # noqa: PLR0913, PLR0917 - what, of what, and how
        self,
        database: Database,
        caller: User,
        name: str,
        sql: str,
        values: Iterable[object],
        cells: tuple[Cell, ...],
        format_: Format,
        sheet: str | None = None,
        *,
        has_bom: bool = False,
    ) -> None:
        """`sheet` is the name of a workbook's sheet, and `has_bom` of CSV."""
        super().__init__(media_type=media_type_of(format_))
        del self.headers["content-length"]
        self.headers["Content-Disposition"] = f'attachment; filename="{name}.{format_}"'
        self._database = database
        self._user_id = caller.user_id
        self._sql = file_of(sql, cells, format_)
        self._values = tuple(values)
        self._cells = cells
        self._format = format_
        self._sheet = sheet
        self.beginning = BOM_UTF8 if has_bom else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `Problem` 504 where it takes too long, and those of `Running.place_of`.

        Who asks for the head only gets what is known without a row.
        """
        if scope["state"]["is_head"]:
            await _Body(self, send).end()
            return
        running = cast("Running", scope["app"].state.running_exports)
        with running.place_of(self._user_id):
            await self._send_in_time(receive, send)

    async def _send_in_time(self, receive: Receive, send: Send) -> None:
        work = asyncio.create_task(self._send(send))
        leave = asyncio.create_task(_leave(receive))
        try:
            await asyncio.wait(
                (work, leave), timeout=EXPORT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if leave.done() and not work.done():
                raise ClientDisconnect
            if not work.done():
                raise Problem(504, "The file took too long: ask for fewer rows at once.")
            await work
        finally:
            work.cancel()
            leave.cancel()
            await asyncio.gather(work, leave, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        body = _Body(self, send)
        if self._format in ("csv", "ndjson"):
            options = _VERBATIM if self._format == "ndjson" else _CSV | {"header": True}
            await self._database.stream(
                self._sql, self._values, body.write, EXPORT_SECONDS, **options
            )
        else:
            with TemporaryDirectory(prefix="assay-export-") as folder:
                maker: Parquet | Sheet
                if self._format == "parquet":
                    maker = (await _in_thread(_parquet))(self._cells)
                else:
                    maker = Sheet(self._cells, Path(folder) / "file", self._sheet)
                blocks = _Blocks(maker, body)
                try:
                    await self._database.stream(
                        self._sql, self._values, blocks.take, EXPORT_SECONDS, **_CSV
                    )
                    await blocks.end()
                finally:
                    maker.close()
        await body.end()


def media_type_of(format_: Format) -> str:
    parameters = "; charset=utf-8; header=present" if format_ == "csv" else ""
    return MEDIA_TYPES[format_] + parameters


def _parquet() -> "type[Parquet]":
    """Its library is 30 MB of memory, which only who exports Parquet pays."""
    from api.parquet import Parquet  # noqa: PLC0415

    return Parquet


class _Body:
    """What is sent; nothing before there is a first piece of it."""

    def __init__(self, response: "Export", send: Send) -> None:
        self._beginning = response.beginning
        self._start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        self._send = send
        self._is_started = False

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        if not self._is_started:
            self._is_started = True
            await self._send(self._start)
            piece = self._beginning + piece
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            raise ClientDisconnect from None

    async def end(self) -> None:
        await self.write(b"", more=False)


class _Blocks:
    """Collects rows, which never end within a piece, until they are worth a thread."""

    def __init__(self, maker: "Parquet | Sheet", body: _Body) -> None:
        self._maker = maker
        self._body = body
        self._rows = bytearray()

    async def take(self, rows: bytes) -> None:
        self._rows += rows
        if len(self._rows) >= _BLOCK:
            await self._make()

    async def end(self) -> None:
        if self._rows:
            await self._make()
        rest = self._maker.rest()
        while piece := await _in_thread(next, rest, b""):
            await self._body.write(piece)

    async def _make(self) -> None:
        block, self._rows = bytes(self._rows), bytearray()
        if piece := await _in_thread(self._maker.take, block):
            await self._body.write(piece)


async def _in_thread(work: Callable[..., _Made], *values: object) -> _Made:
    """To its end, also where the client goes away: what it works on is closed after that."""
    task = asyncio.create_task(asyncio.to_thread(work, *values))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
