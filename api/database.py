"""The pool of connections: the only module that talks to PostgreSQL, one statement at a time.

Every unit of work is one SQL statement, so PostgreSQL makes it whole or not at all and no
transaction is opened here. Should one be needed, open it here and only as

    async with pool.connection() as c: async with c.raw_connection.transaction(): ...

since `databases` 0.9 loses a pool slot for good when its own commit or rollback raises.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from typing import Annotated, cast

import asyncpg
import databases
from fastapi import Depends, Request

from api.errors import Problem

MAX_SIZE = 10
# A writer may wait for the lock of its table, for as long as a build holds it, and has a
# connection meanwhile: so some are kept for writers of other tables, and some for readers.
MAX_WRITERS_OF_TABLE = 4
MAX_WRITERS = 8
ACQUIRE_SECONDS = 5.0
LOCK_SECONDS = 5.0
CONNECT_SECONDS = 5.0
# The server's own timeout comes first; this one is for a server that is stopped, not slow.
COMMAND_SECONDS = 15.0
SERVER_SETTINGS = {
    "application_name": "assay api",
    "timezone": "UTC",
    "search_path": "public",
    "jit": "off",
    "lock_timeout": f"{LOCK_SECONDS:.0f}s",
    # It counts the wait for locks too: were both equal, this one would always come first.
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
}

_RETRIES = 3
_TRANSIENT = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,
)
_log = logging.getLogger(__name__)


class Database:
    """A pool that opens its connections on demand, so it can start before PostgreSQL does.

    All methods raise `asyncpg.PostgresError` for what PostgreSQL refuses, and `Problem` (503, 504)
    where it does not answer.
    """

    def __init__(self, url: str, max_size: int = MAX_SIZE, **server_settings: str) -> None:
        # `databases` would pass on neither `port` nor `sslmode` of the URL's query, and turn a
        # missing database into an empty name. asyncpg itself reads all of a URL: hence `dsn`.
        self._pool = databases.Database(
            "postgresql://",
            dsn=url,
            host=None,
            port=None,
            user=None,
            password=None,
            database=None,
            min_size=0,
            max_size=max_size,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            reset=_keep,
            server_settings={**SERVER_SETTINGS, **server_settings},
        )
        self._writers = asyncio.Semaphore(MAX_WRITERS)
        self._writers_of_table: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_WRITERS_OF_TABLE)
        )

    async def connect(self) -> None:
        await self._pool.connect()

    async def disconnect(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._pool.disconnect()

    async def fetch_row(self, sql: str, *values: object) -> asyncpg.Record | None:
        """The first row of one statement, or none."""
        for attempt in range(1, _RETRIES + 1):
            try:
                return await self._fetch_row(sql, values)
            except _TRANSIENT:
                await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter
        return await self._fetch_row(sql, values)

    async def write_row(self, table: str, sql: str, *values: object) -> asyncpg.Record | None:
        """As `fetch_row`, for a statement that changes a table and may wait for its lock."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(ACQUIRE_SECONDS):
                    await stack.enter_async_context(self._writers_of_table[table])
                    await stack.enter_async_context(self._writers)
            except TimeoutError as error:
                raise Problem(503) from error
            begun = time.monotonic()
            try:
                return await self.fetch_row(sql, *values)
            except asyncpg.QueryCanceledError:
                # Before any timeout, this was a build: it ends statements that wait for its rows
                # when it needs the table's lock (`lock_curated`). Now the wait is for the lock.
                if time.monotonic() - begun > LOCK_SECONDS:
                    raise
                return await self.fetch_row(sql, *values)

    async def _fetch_row(self, sql: str, values: tuple[object, ...]) -> asyncpg.Record | None:
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(ACQUIRE_SECONDS):
                    connection = await stack.enter_async_context(self._pool.connection())
                return await _answer(connection.raw_connection, sql, values)
        except (OSError, asyncpg.InterfaceError) as error:
            # Refused, cut, or all connections are in use; TimeoutError is an OSError.
            _log.warning("no connection to the database: %r", error)
            raise Problem(503) from error


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's reset query after each use: no statement here changes the session.

    So giving a connection back cannot fail either, after the work on it was done.
    """


async def _answer(
    connection: "asyncpg.Connection[asyncpg.Record]", sql: str, values: tuple[object, ...]
) -> asyncpg.Record | None:
    try:
        return await connection.fetchrow(sql, *values)
    except TimeoutError:
        raise Problem(504) from None


def _database_of(request: Request) -> Database:
    return cast("Database", request.app.state.database)


Pool = Annotated[Database, Depends(_database_of)]
