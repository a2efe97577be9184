"""The pools of connections: the only module that talks to PostgreSQL, one statement at a time.

What reads does so in read-only transactions, and has connections that no writer can hold. Every
unit of work is one SQL statement, so PostgreSQL makes it whole or not at all and no transaction is
opened for it, but for exports, which set a timeout of their own. It is opened here and only as

    async with pool.connection() as c: async with c.raw_connection.transaction(): ...

since `databases` 0.9 loses a pool slot for good when its own commit or rollback raises.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Annotated, Any, cast

import asyncpg
import databases
from fastapi import Depends, Request

from api.errors import Problem

MAX_READERS = 8
MAX_WRITERS = 8
# A writer may wait for the lock of its table, for as long as a build holds it, and has a
# connection meanwhile: so some are kept for writers of other tables.
MAX_WRITERS_OF_TABLE = 4
ACQUIRE_SECONDS = 5.0
LOCK_SECONDS = 5.0
CONNECT_SECONDS = 5.0
# The server's own timeout comes first; this one is for a server that is stopped, not slow.
COMMAND_SECONDS = 15.0
SERVER_SETTINGS = {
    "application_name": "assay api",
    # Made by a migration: it may change rows, but no table.
    "role": "assay_api",
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
# Refused, cut, or all connections are in use (TimeoutError is an OSError); or cut while nobody used
# the connection, which asyncpg then takes for its own mistake.
_LOST = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_KEPT: ContextVar[AsyncExitStack | None] = ContextVar("kept", default=None)
_log = logging.getLogger(__name__)


class Database:
    """Pools that open their connections on demand, so they can start before PostgreSQL does.

    All methods raise `asyncpg.PostgresError` for what PostgreSQL refuses, and `Problem` (503, 504)
    where it does not answer.
    """

    def __init__(
        self,
        url: str,
        max_readers: int = MAX_READERS,
        max_writers: int = MAX_WRITERS,
        **server_settings: str,
    ) -> None:
        read_only = {"default_transaction_read_only": "on"}
        self._readers = _pool(url, max_readers, server_settings | read_only)
        self._writers = _pool(url, max_writers, server_settings)
        self._writers_of_table: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_WRITERS_OF_TABLE)
        )

    async def connect(self) -> None:
        await self._readers.connect()
        await self._writers.connect()

    async def disconnect(self) -> None:
        for pool in (self._readers, self._writers):
            with suppress(TimeoutError):
                async with asyncio.timeout(COMMAND_SECONDS):
                    await pool.disconnect()

    def usage(self) -> dict[str, tuple[int, int]]:
        """Of each pool, how many of its connections are in use, and how many wait for use."""
        pools = {"readers": self._readers, "writers": self._writers}
        return {name: _usage(pool) for name, pool in pools.items() if pool.is_connected}

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Meanwhile the task reads all on one connection, and gives it back before it writes."""
        kept = AsyncExitStack()
        token = _KEPT.set(kept)
        try:
            yield
        finally:
            _KEPT.reset(token)
            await _give_back(kept)

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement that only reads."""
        return await _fetch(self._readers, sql, values, _KEPT.get())

    async def fetch_row(self, sql: str, *values: object) -> asyncpg.Record | None:
        """The first row of one statement that only reads, or none."""
        return next(iter(await self.fetch(sql, *values)), None)

    async def stream(
        self,
        sql: str,
        values: tuple[object, ...],
        output: Callable[[bytes], Coroutine[Any, Any, None]],
        seconds: float,
        **options: Any,  # noqa: ANN401 - asyncpg's, of `copy_from_query`
    ) -> None:
        """Give the rows of one SELECT to `output` as COPY writes them; no piece ends within a row.

        PostgreSQL waits while `output` does, and all of it may take so many seconds. Whatever
        `output` raises ends the statement and is raised.
        """
        cause: Exception | None = None

        async def give(rows: bytes) -> None:
            nonlocal cause
            try:
                await output(rows)
            except BaseException as error:
                # PostgreSQL may wait to send the rest of a row, and hears of nothing meanwhile.
                connection.raw_connection.terminate()
                cause = error if isinstance(error, Exception) else None
                raise

        try:
            async with AsyncExitStack() as stack:
                connection = await _connect(stack, self._readers)
                await stack.enter_async_context(
                    connection.raw_connection.transaction(readonly=True)
                )
                await connection.raw_connection.execute(
                    f"set local statement_timeout = '{seconds:.0f}s'"
                )
                await connection.raw_connection.copy_from_query(
                    sql, *values, output=give, timeout=seconds, **options
                )
        except _LOST as error:
            # A transaction finds at its end that its connection was cut, by us or by others.
            if cause:
                raise cause from None
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from None
            _log.warning("an export lost the database: %r", error)
            raise Problem(503) from error

    async def write(self, table: str, sql: str, *values: object) -> list[asyncpg.Record]:
        """The rows of one statement that changes a table and may wait for its lock."""
        if kept := _KEPT.get():
            await _give_back(kept)
        async with AsyncExitStack() as stack:
            turns = self._writers_of_table[table]
            try:
                async with asyncio.timeout(ACQUIRE_SECONDS) if turns.locked() else nullcontext():
                    await stack.enter_async_context(turns)
            except TimeoutError as error:
                raise Problem(503) from error
            begun = time.monotonic()
            try:
                return await _fetch(self._writers, sql, values)
            except asyncpg.QueryCanceledError:
                # Before any timeout, this was a build: it ends statements that wait for its rows
                # when it needs the table's lock (`lock_curated`). Now the wait is for the lock.
                if time.monotonic() - begun > LOCK_SECONDS:
                    raise
                return await _fetch(self._writers, sql, values)

    async def write_row(self, table: str, sql: str, *values: object) -> asyncpg.Record | None:
        """The first row of such a statement, or none."""
        return next(iter(await self.write(table, sql, *values)), None)


def _pool(url: str, max_size: int, server_settings: dict[str, str]) -> databases.Database:
    # `databases` would pass on neither `port` nor `sslmode` of the URL's query, and turn a
    # missing database into an empty name. asyncpg itself reads all of a URL: hence `dsn`.
    return databases.Database(
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


def _usage(pool: databases.Database) -> tuple[int, int]:
    own = _pool_of(pool)
    return own.get_size() - own.get_idle_size(), own.get_idle_size()


def _pool_of(pool: databases.Database) -> "asyncpg.Pool[asyncpg.Record]":
    # `databases` has no public way to it.
    return cast("asyncpg.Pool[asyncpg.Record]", pool._backend._pool)  # noqa: SLF001


async def _fetch(
    pool: databases.Database,
    sql: str,
    values: tuple[object, ...],
    kept: AsyncExitStack | None = None,
) -> list[asyncpg.Record]:
    for attempt in range(1, _RETRIES + 1):
        try:
            return await _fetch_once(pool, sql, values, kept)
        except _TRANSIENT:
            await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter
    return await _fetch_once(pool, sql, values, kept)


async def _fetch_once(
    pool: databases.Database,
    sql: str,
    values: tuple[object, ...],
    kept: AsyncExitStack | None,
) -> list[asyncpg.Record]:
    try:
        async with AsyncExitStack() as stack:
            # A task that has a connection of the pool is given the same one again.
            connection = await _connect(kept or stack, pool)
            return await _answer(connection.raw_connection, sql, values)
    except _LOST as error:
        _log.warning("no connection to the database: %r", error)
        raise Problem(503) from error


async def _connect(stack: AsyncExitStack, pool: databases.Database) -> "databases.core.Connection":
    # A timer costs as much as a connection: there is none where nothing is waited for.
    is_there = _pool_of(pool).get_idle_size() > 0
    try:
        async with nullcontext() if is_there else asyncio.timeout(ACQUIRE_SECONDS):
            return await stack.enter_async_context(pool.connection())
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as error:
        _log.error("cannot work as %s: %s", SERVER_SETTINGS["role"], error)
        raise Problem(503, "The database is not prepared: run `assay db upgrade`.") from None


async def _give_back(kept: AsyncExitStack) -> None:
    try:
        await kept.aclose()
    except _LOST as error:
        # What was read was read; `asyncpg` has closed it.
        _log.warning("a connection was lost: %r", error)


async def _keep(_connection: object) -> None:
    """Instead of asyncpg's reset query after each use: no statement here changes the session.

    So giving a connection back cannot fail either, after the work on it was done.
    """


async def _answer(
    connection: "asyncpg.Connection[asyncpg.Record]", sql: str, values: tuple[object, ...]
) -> list[asyncpg.Record]:
    try:
        return await connection.fetch(sql, *values)
    except TimeoutError:
        raise Problem(504) from None


async def database_of(request: Request) -> Database:
    return cast("Database", request.app.state.database)


Pool = Annotated[Database, Depends(database_of)]
