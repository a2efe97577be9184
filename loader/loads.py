"""How a load is told of: the rows of `raw.loads`."""

from dataclasses import dataclass
from typing import Any, Literal

LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
"""Of a source table, and of the clock."""
CLOCK = "journal.clock"
"""Loads of all tables draw their clock one after another, each in the moment before it becomes
visible: who has seen a clock has seen all earlier ones."""
START = "select nextval('raw.load_id') as load_id"

OWN_SOURCES = """
select distinct split_part(source_table, '.', 1) from raw.loads
where state = 'loaded' and not is_sample
"""
"""Sources that have brought something of their own, with which their samples go."""

RECORD = """
insert into raw.loads (
    load_id, source_table, file_name, sha256, size_bytes, row_count, state, clock, notes,
    absent_columns, loaded_by, started_at, is_sample
) values (
    %(load_id)s, %(source_table)s, %(file_name)s, %(sha256)s, %(size_bytes)s, %(row_count)s,
    %(state)s, nextval('journal.clock'), %(notes)s, %(absent_columns)s, %(loaded_by)s,
    %(started_at)s, %(is_sample)s
)
"""
RECORD_FAILURE = """
insert into raw.loads (
    source_table, file_name, sha256, size_bytes, state, error, loaded_by, started_at
) values (
    %(source_table)s, %(file_name)s, %(sha256)s, %(size_bytes)s, 'failed', %(error)s,
    %(loaded_by)s, %(started_at)s
)
"""


@dataclass(frozen=True)
class LoadResult:
    """What became of a file, or of the records of a listing."""

    load_id: int
    """Of the earlier load when the file was loaded already."""
    source_table: str
    file_name: str
    state: Literal["loaded", "already loaded"]
    rows: int
    notes: dict[str, Any]
    """How the file was understood: `delimiter`, `encoding`, `sheet`, `header_row`,
    `renamed_headers`, `unknown_columns`; what was found in it: `line_ends` (where they are mixed),
    `blank_rows`, `malformed_rows`, `short_rows`, `long_rows`, `formula_cells`, `date_cells`,
    `padded_cells`; of an API, `gone_parents` and `known_records`; only what there is to say."""
    seconds: float
