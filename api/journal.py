"""The journal's part of a statement that writes rows; `$2` is the user."""

# ruff: noqa: S608 - identifiers are the catalog's, values are bound

from api.versions import quoted
from assay.catalog import Entity


def returning(entity: Entity) -> str:
    """A written row, and what its journal says."""
    key = quoted(entity.key[0])
    return f"""
        returning
            to_jsonb(old) - '_transaction_id' as _before,
            to_jsonb(new) - '_transaction_id' as _after,
            old.{key}::text as _old_key,
            new.{key}::text as _new_key,
            new.*
    """


def journaled(source: str, entity: str, cause: str = "null") -> str:
    """The CTE that journals what the CTE `source` returned; entity's name and cause are SQL."""
    # The default of `clock` is drawn while these rows come out of the write, so after any wait
    # for a lock, and the time is the row's, so both tell of one order. Another key is another
    # row: one goes, one comes.
    return f"""
        journal_of_{source} as (
            insert into journal.edits (
                entity, key, operation, before, after, edited_by, edited_at, cause
            )
            select
                {entity}, image.key, image.operation, image.before, image.after, $2::text,
                coalesce({source}.updated_at, clock_timestamp()), {cause}
            from {source}
            cross join lateral (
                select
                    _old_key as key,
                    case when _new_key = _old_key then 'update' else 'delete' end as operation,
                    _before as before,
                    case when _new_key = _old_key then _after end as after
                where _before is not null
                union all
                select _new_key, 'insert', null, _after
                where _after is not null and _new_key is distinct from _old_key
            ) as image
        )
    """
