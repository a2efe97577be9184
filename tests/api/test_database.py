"""The pool: it comes back after whatever PostgreSQL does, and nothing is half done meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api import database as module
from api.database import Database
from api.errors import Problem, problem_of
from assay import postgres
from tests.api.conftest import CATALOG, GEMS, client_of
from tests.api.test_envelope import until_waiting

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def pool(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, **options)
    await database.connect()
    try:
        yield database
    finally:
        await database.disconnect()


@asynccontextmanager
async def pool_of(app: FastAPI, url: str, **options: Any) -> AsyncIterator[None]:
    """The application on another pool."""
    own = app.state.database
    async with pool(url, **options) as other:
        app.state.database = other
        try:
            yield
        finally:
            app.state.database = own


async def value_of(database: Database, sql: str) -> Any:
    row = await database.fetch_row(sql)
    assert row
    return row[0]


async def test_the_settings_of_a_connection(database_url: str) -> None:
    """The lock timeout comes before the statement timeout, which counts the wait for locks too."""
    async with pool(database_url) as database:
        assert await value_of(database, "show lock_timeout") == "5s"
        assert await value_of(database, "show statement_timeout") == "10s"
        assert await value_of(database, "show timezone") == "UTC"


async def test_who_reads_on_one_connection_gives_it_back_before_he_writes(
    database_url: str,
) -> None:
    """Else readers would wait for writers, and they for the locks of tables."""
    async with pool(database_url) as database:
        async with database.reading():
            assert database.usage()["readers"] == (0, 0)
            for _ in range(2):
                await database.fetch("select 1")
                assert database.usage()["readers"] == (1, 0)
            await database.write(GEMS, "select 1")
            assert database.usage()["readers"] == (0, 1)
            await database.fetch("select 1")
        assert database.usage()["readers"] == (0, 1)
        await database.fetch("select 1")
        assert database.usage()["readers"] == (0, 1)


@pytest.mark.parametrize(
    "statement",
    [
        "create table curated.own (a int)",
        "create table own (a int)",
        "create schema own",
        "drop table curated.gems",
        "truncate curated.gems",
        "alter table curated.gems disable trigger all",
        "alter table curated.gems drop constraint gems__one_label",
        "update journal.edits set edited_by = 'another'",
        "delete from journal.edits",
        "delete from raw.loads",
        "insert into raw.shop__gems default values",
        "copy curated.gems to program 'true'",
        "copy curated.gems from '/etc/passwd'",
        "create role another superuser",
        "select pg_read_file('/etc/passwd')",
    ],
)
async def test_b27_the_role_of_the_api_changes_rows_only(database_url: str, statement: str) -> None:
    """Whatever slips through: it makes, alters, empties and drops nothing, and reads no file."""
    async with pool(database_url) as database:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.write_row("gems", statement)


async def test_b27_what_reads_is_read_only(database_url: str) -> None:
    """Also what looks like a read: PostgreSQL refuses it."""
    async with pool(database_url) as database:
        assert await value_of(database, "select current_user") == "assay_api"
        assert await value_of(database, "show transaction_read_only") == "on"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await database.fetch("with gone as (delete from curated.gems) select 1")


async def test_a_database_that_is_not_prepared_is_503(
    create_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role is made by `assay db upgrade`; what to do stands in the answer."""
    monkeypatch.setitem(module.SERVER_SETTINGS, "role", "nobody made this")
    async with pool(create_database()) as database:
        with pytest.raises(Problem) as refused:
            await database.fetch_row("select 1")
    assert (refused.value.status, "assay db upgrade" in refused.value.detail) == (503, True)


async def test_a_url_of_a_unix_socket_keeps_its_port(tmp_path: Path) -> None:
    """`databases` itself would connect to port 5432 there."""
    host = quote(str(tmp_path), safe="")
    database = Database(f"postgresql://assay@/assay?host={host}&port=5499")
    await database.connect()
    seen: list[asyncio.StreamWriter] = []

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / ".s.PGSQL.5499")
    async with server:
        with pytest.raises(asyncpg.PostgresConnectionError):
            await database.fetch_row("select 1")
    assert seen
    await database.disconnect()


