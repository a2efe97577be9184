"""Reads the listings of an API into the raw tables: several at once, and only as wholes.

The tables of an API are recorded together, so that no build sees records without those that they
refer to.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
from psycopg import AsyncConnection

from assay.catalog import SourceTable
from assay.listings import Api
from loader.errors import LoadError, UnavailableError
from loader.http import walks
from loader.http.access import Access
from loader.http.client import Client, GoneError, StaleTokenError
from loader.http.recording import record
from loader.http.walks import Reading, Walk
from loader.loads import RECORD_FAILURE, LoadResult

_Turn = tuple[Reading, Sequence[str]]
Progress = Callable[[str, int, int], None]
"""Called with the source table, the requests sent and the records read so far."""

MAX_RESTARTS = 10
"""Of a listing whose token the API no longer knows, or gives again."""
_BATCH = 2000
"""Records that are written in one transaction, about."""
_TURN = "select pg_try_advisory_lock(hashtextextended('extract ' || %s, 0))"


async def extract(  # noqa: PLR0913  # a request has these parts
    conninfo: str,
    api: Api,
    source_tables: Sequence[SourceTable],
    access: Access,
    *,
    loaded_by: str,
    full: bool = False,
    progress: Progress = lambda _table, _requests, _records: None,
) -> list[LoadResult] | None:
    """Read what an API has; None where another process is at it.

    An extraction that was stopped goes on where it was. One that was refused leaves a row in
    `raw.loads` that says why, and begins anew.

    Args:
        conninfo: Connection string or URL of the database.
        api: The API.
        source_tables: Those of its listings, each after that of its parents.
        access: Where it is.
        loaded_by: Who reads it.
        full: Ask for all records, not only for those that were changed since the last time.
        progress: Told how far it is.

    Raises:
        UnavailableError: The API is away; what was read is kept for the next time.
        LoadError: The API refuses, or its listings have no end.
        psycopg.Error: The database failed.
    """
    # `_record #>> ...` is compared with moments of UTC
    connection = await AsyncConnection.connect(conninfo, autocommit=True, options="-c TimeZone=UTC")
    client = Client(access, api.timeout_seconds)
    async with connection, client:
        turn = await (await connection.execute(_TURN, [api.name])).fetchone()
        if not turn or not turn[0]:
            return None
        done: dict[str, Walk] = {}
        for table in source_tables:
            if table.listing is None:
                raise TypeError(table.name)
            parents = done.get(table.listing.for_each or "")
            walk = await walks.begin(connection, table, table.listing, parents, full=full)
            done[table.name] = walk
            if not walk.is_whole:
                extraction = Extraction(connection, client, walk, progress)
                try:
                    await extraction.run(api.concurrency)
                except LoadError as error:
                    await _note_failure(connection, walk, error, loaded_by)
                    raise
        return await record(connection, list(done.values()), loaded_by)


class Extraction:
    """Reads the listings of one source table."""

    def __init__(
        self, connection: walks.Connection, client: Client, walk: Walk, progress: Progress
    ) -> None:
        self._connection = connection
        # one at a time: a COPY has the connection to itself
        self._database = asyncio.Lock()
        self._client = client
        self._walk = walk
        self._progress = progress
        self._listings: list[Reading] = []
        self._last_listing = 0
        self._read: asyncio.Queue[_Turn | None] = asyncio.Queue(64)

    async def run(self, concurrency: int) -> None:
        """Read all listings that are not whole."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_all())
                async with asyncio.TaskGroup() as readers:
                    for _ in range(concurrency):
                        readers.create_task(self._read_listings())
                await self._read.put(None)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        await walks.finish(self._connection, self._walk)

    async def _next_listing(self) -> Reading | None:
        async with self._database:
            if not self._listings:
                found = await walks.listings_after(self._connection, self._walk, self._last_listing)
                self._listings = found[::-1]
                self._last_listing = found[-1].number if found else self._last_listing
            return self._listings.pop() if self._listings else None

    async def _read_listings(self) -> None:
        while reading := await self._next_listing():
            await self._read_listing(reading)

    async def _read_listing(self, reading: Reading) -> None:
        listing = self._walk.listing
        fields = {name: quote(value, safe="") for name, value in (reading.parent or {}).items()}
        path = listing.path.format_map(fields)
        seen = {reading.token}
        restarts = 0
        while not reading.is_whole:
            try:
                reading, records = await self._next_page(path, reading, seen)
            except StaleTokenError:
                restarts += 1
                if restarts > MAX_RESTARTS:
                    raise LoadError(
                        "the token of a page is refused, or leads back to pages before it",
                        remedy="ask whoever runs the API",
                        file=path,
                    ) from None
                reading, records, seen = Reading(reading.number, reading.parent), (), {None}
            if reading.pages > listing.max_pages:
                raise LoadError(
                    f"the listing has more than {listing.max_pages} pages",
                    remedy="if it is that long, allow more by `page.max`",
                    file=path,
                )
            seen.add(reading.token)
            await self._read.put((reading, records))

    async def _next_page(self, path: str, reading: Reading, seen: Collection[str | None]) -> _Turn:
        walk = self._walk
        try:
            page = await self._client.page(path, walk.listing, reading.token, walk.modified_after)
        except GoneError:
            if reading.parent is None:
                raise LoadError(
                    "the API has nothing there", remedy="check `load.http.path`", file=path
                ) from None
            return replace(reading, is_whole=True, is_gone=True), ()
        is_last = page.next_token is None
        if not is_last and page.next_token in seen:
            raise StaleTokenError
        pages = reading.pages + 1
        return replace(reading, token=page.next_token, pages=pages, is_whole=is_last), page.records

    async def _write_all(self) -> None:
        size = self._client.bytes
        while (turn := await self._read.get()) is not None:
            turns = [turn]
            is_end = False
            while not self._read.empty() and sum(len(r) for _, r in turns) < _BATCH:
                following = self._read.get_nowait()
                if following is None:
                    is_end = True
                    break
                turns.append(following)
            read, size = self._client.bytes - size, self._client.bytes
            async with self._database:
                await walks.write(self._connection, self._walk, turns, read)
            self._progress(self._walk.source_table.name, self._client.requests, self._walk.rows)
            if is_end:
                return


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of the first group: the others came of it."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _note_failure(
    connection: walks.Connection, walk: Walk, error: LoadError, loaded_by: str
) -> None:
    """Best effort: the error itself goes on, whatever becomes of its record."""
    with suppress(psycopg.Error):
        if not isinstance(error, UnavailableError):
            await walks.forget(connection, walk.source_table, walk.load_id)
        failure = {
            "source_table": walk.source_table.name,
            "file_name": walk.file_name,
            "sha256": None,
            "size_bytes": None,
            "error": str(error).replace("\0", ""),
            "loaded_by": loaded_by,
            "started_at": datetime.now(UTC),
        }
        await connection.execute(RECORD_FAILURE, failure)
