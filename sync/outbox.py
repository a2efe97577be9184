"""What was taken from the feed of changes and not delivered yet, in PostgreSQL.

A change is taken once, in the transaction that remembers how far the feed was followed, and stays
until it was delivered. Of a row only the last change waits: a newer one takes its place, with an
idempotency key of its own.
"""

# ruff: noqa: S608 - the parts are our own, values are bound

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import dict_row

from assay.catalog import WRITER, Entity
from assay.changes import BEGINNING, FeedError, page_of_changes
from assay.deliveries import Sync

_POSITION = "select position from journal.deliveries where entity = %s for update"
_FIRST_POSITION = """
insert into journal.deliveries (entity, position) values (%s, %s)
on conflict (entity) do nothing
"""
_PUT = """
insert into journal.outbox (entity, key, operation, body)
select %s, change ->> 'key', change ->> 'operation', change -> 'row'
from jsonb_array_elements(%s::jsonb) with ordinality as page (change, place)
order by place
on conflict (entity, key) do update set
    number = default,
    idempotency_key = gen_random_uuid(),
    operation = excluded.operation,
    body = excluded.body,
    attempts = 0,
    due_at = clock_timestamp(),
    is_dead = false,
    error = null
"""
_MOVE_ON = "update journal.deliveries set position = %s where entity = %s"
_CLAIM = """
with due as (
    select entity, key from journal.outbox
    where
        entity = %s
        and not is_dead
        and (error is not null) = %s
        and due_at <= clock_timestamp()
        and (claimed_until is null or claimed_until < clock_timestamp())
    order by number
    limit %s
    for update skip locked
),
claimed as (
    update journal.outbox set
        claimed_by = %s, claimed_until = clock_timestamp() + make_interval(secs => %s)
    from due
    where outbox.entity = due.entity and outbox.key = due.key
    returning outbox.*
)
select
    number,
    idempotency_key::text,
    key,
    operation,
    nullif(body, 'null')::text as row,
    attempts
from claimed
order by number
"""
_IS_SENT = "entity = %s and key = any(%s) and idempotency_key = any(%s::uuid[])"
_HOLD = f"""
update journal.outbox set claimed_until = clock_timestamp() + make_interval(secs => %s)
where {_IS_SENT} and claimed_by = %s
returning idempotency_key::text
"""
_REMOVE = f"delete from journal.outbox where {_IS_SENT}"
_SUCCESS = "update journal.deliveries set delivered_at = clock_timestamp() where entity = %s"
_PUT_BACK = f"""
update journal.outbox set
    attempts = attempts + %s,
    due_at = clock_timestamp() + make_interval(secs => %s),
    is_dead = %s,
    error = %s
where {_IS_SENT} and claimed_by = %s
"""
_RELEASE = """
update journal.outbox set claimed_by = null, claimed_until = null
where entity = %s and key = any(%s) and claimed_by = %s
"""
_FAILURE = """
update journal.deliveries set failed_at = clock_timestamp(), error = %s where entity = %s
"""
_REVIVE = """
update journal.outbox set is_dead = false, attempts = 0, due_at = clock_timestamp()
where entity = %s and (is_dead or due_at > clock_timestamp())
"""
_LEFT = """
select
    count(*) filter (where not is_dead) as waiting,
    count(*) filter (where is_dead) as dead,
    (array_agg(error order by number) filter (where error is not null))[1] as error
from journal.outbox where entity = %s
"""

TURN = "hashtextextended('sync', 0)"
"""The advisory lock of who delivers; PostgreSQL shows the two halves of its number."""
DEAD_SHOWN = 20
STATE = f"""
select
    coalesce(json_agg(row_to_json(state.*) order by state.entity), '[]')::text as items,
    exists (
        select from pg_locks
        where
            locktype = 'advisory' and granted
            and database = (select oid from pg_database where datname = current_database())
            and (classid::bigint << 32) | objid::bigint = {TURN}
    ) as is_running
from (
    select
        synced.entity,
        coalesce(counted.waiting, 0) as waiting,
        coalesce(counted.dead, 0) as dead,
        deliveries.delivered_at,
        deliveries.failed_at,
        deliveries.error,
        (
            select coalesce(json_agg(row_to_json(letter.*) order by letter.number), '[]')
            from (
                select number, key, operation, attempts, error
                from journal.outbox
                where outbox.entity = synced.entity and is_dead
                order by number
                limit {DEAD_SHOWN}
            ) as letter
        ) as dead_letters
    from unnest($1::text[]) as synced (entity)
    left join journal.deliveries on deliveries.entity = synced.entity
    left join (
        select
            entity,
            count(*) filter (where not is_dead) as waiting,
            count(*) filter (where is_dead) as dead
        from journal.outbox
        group by entity
    ) as counted on counted.entity = synced.entity
) as state
"""
"""The state of deliveries, as JSON, and whether some are under way: $1 entities."""


