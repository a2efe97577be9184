"""How far the listings of a source table were read, in PostgreSQL.

The records lie in the raw table from the moment they are read, under a load that nobody sees before
it is recorded; a walk that was stopped goes on from there.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb

from assay.catalog import SourceTable
from assay.listings import Listing
from loader.loads import START
from loader.tables import table_of

Connection = AsyncConnection[tuple[Any, ...]]
_Row = tuple[int, int, int, str | None, str]

_OPEN = """
select load_id, modified_after, state from raw.walks
where source_table = %s and state <> 'recorded'
"""
_BEGIN = "insert into raw.walks (load_id, source_table, modified_after) values (%s, %s, %s)"
_MODIFIED_AFTER = """
select to_char(modified_until::timestamp - %s::interval, 'YYYY-MM-DD"T"HH24:MI:SS.US')
from raw.walks
where source_table = %s and state = 'recorded' and modified_until is not null
order by load_id desc limit 1
"""
_ONE_LISTING = "insert into raw.listings (load_id, listing) values (%s, 1)"
# Those of the parents that were listed just now; of all parents that are known, the first time.
_LISTINGS = """
insert into raw.listings (load_id, listing, parent)
select %s, row_number() over (), parent
from (
    select distinct jsonb_build_object({fields}) as parent
    from {parents}
    where {given} and (
        _load_id = %s
        or not exists (select from raw.walks where source_table = %s and state = 'recorded')
        and _load_id in (select load_id from raw.loads where state = 'loaded')
    )
) as parents
"""
_NEXT = """
select listing, parent, pages, token from raw.listings
where load_id = %s and listing > %s and not is_whole order by listing limit 1000
"""
_LAST_ROW = "select coalesce(max(_row_number), 0) from {table} where _load_id = %s"
_COPY = """
copy {table} (_load_id, _row_number, _page, _parent, _record, _malformed) from stdin
"""
_VALID = "select pg_input_is_valid(text, 'jsonb') from unnest(%s::text[]) as given (text)"
_TURN = """
update raw.listings set token = %s, pages = %s, is_whole = %s, is_gone = %s
where load_id = %s and listing = %s
"""
_SIZE = "update raw.walks set size_bytes = size_bytes + %s where load_id = %s"
FORGET_ROWS = "delete from {table} where _load_id = %s"
_FORGET_LISTING = f"{FORGET_ROWS} and _parent is not distinct from %s"
_FORGET_WALK = "delete from raw.walks where load_id = %s"

# A record that came twice, since it was changed or the pages moved meanwhile: the last one is it.
_KEEP_LAST = """
delete from {table} as record using (
    select
        ctid,
        row_number() over (
            partition by _parent, {key} order by {modified} desc nulls last, _row_number desc
        ) as place
    from {table}
    where _load_id = %s and ({key}) is not null
) as ranked
where record.ctid = ranked.ctid and ranked.place > 1
"""
# Not later than the walk began: what was changed since may have been missed.
_WHOLE = """
update raw.walks set
    state = 'whole',
    modified_until = greatest(
        least(
            (
                select max({modified}::timestamptz) from {table}
                where _load_id = walks.load_id and pg_input_is_valid({modified}, 'timestamptz')
            ),
            walks.started_at
        ) at time zone 'UTC',
        (
            select max(earlier.modified_until::timestamp) from raw.walks as earlier
            where earlier.source_table = walks.source_table and earlier.state = 'recorded'
        )
    )::text
where load_id = %s
"""


@dataclass(frozen=True)
class Reading:
    """How far a listing was read."""

    number: int
    parent: dict[str, str] | None
    """Fields of the parent's record that the path names."""
    pages: int = 0
    token: str | None = None
    """Of the next page."""
    is_whole: bool = False
    is_gone: bool = False
    """The API has no such listing: the parent went away."""


@dataclass
class Walk:
    """A walk through the listings of a source table."""

    source_table: SourceTable
    listing: Listing
    load_id: int
    modified_after: str | None
    is_whole: bool
    rows: int = 0
    """So many have a number; some may have been forgotten since."""

    @property
    def file_name(self) -> str:
        """What was asked, for people."""
        asked = f"{self.listing.modified_parameter}={self.modified_after}"
        return self.listing.path + (f"?{asked}" if self.modified_after else "")