async def test_a_url_may_need_escapes(database_url: str) -> None:
    """Names and passwords with all that a URL gives a meaning to."""
    name, password = "a@b:c/d?e#f%g h", "p@ss:w/o?r#d%41 ü"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("create role {} login password {}").format(
                psycopg.sql.Identifier(name), psycopg.sql.Literal(password)
            )
        )
        connection.execute(
            psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name))
        )
        connection.execute(
            psycopg.sql.SQL("grant assay_api to {}").format(psycopg.sql.Identifier(name))
        )
        escaped = quote(name, safe="")
        url = urlsplit(database_url)
        there = f"postgresql://{escaped}:{quote(password, safe='')}@/{escaped}?{url.query}"
        async with pool(there) as database:
            assert await value_of(database, "select session_user") == name
            assert await value_of(database, "select current_database()") == name
        for statement in ("drop database {}", "drop role {}"):
            connection.execute(psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(name)))


async def test_a_lock_that_is_held_too_long_is_503_and_changes_nothing(
    app: FastAPI, editor: httpx.AsyncClient, database_url: str
) -> None:
    row = (await editor.post(GEMS, json={"label": "a"})).json()
    async with pool_of(app, database_url, lock_timeout="100ms"):
        with psycopg.connect(database_url) as build:
            build.execute("lock table curated.gems in share row exclusive mode")
            response = await editor.patch(f"{GEMS}/{row['gem_id']}", json={"grade": 1})
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert (await editor.get(f"{GEMS}/{row['gem_id']}")).json()["grade"] == 3
        assert (await editor.patch(f"{GEMS}/{row['gem_id']}", json={"grade": 1})).status_code == 200


async def test_a14_a_statement_that_takes_too_long_is_504(
    app: FastAPI, editor: httpx.AsyncClient, database_url: str
) -> None:
    """It changed nothing, and its connection goes on."""
    row = (await editor.post(GEMS, json={"label": "a"})).json()
    url, change = f"{GEMS}/{row['gem_id']}", {"grade": 1}
    async with pool_of(app, database_url, statement_timeout="100ms"):
        with psycopg.connect(database_url) as other:
            other.execute("lock table curated.gems in access exclusive mode")
            for refused in (await editor.get(GEMS), await editor.patch(url, json=change)):
                assert refused.status_code == 504
                assert refused.headers["content-type"] == "application/problem+json"
        used = app.state.database.usage()
        assert (await editor.get(url)).json()["grade"] == 3
        assert (await editor.patch(url, json=change)).status_code == 200
        assert app.state.database.usage() == used == {"readers": (0, 1), "writers": (0, 1)}


