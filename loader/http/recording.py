"""Makes what was read visible: the loads of all tables of an API at once."""

from collections.abc import Sequence

from psycopg import sql
from psycopg.types.json import Jsonb

from loader.http.walks import FORGET_ROWS, Connection, Walk, field_of, one, statement_for
from loader.loads import CLOCK, LOCK, RECORD, LoadResult
from loader.tables import table_of

# What was last said of each key that was read now, and whether it was taken. A record without a key
# is its own.
_LAST = """
create temporary table last on commit drop as
with said as (
    select
        {identity} as identity, _parent, _record, _malformed, load_id, _row_number, loads.clock
    from {table} as record
    inner join raw.loads on loads.load_id = record._load_id
    where loads.source_table = %s and loads.state = 'loaded' and loads.is_sample = %s
),
last as (
    select distinct on (identity) * from said
    where identity in (select {identity} from {table} as record where _load_id = %s)
    order by identity, clock desc, _row_number desc
)
select
    identity,
    _parent as said_parent,
    _record::text as said_record,
    _malformed as said_malformed,
    exists (
        select from journal.verdicts
        where verdicts.load_id = last.load_id and verdicts.row_number = last._row_number
    ) as is_rejected
from last
"""
# Keys that two parents have in one walk are told apart by them. Others are of one record, which may
# move from parent to parent, and back.
_IS_OF_PARENT = """
select exists (
    select from {table} as record
    where ({key}) is not null
    group by _load_id, {key}
    having count(distinct _parent) > 1
)
"""
_IDENTITY = """
(
    case
        when ({key}) is not null then jsonb_build_array({parent}, {key})
        else jsonb_build_array(record._parent, record._record, record._malformed)
    end
)
"""
_IS_KNOWN = """
{identity} = last.identity
and record._parent is not distinct from last.said_parent
and record._record::text is not distinct from last.said_record
and record._malformed is not distinct from last.said_malformed
"""
_NEWS = """
select count(*), count(*) filter (where not exists (select from last where {is_known}))
from {table} as record
where _load_id = %s
"""
# What was rejected is judged again, beside what is news: what it lacked may have come.
_DROP_KNOWN = """
delete from {table} as record using last
where record._load_id = %s and {is_known} and not last.is_rejected
"""
# A sum, so that no memory is needed for the order of records.
_DIGEST = """
select
    count(*),
    count(*) filter (where _malformed is not null),
    encode(sha256(convert_to(concat_ws(
        ' ', count(*), sum(hashtextextended(record, 0)), sum(hashtextextended(record, 1))
    ), 'UTF8')), 'hex')
from (
    select
        _malformed, concat_ws(chr(31), _parent, coalesce(_record::text, _malformed)) as record
    from {table}
    where _load_id = %s
) as records
"""
_LAST_LOAD = """
select load_id from raw.loads
where source_table = %s and state = 'loaded' and is_sample = %s
order by clock desc limit 1
"""
_WALK = """
select
    size_bytes,
    started_at,
    extract(epoch from clock_timestamp() - started_at)::float,
    (select count(*) from raw.listings where listings.load_id = walks.load_id and is_gone)
from raw.walks where load_id = %s
"""
_RECORDED = "update raw.walks set state = 'recorded' where load_id = %s"
_NO_LISTINGS = "delete from raw.listings where load_id = %s"


async def record(
    connection: Connection, walks: Sequence[Walk], loaded_by: str, *, is_sample: bool
) -> list[LoadResult]:
    """Make the loads of whole walks visible, all at once."""
    async with connection.transaction():
        for walk in sorted(walks, key=lambda walk: walk.source_table.name):
            await connection.execute(LOCK, [walk.source_table.name])
        recorded = [
            await _prepare(connection, walk, loaded_by, is_sample=is_sample) for walk in walks
        ]
        # all that takes time is done: loads of all tables wait for this lock
        await connection.execute(LOCK, [CLOCK])
        for _, load in recorded:
            if load:
                await connection.execute(RECORD, load)
        return [result for result, _ in recorded]


async def _prepare(
    connection: Connection, walk: Walk, loaded_by: str, *, is_sample: bool
) -> tuple[LoadResult, dict[str, object] | None]:
    """What becomes of a walk, and its row of `raw.loads` if it has news."""
    table, name = walk.source_table, walk.file_name
    size, started_at, seconds, gone = await one(connection, _WALK, [walk.load_id])
    await connection.execute(_RECORDED, [walk.load_id])
    await connection.execute(_NO_LISTINGS, [walk.load_id])
    last = await (await connection.execute(_LAST_LOAD, [table.name, is_sample])).fetchone()
    read, news = await _keep_news(connection, walk, is_sample=is_sample)
    notes: dict[str, int] = {"gone_parents": gone}
    if last and not news:
        await connection.execute(statement_for(table, FORGET_ROWS), [walk.load_id])
        notes = {name: count for name, count in notes.items() if count}
        return LoadResult(last[0], table.name, name, "already loaded", read, notes, seconds), None
    rows, malformed, digest = await one(connection, statement_for(table, _DIGEST), [walk.load_id])
    notes |= {"malformed_rows": malformed, "known_records": read - rows}
    notes = {name: count for name, count in notes.items() if count}
    load = {
        "load_id": walk.load_id,
        "source_table": table.name,
        "file_name": name,
        "sha256": digest,
        "size_bytes": size,
        "row_count": rows,
        "state": "loaded",
        "notes": Jsonb(notes),
        # A record speaks of all its fields: many an API leaves out what is null.
        "absent_columns": [],
        "loaded_by": loaded_by,
        "started_at": started_at,
        "is_sample": is_sample,
    }
    return LoadResult(walk.load_id, table.name, name, "loaded", rows, notes, seconds), load


async def _keep_news(connection: Connection, walk: Walk, *, is_sample: bool) -> tuple[int, int]:
    """Forget the records that say what was last said of their keys; how many were read, and news.

    Where none is news all are kept, for the caller to forget.
    """
    key = sql.SQL(", ").join(field_of(field) for field in walk.listing.key)
    table = table_of(walk.source_table)
    (is_of_parent,) = await one(connection, sql.SQL(_IS_OF_PARENT).format(table=table, key=key))
    parent = sql.SQL("record._parent" if is_of_parent else "null")
    parts: dict[str, sql.Composable] = {
        "table": table,
        "identity": sql.SQL(_IDENTITY).format(key=key, parent=parent),
    }
    parts["is_known"] = sql.SQL(_IS_KNOWN).format(**parts)
    given = [walk.source_table.name, is_sample, walk.load_id]
    await connection.execute("drop table if exists last")
    await connection.execute(sql.SQL(_LAST).format(**parts), given)
    await connection.execute("analyze last")
    read, news = await one(connection, sql.SQL(_NEWS).format(**parts), [walk.load_id])
    if news:
        await connection.execute(sql.SQL(_DROP_KNOWN).format(**parts), [walk.load_id])
    return read, news