async def begin(
    connection: Connection,
    source_table: SourceTable,
    listing: Listing,
    parents: Walk | None,
    *,
    full: bool,
) -> Walk:
    """The walk that was stopped, or a new one.

    Args:
        connection: In UTC, without a transaction.
        source_table: Where the records belong.
        listing: Where they are.
        parents: The walk that brought the parents, if there are any.
        full: Whether all records are asked for; else those that were changed since the last walk.
    """
    opened = await (await connection.execute(_OPEN, [source_table.name])).fetchone()
    if opened and not (full and opened[1]):
        load_id, modified_after, state = opened
        walk = Walk(source_table, listing, load_id, modified_after, state == "whole")
        query = statement_for(source_table, _LAST_ROW)
        walk.rows = (await one(connection, query, [load_id]))[0]
        return walk
    if opened:
        await forget(connection, source_table, opened[0])
    modified_after = None
    if listing.modified_parameter and not full:
        earlier = await connection.execute(_MODIFIED_AFTER, [listing.overlap, source_table.name])
        (modified_after,) = await earlier.fetchone() or (None,)
    async with connection.transaction():
        (load_id,) = await one(connection, START)
        await connection.execute(_BEGIN, [load_id, source_table.name, modified_after])
        if parents is None:
            await connection.execute(_ONE_LISTING, [load_id])
        else:
            names = re.findall(r"{([^}]*)}", listing.path)
            fields = [(sql.Literal(name), _field(name)) for name in names]
            statement = sql.SQL(_LISTINGS).format(
                fields=sql.SQL(", ").join(part for pair in fields for part in pair),
                parents=table_of(parents.source_table),
                given=sql.SQL(" and ").join(sql.SQL("{} is not null").format(f) for _, f in fields),
            )
            await connection.execute(statement, [load_id, parents.load_id, source_table.name])
    return Walk(source_table, listing, load_id, modified_after, is_whole=False)


async def listings_after(connection: Connection, walk: Walk, number: int) -> list[Reading]:
    """The next listings that are not whole, at most 1,000."""
    found = await connection.execute(_NEXT, [walk.load_id, number])
    return [Reading(*row) for row in await found.fetchall()]


async def write(
    connection: Connection,
    walk: Walk,
    turns: Sequence[tuple[Reading, Sequence[str]]],
    size_bytes: int,
) -> None:
    """Keep what was read, in one transaction.

    Args:
        connection: Without a transaction.
        walk: The walk.
        turns: How far listings were read, each with the records of its last page; one that has no
            pages and is not whole begins again, and what was read of it is forgotten.
        size_bytes: What was read for it.
    """
    rows: list[_Row] = []
    first = walk.rows
    async with connection.transaction():
        for reading, records in turns:
            if not reading.pages and not reading.is_whole:
                # before what is read of it from now on
                await _copy(connection, walk, rows)
                rows = []
                parent = Jsonb(reading.parent) if reading.parent else None
                await connection.execute(_for_listing(walk), [walk.load_id, parent])
            parent_text = json.dumps(reading.parent) if reading.parent else None
            for record in records:
                first += 1
                rows.append((walk.load_id, first, reading.pages, parent_text, record))
        await _copy(connection, walk, rows)
        await connection.cursor().executemany(
            _TURN,
            [(r.token, r.pages, r.is_whole, r.is_gone, walk.load_id, r.number) for r, _ in turns],
        )
        await connection.execute(_SIZE, [size_bytes, walk.load_id])
    walk.rows = first


async def _copy(connection: Connection, walk: Walk, rows: list[_Row]) -> None:
    """COPY records; one that is no object, or that `jsonb` cannot hold, is kept as text."""
    if not rows:
        return
    valid = [row[-1].startswith("{") for row in rows]
    try:
        async with connection.transaction():
            await _copy_rows(connection, walk, rows, valid)
    except psycopg.DataError:
        texts = [row[-1] for row in rows]
        answers = await (await connection.execute(_VALID, [texts])).fetchall()
        valid = [is_one and answer[0] for is_one, answer in zip(valid, answers, strict=True)]
        await _copy_rows(connection, walk, rows, valid)


async def _copy_rows(
    connection: Connection, walk: Walk, rows: list[_Row], valid: list[bool]
) -> None:
    async with connection.cursor().copy(statement_for(walk.source_table, _COPY)) as copy:
        for (*place, record), is_one in zip(rows, valid, strict=True):
            await copy.write_row((*place, record, None) if is_one else (*place, None, record))


async def finish(connection: Connection, walk: Walk) -> None:
    """All listings are whole: of a record that came twice the last one stays."""
    modified = walk.listing.modified_field
    parts = {
        "table": table_of(walk.source_table),
        "key": sql.SQL(", ").join(map(_field, walk.listing.key)),
        "modified": _field(modified) if modified else sql.SQL("null::text"),
    }
    async with connection.transaction():
        await connection.execute(sql.SQL(_KEEP_LAST).format(**parts), [walk.load_id])
        await connection.execute(sql.SQL(_WHOLE).format(**parts), [walk.load_id])
    walk.is_whole = True


async def forget(connection: Connection, source_table: SourceTable, load_id: int) -> None:
    """Forget a walk, so that the next one begins anew."""
    async with connection.transaction():
        await connection.execute(_FORGET_WALK, [load_id])
        await connection.execute(statement_for(source_table, FORGET_ROWS), [load_id])


def statement_for(source_table: SourceTable, statement: LiteralString) -> sql.Composed:
    return sql.SQL(statement).format(table=table_of(source_table))


def _for_listing(walk: Walk) -> sql.Composed:
    return statement_for(walk.source_table, _FORGET_LISTING)


def _field(path: str) -> sql.Composed:
    return sql.SQL("(_record #>> {})").format(sql.Literal(path.split(".")))


async def one(
    connection: Connection, query: LiteralString | sql.Composed, values: Sequence[object] = ()
) -> tuple[Any, ...]:
    row = await (await connection.execute(query, values)).fetchone()
    if row is None:
        raise psycopg.DataError("no row came back")
    return row
