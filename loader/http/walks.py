"""How far the listings of a source table were read, in PostgreSQL.

The records lie in the raw table from the moment they are read, under a load that nobody sees before
it is recorded; a walk that was stopped goes on from there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb

from assay.catalog import SourceTable
from assay.listings import Listing
from loader.errors import ListingError
from loader.loads import START
from loader.tables import table_of

Connection = AsyncConnection[tuple[Any, ...]]
_Row = tuple[int, int, int, str | None, str]

_OPEN = """
select load_id, modified_after, state, origin = %s and parents is not distinct from %s
from raw.walks
where source_table = %s and state <> 'recorded'
"""
_BEGIN = """
insert into raw.walks (load_id, source_table, origin, parents, modified_after)
values (%s, %s, %s, %s, %s)
"""
_MODIFIED_AFTER = """
select to_char(modified_until::timestamp - %s::interval, 'YYYY-MM-DD"T"HH24:MI:SS.US')
from raw.walks
where source_table = %s and origin = %s and state = 'recorded' and modified_until is not null
order by load_id desc limit 1
"""
_ONE_LISTING = "insert into raw.listings (load_id, listing) values (%s, 1)"
# Those of the parents that were listed just now; of all that are known from there, the first time.
_LISTINGS = """
insert into raw.listings (load_id, listing, parent)
select %s, row_number() over (), parent
from (
    select distinct jsonb_build_object({fields}) as parent
    from {parents}
    where {given} and (
        _load_id = %s
        or not exists (
            select from raw.walks where source_table = %s and origin = %s and state = 'recorded'
        )
        and _load_id in (
            select load_id from raw.walks
            inner join raw.loads using (load_id)
            where origin = %s and loads.state = 'loaded'
        )
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
            partition by _parent, {key} order by {moment} desc nulls last, _row_number desc
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
        (
            select least(max({moment}), walks.started_at) at time zone 'UTC'
            from {table}
            where _load_id = walks.load_id
            having max({moment}) is not null
        ),
        (
            select earlier.modified_until::timestamp from raw.walks as earlier
            where
                earlier.source_table = walks.source_table
                and earlier.origin = walks.origin
                and earlier.state = 'recorded'
            order by load_id desc limit 1
        )
    )::text
where
    load_id = %s
    and not exists (
        select from raw.listings where listings.load_id = walks.load_id and not is_whole
    )
"""
_MOMENT = """
(case when pg_input_is_valid({field}, 'timestamptz') then {field}::timestamptz end)
"""
_GONE = "select count(*) filter (where is_gone), count(*) from raw.listings where load_id = %s"


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
    origin: str
    is_whole: bool
    rows: int = 0
    """So many have a number; some may have been forgotten since."""

    @property
    def file_name(self) -> str:
        """What was asked, for people."""
        asked = f"{self.listing.modified_parameter}={self.modified_after}"
        return self.listing.path + (f"?{asked}" if self.modified_after else "")


async def begin(  # noqa: PLR0913  # a walk has these parts
    connection: Connection,
    source_table: SourceTable,
    listing: Listing,
    origin: str,
    parents: Walk | None,
    *,
    full: bool,
) -> Walk:
    """The walk that was stopped, or a new one.

    Args:
        connection: In UTC, without a transaction.
        source_table: Where the records belong.
        listing: Where they are.
        origin: Where that is: a walk that was stopped goes on there only.
        parents: The walk that brought the parents, if there are any.
        full: Whether all records are asked for; else those that were changed since the last walk.
    """
    parents_id = parents.load_id if parents else None
    found = await connection.execute(_OPEN, [origin, parents_id, source_table.name])
    if opened := await found.fetchone():
        load_id, modified_after, state, is_same = opened
        if is_same and not (full and modified_after):
            walk = Walk(
                source_table, listing, load_id, modified_after, origin, is_whole=state == "whole"
            )
            query = statement_for(source_table, _LAST_ROW)
            walk.rows = (await one(connection, query, [load_id]))[0]
            return walk
        await forget(connection, source_table, load_id)
    modified_after = None
    if listing.modified_parameter and not full:
        given = [listing.overlap, source_table.name, origin]
        earlier = await connection.execute(_MODIFIED_AFTER, given)
        (modified_after,) = await earlier.fetchone() or (None,)
    async with connection.transaction():
        (load_id,) = await one(connection, START)
        begun = [load_id, source_table.name, origin, parents_id, modified_after]
        await connection.execute(_BEGIN, begun)
        if parents is None:
            await connection.execute(_ONE_LISTING, [load_id])
        else:
            fields = [(sql.Literal(name), field_of(name)) for name in listing.parent_fields]
            statement = sql.SQL(_LISTINGS).format(
                fields=sql.SQL(", ").join(part for pair in fields for part in pair),
                parents=table_of(parents.source_table),
                # others would lead to another path
                given=sql.SQL(" and ").join(
                    sql.SQL("{} not in ('', '.', '..')").format(field) for _, field in fields
                ),
            )
            known = [source_table.name, origin, parents.origin]
            await connection.execute(statement, [load_id, parents_id, *known])
    return Walk(source_table, listing, load_id, modified_after, origin, is_whole=False)


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
    """All listings are whole: of a record that came twice the last one stays.

    Raises:
        ListingError: The API has none of them.
    """
    gone, listings = await one(connection, _GONE, [walk.load_id])
    if listings > 1 and gone == listings:
        raise ListingError(
            f"the API has nothing at any of {listings} paths",
            remedy="check `load.http.path`",
            file=walk.listing.path,
        )
    modified = walk.listing.modified_field
    moment = sql.SQL(_MOMENT).format(field=field_of(modified)) if modified else None
    parts = {
        "table": table_of(walk.source_table),
        "key": sql.SQL(", ").join(map(field_of, walk.listing.key)),
        "moment": moment or sql.SQL("null::timestamptz"),
    }
    async with connection.transaction():
        await connection.execute(sql.SQL(_KEEP_LAST).format(**parts), [walk.load_id])
        done = await connection.execute(sql.SQL(_WHOLE).format(**parts), [walk.load_id])
        if done.rowcount != 1:
            raise AssertionError(f"{walk.source_table.name}: a listing is not whole")
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


def field_of(path: str) -> sql.Composed:
    """The text of a field of the record, as SQL."""
    return sql.SQL("(_record #>> {})").format(sql.Literal(path.split(".")))


async def one(
    connection: Connection, query: LiteralString | sql.Composed, values: Sequence[object] = ()
) -> tuple[Any, ...]:
    row = await (await connection.execute(query, values)).fetchone()
    if row is None:
        raise psycopg.DataError("no row came back")
    return row
