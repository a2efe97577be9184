"""The floor: what a person would write by hand for one file, and no less.

Both tables are plain ones, made and committed before the clock runs. Nothing is judged, no load
is recorded, nothing is tested afterwards.
"""

import time
from pathlib import Path

import psycopg

_BLOCK = 1 << 20
_COPY = "copy floor.raw from stdin with (format csv, header true)"
_OURS = ("updated_at", "updated_by", "_transaction_id")


def copy(url: str, file: Path) -> float:
    """Seconds to pipe the bytes of a CSV file through COPY into columns of text."""
    with file.open(encoding="utf-8") as source:
        width = source.readline().count(",") + 1
    columns = ", ".join(f"c{n} text" for n in range(width))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create schema if not exists floor; drop table if exists floor.raw")
        connection.execute(f"create table floor.raw ({columns})".encode())
        connection.execute("checkpoint")
        begun = time.perf_counter()
        with file.open("rb") as raw, connection.cursor().copy(_COPY) as target:
            while block := raw.read(_BLOCK):
                target.write(block)
        return time.perf_counter() - begun


def insert(url: str, table: str, staging: str) -> float:
    """Seconds of one INSERT ... SELECT of the last load, by the project's staging SQL.

    The table has the types, constraints, foreign keys and indexes of the curated one.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0",
            (f"curated.{table}",),
        )
        columns = ", ".join(name for (name,) in found if name not in _OURS)
        connection.execute(
            f"create schema if not exists floor; drop table if exists floor.{table};"
            f"create table floor.{table} (like curated.{table} including all)".encode()
        )
        references = connection.execute(
            """
            select pg_get_constraintdef(oid) from pg_constraint
            where conrelid = %s::regclass and contype = 'f'
            """,
            (f"curated.{table}",),
        )
        for (definition,) in references.fetchall():
            connection.execute(f"alter table floor.{table} add {definition}".encode())
        connection.execute("checkpoint")
        begun = time.perf_counter()
        connection.execute(
            f"insert into floor.{table} ({columns}, updated_at, updated_by)"
            f"select {columns}, now(), 'by hand' from staging.{staging}"
            " where _load_id = (select max(load_id) from raw.loads)".encode()
        )
        return time.perf_counter() - begun
