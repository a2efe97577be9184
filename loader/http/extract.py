"""Reads the listings of an API into the raw tables: several at once, and only as wholes.

The tables of an API are recorded together, so that no build sees records without those that they
refer to.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
from psycopg import AsyncConnection

from assay.catalog import SourceTable
from assay.listings import Api
from loader.errors import ListingError, LoadError
from loader.http import walks
from loader.http.access import Access
from loader.http.client import Client, GoneError, StaleTokenError
from loader.http.recording import record
from loader.http.walks import Reading, Walk
from loader.loads import RECORD_FAILURE, LoadResult

Progress = Callable[[str, int, int], None]
"""Called with the source table, the requests sent and the records read so far."""

MAX_RESTARTS = 10
"""Of a listing whose token the API no longer knows, or gives again."""
_BATCH = 2000
"""Records that are written in one transaction, about."""
_BUDGET = 24 << 20
"""Bytes of pages in memory; taken apart, and with what reads them, they are three times that."""
_ONE_AT_A_TIME = "select pg_try_advisory_lock(hashtextextended('extract ' || %s, 0))"
_END_OF_TURN = "select pg_advisory_unlock(hashtextextended('extract ' || %s, 0))"


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

    An extraction that was stopped goes on where it was; a row in `raw.loads` says why it was.

    Args:
        conninfo: Connection string or URL of the database.
        api: The API.
        source_tables: Those of its listings, each after that of its parents.
        access: Where it is.
        loaded_by: Who reads it.
        full: Ask for all records, not only for those that were changed since the last time.
        progress: Told how far it is.

    Raises:
        ListingError: A listing has no end, or is none; the next extraction begins anew.
        UnavailableError: The API is away.
        LoadError: The API refuses.
        psycopg.Error: The database failed.
    """
    # `_record #>> ...` is compared with moments of UTC
    connection = await AsyncConnection.connect(conninfo, autocommit=True, options="-c TimeZone=UTC")
    client = Client(access, api.timeout_seconds)
    async with connection, client:
        turn = await (await connection.execute(_ONE_AT_A_TIME, [api.name])).fetchone()
        if not turn or not turn[0]:
            return None
        try:
            done: dict[str, Walk] = {}
            for table in source_tables:
                if table.listing is None:
                    raise TypeError(table.name)
                parents = done.get(table.listing.for_each or "")
                origin = f"{access.url.rstrip('/')}{table.listing.path}"
                walk = await walks.begin(
                    connection, table, table.listing, origin, parents, full=full
                )
                done[table.name] = walk
                if walk.is_whole:
                    continue
                extraction = Extraction(connection, client, walk, progress)
                try:
                    await extraction.run(api.concurrency)
                except LoadError as error:
                    if isinstance(error, ListingError):
                        for each in done.values():
                            await walks.forget(connection, each.source_table, each.load_id)
                    await _note_failure(connection, walk, error, loaded_by)
                    raise
            return await record(
                connection, list(done.values()), loaded_by, is_sample=access.is_sample
            )
        finally:
            # PostgreSQL sees some time later that a connection was closed.
            with suppress(psycopg.Error):
                await connection.execute(_END_OF_TURN, [api.name])


@dataclass(frozen=True)
class _Turn:
    """How far a listing was read, the records of its last page, and the budget they take."""

    reading: Reading
    records: Sequence[str]
    taken: int


