"""Makes what was read visible: the loads of all tables of an API at once."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from loader.http.walks import FORGET_ROWS, Connection, Walk, one, statement_for
from loader.loads import CLOCK, LOCK, RECORD, LoadResult

# The same records as those of the table's last load are no news. A sum, so that no memory is needed
# for their order.
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
select load_id, sha256 from raw.loads where source_table = %s and state = 'loaded'
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


async def record(connection: Connection, walks: Sequence[Walk], loaded_by: str) -> list[LoadResult]:
    """Make the loads of whole walks visible, all at once."""
    async with connection.transaction():
        for walk in sorted(walks, key=lambda walk: walk.source_table.name):
            await connection.execute(LOCK, [walk.source_table.name])
        recorded = [await _prepare(connection, walk, loaded_by) for walk in walks]
        # all that takes time is done: loads of all tables wait for this lock
        await connection.execute(LOCK, [CLOCK])
        for _, load in recorded:
            if load:
                await connection.execute(RECORD, load)
        return [result for result, _ in recorded]


async def _prepare(
    connection: Connection, walk: Walk, loaded_by: str
) -> tuple[LoadResult, dict[str, object] | None]:
    """What becomes of a walk, and its row of `raw.loads` if it has news."""
    table, name = walk.source_table, walk.file_name
    rows, malformed, digest = await one(connection, statement_for(table, _DIGEST), [walk.load_id])
    size, started_at, seconds, gone = await one(connection, _WALK, [walk.load_id])
    notes = {"malformed_rows": malformed, "gone_parents": gone}
    notes = {name: count for name, count in notes.items() if count}
    last = await (await connection.execute(_LAST_LOAD, [table.name])).fetchone()
    await connection.execute(_RECORDED, [walk.load_id])
    await connection.execute(_NO_LISTINGS, [walk.load_id])
    if last and (not rows or last[1] == digest):
        await connection.execute(statement_for(table, FORGET_ROWS), [walk.load_id])
        return LoadResult(last[0], table.name, name, "already loaded", rows, notes, seconds), None
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
    }
    return LoadResult(walk.load_id, table.name, name, "loaded", rows, notes, seconds), load
