"""The feed of changes: how other systems follow a curated table, each at its own pace.

A row carries the transaction that wrote it last, and a deletion stands in the journal. A reader
takes what was written by transactions below `pg_snapshot_xmin`: they and all older ones are over.
So a transaction that is still running is seen by a later read, never missed, and what came after
it waits with it. What a reader gets is the row as it is, once for all changes since.

Parameters are PostgreSQL's own (`$1`), so psycopg (by a `RawCursor`) and asyncpg run the same text.
"""

# ruff: noqa: S608 - identifiers are the catalog's and quoted, values are bound

from collections.abc import Mapping

from psycopg import sql

from assay.catalog import Entity

BEGINNING = ("0", "", None)
"""$2 to $4 of the first read."""

SAMPLE_WRITER = "Sample"
"""Who writes the samples of entities that are born in the API, and takes all samples back. No user
is called so: usernames are in lower case."""

_OVER = "pg_snapshot_xmin(pg_current_snapshot())"


class FeedError(Exception):
    """The feed of changes cannot be followed; the message says why."""

    def __init__(self) -> None:
        super().__init__("The database was made from a dump: see docs/operations.md.")


def bounds_of_changes(entity: Entity) -> str:
    """How far the feed can be followed now, for who takes all of it at once.

    $1 a transaction, as text, where to go on. Columns: `until`, the one where it ends, which is
    where to go on next time; `is_known` and `is_whole` as in `page_of_changes`.
    """
    return f"""
        select
            {_OVER}::text::bigint as until,
            $1::text::xid8 <= {_OVER} as is_known,
            {_is_whole(entity)} as is_whole
    """


def changed_keys(entity: Entity, since: int, until: int) -> str:
    """Keys, as text, of rows that changed from one transaction to before another, each once."""
    return f"""
        select distinct key from {_changes(entity)}
        where transaction_id >= '{since}'::xid8 and transaction_id < '{until}'::xid8
    """


def is_no_sample(updated_by: str) -> str:
    """SQL: whether a row that has this in `updated_by` is as no sample has it."""
    return f"""
        {updated_by} is distinct from '{SAMPLE_WRITER}'
        and not exists (
            select from raw.loads
            where is_sample and {updated_by} like 'load ' || loads.load_id || ' row %'
        )
    """


def is_news(entity: Entity, key: str) -> str:
    """SQL: whether other systems hear of the row of a key, given as text.

    They hear of no sample: neither of a row that is as one has it, nor that such a row is gone.
    """
    table = sql.Identifier(entity.schema, entity.table).as_string()
    column = entity.columns_by_name[entity.key[0]]
    name = sql.Identifier(column.name).as_string()
    return f"""
        coalesce(
            (
                select {is_no_sample("curated.updated_by")} from {table} as curated
                where curated.{name} = {key}::{column.data_type}
            ),
            (
                select {is_no_sample("edits.before ->> 'updated_by'")} from journal.edits
                where
                    edits.entity = {sql.Literal(entity.name).as_string()}
                    and edits.key = {key}
                    and edits.operation = 'delete'
                order by edits.clock desc
                limit 1
            ),
            true
        )
    """


def page_of_changes(
    entity: Entity, shown: Mapping[str, str] | None = None, *, with_samples: bool = True
) -> str:
    """Changes of an entity, in the order in which readers may rely on them.

    Rows have all columns, or those that are `shown`, under these names; without samples, these and
    their deletions are left out. $1 limit; $2 to $4 where to go on, as text: BEGINNING, or the
    values of `next` of the page before. Columns: `items`, a JSON array of {key, operation, row};
    `next`, a JSON array to keep; `more`, whether there is more now; `is_known`, false where the
    position is of another database, from whose dump this one was made; `is_whole`, false where rows
    still carry transactions of that one (docs/operations.md tells the remedy).

    One statement, so all of it is of one snapshot. `until` is found with the first page and kept
    while there are more: so a reader comes to an end, however much is written meanwhile.
    """
    changes = _changes(entity)
    table = sql.Identifier(entity.schema, entity.table).as_string()
    shown = shown or {column.name: column.name for column in entity.columns}
    columns = ", ".join(
        f"{sql.Identifier(name).as_string()} as {sql.Identifier(theirs).as_string()}"
        for name, theirs in shown.items()
    )
    key = entity.columns_by_name[entity.key[0]]
    is_row = f"{sql.Identifier(key.name).as_string()} = page.key::{key.data_type}"
    told = "" if with_samples else f" and {is_news(entity, 'page.key')}"
    # bytes, so that a position means the same under another collation
    order = 'transaction_id, key collate "C"'
    return f"""
        with bounds as (
            select least($4::text::xid8, {_OVER}) as until
        ),
        page as (
            select *, row_number() over (order by {order}) as place
            from (
                select * from {changes}
                where
                    ({order}) >= ($2::text::xid8, $3::text)
                    and transaction_id < (select until from bounds)
                order by {order}
                limit $1::integer + 1
            ) as first
        )
        select
            (
                select coalesce(
                    json_agg(
                        json_build_object(
                            'key', key,
                            'operation', case when found is null then 'delete' else 'upsert' end,
                            'row', found
                        )
                        order by place
                    ),
                    '[]'
                )::text
                from page
                left join lateral (
                    select row_to_json(curated.*) as found
                    from (select {columns} from {table} where {is_row}) as curated
                ) as rows on true
                where place <= $1::integer{told}
            ) as items,
            coalesce(following.position, json_build_array(bounds.until::text, '', null))::text
                as next,
            following.position is not null as more,
            $2::text::xid8 <= {_OVER} as is_known,
            {_is_whole(entity)} as is_whole
        from bounds
        left join (
            select json_build_array(transaction_id::text, key, bounds.until::text) as position
            from page
            cross join bounds
            where place > $1::integer
        ) as following on true
    """


def _changes(entity: Entity) -> str:
    return sql.Identifier("staging", f"{entity.name}__changes").as_string()


def _is_whole(entity: Entity) -> str:
    return f"""
        not exists (
            select from {_changes(entity)}
            where transaction_id > pg_snapshot_xmax(pg_current_snapshot())
        )
    """