class Budget:
    """Bytes of pages that may be in memory at once."""

    def __init__(self, size: int) -> None:
        self._size = self._free = self._expected = size
        self._given_back = asyncio.Condition()

    async def take(self) -> int:
        """As much as the largest page so far; all of it for the first."""
        async with self._given_back:
            await self._given_back.wait_for(lambda: self._free >= self._expected)
            self._free -= self._expected
            return self._expected

    async def give(self, taken: int) -> None:
        async with self._given_back:
            self._free += taken
            self._given_back.notify_all()

    def learn(self, largest: int) -> None:
        self._expected = min(max(largest, 1), self._size)


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
        self._read: asyncio.Queue[_Turn | None] = asyncio.Queue()
        self._budget = Budget(_BUDGET)
        self._failure: Exception | None = None

    async def run(self, concurrency: int) -> None:
        """Read all listings that are not whole; what was read is written, whatever happens."""
        writer = asyncio.create_task(self._write_all())
        try:
            async with asyncio.TaskGroup() as readers:
                for _ in range(concurrency):
                    readers.create_task(self._read_listings())
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._read.put_nowait(None)
            await writer
        if self._failure:
            raise self._failure
        await walks.finish(self._connection, self._walk)

    async def _next_listing(self) -> Reading | None:
        async with self._database:
            if not self._listings:
                found = await walks.listings_after(self._connection, self._walk, self._last_listing)
                self._listings = found[::-1]
                self._last_listing = found[-1].number if found else self._last_listing
            return self._listings.pop() if self._listings else None

    async def _read_listings(self) -> None:
        while self._failure is None and (reading := await self._next_listing()):
            await self._read_listing(reading)

    async def _read_listing(self, reading: Reading) -> None:
        listing = self._walk.listing
        fields = {name: quote(value, safe="") for name, value in (reading.parent or {}).items()}
        path = listing.path.format_map(fields)
        seen = {reading.token}
        restarts = furthest = 0
        while not reading.is_whole and self._failure is None:
            taken = await self._budget.take()
            records: Sequence[str] = ()
            try:
                reading, records = await self._next_page(path, reading, seen)
            except StaleTokenError:
                restarts += 1
                if restarts > MAX_RESTARTS:
                    raise ListingError(
                        "the token of a page is refused, or leads back to pages before it",
                        remedy="ask whoever runs the API",
                        file=listing.path,
                    ) from None
                reading, seen = Reading(reading.number, reading.parent), {None}
            except BaseException:
                await self._budget.give(taken)
                raise
            if reading.pages > listing.max_pages:
                raise ListingError(
                    f"the listing has more than {listing.max_pages} pages",
                    remedy="if it is that long, allow more by `page.max`",
                    file=listing.path,
                )
            if reading.pages > furthest:
                furthest, restarts = reading.pages, 0
            seen.add(reading.token)
            self._read.put_nowait(_Turn(reading, records, taken))

    async def _next_page(
        self, path: str, reading: Reading, seen: Collection[str | None]
    ) -> tuple[Reading, Sequence[str]]:
        walk = self._walk
        try:
            page = await self._client.page(path, walk.listing, reading.token, walk.modified_after)
        except GoneError:
            if reading.parent is None:
                raise LoadError(
                    "the API has nothing there", remedy="check `load.http.path`", file=path
                ) from None
            return replace(reading, is_whole=True, is_gone=True), ()
        self._budget.learn(self._client.largest)
        is_last = page.next_token is None
        if not is_last and page.next_token in seen:
            raise StaleTokenError
        pages = reading.pages + 1
        return replace(reading, token=page.next_token, pages=pages, is_whole=is_last), page.records

    async def _write_all(self) -> None:
        """Until the readers are done; also what others had read when one of them failed."""
        size = self._client.bytes
        is_end = False
        while not is_end:
            turns = [await self._read.get()]
            while turns[-1] and not self._read.empty() and _records(turns) < _BATCH:
                turns.append(self._read.get_nowait())
            is_end = turns[-1] is None
            read, size = self._client.bytes - size, self._client.bytes
            written = [turn for turn in turns if turn]
            try:
                if written and self._failure is None:
                    async with self._database:
                        await walks.write(
                            self._connection,
                            self._walk,
                            [(turn.reading, turn.records) for turn in written],
                            read,
                        )
            except Exception as error:  # noqa: BLE001 - raised by `run`, when the readers know
                self._failure = error
            for turn in written:
                await self._budget.give(turn.taken)
            self._progress(self._walk.source_table.name, self._client.requests, self._walk.rows)


def _records(turns: Sequence[_Turn | None]) -> int:
    return sum(len(turn.records) for turn in turns if turn)


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
    failure = {
        "source_table": walk.source_table.name,
        "file_name": walk.file_name,
        "sha256": None,
        "size_bytes": None,
        "error": str(error).replace("\0", ""),
        "loaded_by": loaded_by,
        "started_at": datetime.now(UTC),
    }
    with suppress(psycopg.Error):
        await connection.execute(RECORD_FAILURE, failure)