@dataclass(frozen=True)
class Change:
    """A row as it was when its change was taken, or that it is gone."""

    number: int
    """Rises with each change, so a receiver can tell the newer of two."""
    idempotency_key: str
    key: str
    operation: str
    """`upsert` or `delete`."""
    row: str | None
    """JSON, as PostgreSQL wrote it."""
    attempts: int
    """How often it alone was answered with a failure."""


def delivered_columns(entity: Entity) -> dict[str, str]:
    """Columns that are delivered, each with the name that the receiver has for it.

    No account of ours is: who wrote a row is nobody's business elsewhere.
    """
    sync = entity.sync or Sync("")
    named = dict(sync.columns) or {column.name: column.name for column in entity.columns}
    return {
        column.name: named[column.name]
        for column in entity.columns
        if column.name in named
        and column.name != WRITER
        and (sync.has_personal_data or not column.is_personal)
    }


class Outbox:
    """Of one entity; every method is one transaction, on a connection in autocommit mode."""

    def __init__(self, connection: AsyncConnection[Any], entity: Entity) -> None:
        self._connection = connection
        self._entity = entity
        self._worker = uuid4()
        self._page = page_of_changes(entity, delivered_columns(entity), with_samples=False)

    async def collect(self, limit: int) -> bool:
        """Take the next changes of the feed, but those of samples; False at its end.

        Raises:
            FeedError: The rows carry transactions of another server.
        """
        name = self._entity.name
        async with self._connection.transaction():
            await self._connection.execute(_FIRST_POSITION, [name, json.dumps(BEGINNING)])
            found = await (await self._connection.execute(_POSITION, [name])).fetchone()
            position = cast("tuple[Any]", found)[0]
            page = await self._read(limit, position)
            if not page["is_known"]:  # restored from a dump: all rows are news
                page = await self._read(limit, BEGINNING)
            if not page["is_whole"]:
                raise FeedError
            await self._connection.execute(_PUT, [name, page["items"]])
            await self._connection.execute(_MOVE_ON, [page["next"], name])
            return bool(page["more"] or json.loads(page["items"]))

    async def _read(self, limit: int, position: Iterable[object]) -> dict[str, Any]:
        cursor = AsyncRawCursor(self._connection, row_factory=dict_row)
        await cursor.execute(self._page.encode(), [limit, *position])
        return cast("dict[str, Any]", await cursor.fetchone())

    async def claim(self, limit: int, seconds: float, *, failed: bool = False) -> list[Change]:
        """Changes that are due and no other worker's, for so long nobody else's.

        Those that were put back before are claimed apart.
        """
        values = [self._entity.name, failed, limit, self._worker, seconds]
        rows = await (await self._connection.execute(_CLAIM, values)).fetchall()
        return [Change(*row) for row in rows]

    async def hold(self, changes: list[Change], seconds: float) -> list[Change]:
        """Those that are still claimed, for so long again; a newer change has replaced others."""
        values = [seconds, *self._sent(changes), self._worker]
        rows = await (await self._connection.execute(_HOLD, values)).fetchall()
        held = {row[0] for row in rows}
        return [change for change in changes if change.idempotency_key in held]

    async def remove(self, changes: list[Change]) -> None:
        """They were delivered; what replaced one meanwhile stays."""
        async with self._connection.transaction():
            await self._connection.execute(_REMOVE, self._sent(changes))
            await self._connection.execute(_SUCCESS, [self._entity.name])

    async def put_back(
        self, change: Change, error: str, *, seconds: float, counts: bool, is_dead: bool
    ) -> None:
        """It was not delivered: due again in so many seconds, or a dead letter."""
        values = [int(counts), seconds, is_dead, error, *self._sent([change]), self._worker]
        await self._connection.execute(_PUT_BACK, values)

    async def release(self, changes: list[Change]) -> None:
        """The claim is over; also on what has replaced one of them."""
        keys = [change.key for change in changes]
        await self._connection.execute(_RELEASE, [self._entity.name, keys, self._worker])

    async def fail(self, error: str) -> None:
        """Remember why a run ended."""
        await self._connection.execute(_FAILURE, [error, self._entity.name])

    async def revive(self) -> None:
        """Dead letters are due again, and at once what waits since it failed alone."""
        await self._connection.execute(_REVIVE, [self._entity.name])

    async def left(self) -> tuple[int, int, str | None]:
        """How many changes wait, how many are dead letters, and what was said of the first."""
        found = await (await self._connection.execute(_LEFT, [self._entity.name])).fetchone()
        return cast("tuple[int, int, str | None]", found)

    def _sent(self, changes: list[Change]) -> list[object]:
        keys = [change.key for change in changes]
        return [self._entity.name, keys, [change.idempotency_key for change in changes]]