@pytest.mark.parametrize("failures", [1, 3, 4])
@pytest.mark.parametrize(
    "error",
    [
        asyncpg.SerializationError,
        asyncpg.DeadlockDetectedError,
        asyncpg.InvalidCachedStatementError,
    ],
)
async def test_a15_a_passing_conflict_is_tried_again_three_times(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    error: type[asyncpg.PostgresError],
    failures: int,
) -> None:
    left = failures
    answer = module._answer  # noqa: SLF001 - fails in its place

    async def fail(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return await answer(*arguments)

    monkeypatch.setattr(module, "_answer", fail)
    async with pool(database_url) as database:
        if failures <= 3:
            assert await value_of(database, "select 1") == 1
        else:
            with pytest.raises(error) as last:
                await database.fetch_row("select 1")
            if error is not asyncpg.InvalidCachedStatementError:
                assert problem_of(last.value, CATALOG).status == 503


async def test_a15_a_deadlock_ends_in_two_successes(database_url: str) -> None:
    """PostgreSQL ends one of the two, and that one is tried again."""
    one, gate, two = (f"pg_advisory_xact_lock({n})" for n in range(3))
    async with pool(database_url, deadlock_timeout="10ms") as database:
        with psycopg.connect(database_url) as holder, psycopg.connect(database_url) as other:
            holder.execute(f"select {gate}")
            other.execute("set deadlock_timeout = '60s'")
            other.execute(f"select {two}")
            both = asyncio.create_task(database.fetch_row(f"select {one}, {gate}, {two}"))
            await until_waiting(database_url, 1)
            blocked = asyncio.create_task(asyncio.to_thread(other.execute, f"select {one}"))
            await until_waiting(database_url, 2)
            holder.commit()
            await blocked
            other.commit()
            assert await both is not None


async def test_a12_a_pool_in_use_is_503_and_recovers(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACQUIRE_SECONDS", 0.1)
    async with pool(database_url, max_readers=1) as database:
        with psycopg.connect(database_url) as other:
            other.execute("select pg_advisory_xact_lock(1)")
            slow = asyncio.create_task(database.fetch_row("select pg_advisory_xact_lock(1)"))
            await until_waiting(database_url, 1)
            with pytest.raises(Problem) as refused:
                await database.fetch_row("select 1")
            assert refused.value.status == 503
        await slow
        assert await value_of(database, "select 1") == 1


async def test_a12_strangers_need_no_connection(
    app: FastAPI,
    nobody: httpx.AsyncClient,
    editor: httpx.AsyncClient,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With all of them in use: others are 503 after a while, and it still lives."""
    monkeypatch.setattr(module, "ACQUIRE_SECONDS", 0.2)
    async with pool_of(app, database_url, max_readers=1, max_writers=1):
        pools: Database = app.state.database
        slow = [
            asyncio.create_task(pools.fetch("select pg_sleep(20)")),
            asyncio.create_task(pools.write("slow", "select pg_sleep(20)")),
        ]
        while pools.usage() != {"readers": (1, 0), "writers": (1, 0)}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with client_of(app, "no token") as stranger:
            assert (await stranger.get(GEMS)).status_code == 401
        assert (await nobody.get(GEMS)).status_code == 401
        assert (await nobody.options(GEMS)).status_code == 405
        assert (await nobody.get("/live")).status_code == 200
        for busy in (await editor.get(GEMS), await editor.post(GEMS, json={"label": "a"})):
            assert busy.status_code == 503
            assert int(busy.headers["retry-after"]) > 0
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert (await editor.get(GEMS)).status_code == 200


async def test_writers_who_wait_leave_connections_to_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait for the locks of however many tables."""
    waiting: list[asyncio.Task[None]] = []

    async def write(table: str) -> None:
        await database.write_row(table, "delete from curated.gems where false")

    async def refused(many: int) -> None:
        """All that wait for a turn or a connection give up; who has one waits for the lock."""
        while sum(task.done() for task in waiting) < many:  # noqa: ASYNC110 - many events
            await asyncio.sleep(0.01)
        failures = [task.exception() for task in waiting if task.done()]
        assert {f.status for f in failures if isinstance(f, Problem)} == {503}
        assert len(failures) == many

    async with pool(database_url, lock_timeout="60s", statement_timeout="60s") as database:
        # Connections are open before patience is short.
        sleeps = (database.write(str(n), "select pg_sleep(0.2)") for n in range(module.MAX_WRITERS))
        await asyncio.gather(*sleeps)
        monkeypatch.setattr(module, "ACQUIRE_SECONDS", 0.2)
        with psycopg.connect(database_url) as build:
            build.execute("lock table curated.gems in share row exclusive mode")
            waiting += [asyncio.create_task(write("gems")) for _ in range(20)]
            await refused(20 - module.MAX_WRITERS_OF_TABLE)
            assert await database.write_row("mines", "select 1") is not None
            waiting += [asyncio.create_task(write(f"gems {n}")) for n in range(20)]
            await refused(40 - module.MAX_WRITERS)
            assert await value_of(database, "select 1") == 1
            await until_waiting(database_url, module.MAX_WRITERS)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results.count(None) == module.MAX_WRITERS
        assert await database.write_row("gems", "select 1") is not None


async def test_no_slot_is_lost_when_a_commit_fails(database_url: str) -> None:
    """`databases` loses one each time that its own transaction fails to commit."""
    async with pool(database_url, max_writers=2) as database:
        for _ in range(10):
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await database.write_row(
                    "gems",
                    "insert into curated.gems values (gen_random_uuid(), 'x', 1, null, null, null,"
                    " null, null, null, null, null, null, 'unweighed', 'nowhere', '{}', now(), '')",
                )
        assert await value_of(database, "select count(*) from curated.gems") == 0


async def test_no_slot_is_lost_when_connections_are_cut(database_url: str) -> None:
    async with pool(database_url, max_readers=2, application_name="to be cut") as database:
        for _ in range(5):
            slow = [asyncio.create_task(database.fetch_row("select pg_sleep(5)")) for _ in "12"]
            with psycopg.connect(database_url, autocommit=True) as other:
                asleep = "select from pg_stat_activity where wait_event = 'PgSleep'"
                while other.execute(asleep).rowcount < 2:  # noqa: ASYNC110 - PostgreSQL's event
                    await asyncio.sleep(0.01)
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'to be cut'"
                )
            for result in await asyncio.gather(*slow, return_exceptions=True):
                assert isinstance(result, Problem | asyncpg.PostgresConnectionError)
        assert await value_of(database, "select 1") == 1


@pytest.mark.parametrize("cancels", [60, pytest.param(1000, marks=pytest.mark.long)])
async def test_a13_no_slot_is_lost_when_requests_are_cancelled(
    database_url: str, cancels: int
) -> None:
    """Whatever they are at: reads, writes, exports in their transactions."""
    dice = random.Random(13)

    async def output(_: bytes) -> None:
        await asyncio.sleep(5)

    async with pool(database_url, application_name="cancelled") as database:
        acts = (
            lambda: database.fetch("select pg_sleep(5)"),
            lambda: database.write(GEMS, "select pg_sleep(5)"),
            lambda: database.stream("select pg_sleep(5)", (), output, 10),
            lambda: database.stream("select repeat('x', 999999)", (), output, 10),
        )
        for _ in range(cancels // 20):
            tasks = [asyncio.ensure_future(dice.choice(acts)()) for _ in range(20)]
            await asyncio.sleep(dice.uniform(0, 0.1))
            for task in tasks:
                task.cancel()
                await asyncio.sleep(dice.uniform(0, 0.005))
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                # 503: its connection was closed in the same moment
                assert isinstance(done, asyncio.CancelledError | Problem)
        usage = database.usage().values()
        assert [used for used, _ in usage] == [0, 0]
        states = "select distinct state from pg_stat_activity where application_name = 'cancelled'"
        with psycopg.connect(database_url) as other:
            assert set(other.execute(states).fetchall()) <= {("idle",)}
        await asyncio.gather(*(database.fetch("select pg_sleep(0.1)") for _ in range(8)))


async def test_a_server_that_stops_and_starts_is_503_then_as_before(tmp_path: Path) -> None:
    """Also one that was not there at the start."""
    address = postgres.Address(str(postgres.socket_directory(tmp_path)))
    async with pool(address.url) as database:
        for _ in range(2):
            with pytest.raises(Problem) as refused:
                await database.fetch_row("select 1")
            assert refused.value.status == 503
            await asyncio.to_thread(postgres.start, tmp_path)
            with psycopg.connect(address.url) as connection:
                connection.execute("drop role if exists assay_api; create role assay_api")
            try:
                assert await value_of(database, "select 1") == 1
            finally:
                await asyncio.to_thread(postgres.stop, tmp_path)


async def test_a17_a_server_that_hangs_is_504_within_the_limit(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own timeout cannot come: the client's does."""
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.3)
    async with pool(database_url, statement_timeout="0") as database:
        with pytest.raises(Problem) as refused:
            await database.fetch_row("select pg_sleep(20)")
        assert refused.value.status == 504
        assert await value_of(database, "select 1") == 1
