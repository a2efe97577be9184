"""The floor: what a person would write by hand for this one file, and no less.

Both tables are plain ones, made and committed before the clock runs. Nothing is judged, no load
is recorded, nothing is tested afterwards.
"""

import time
from pathlib import Path

import psycopg

_BLOCK = 1 << 20
_COLUMNS = "feature, level, inchi, cas, method, value"

_RAW = f"""
create schema if not exists floor;
drop table if exists floor.raw;
create table floor.raw ({_COLUMNS.replace(",", " text,")} text);
"""
_COPY = "copy floor.raw from stdin with (format csv, header true)"

_CURATED = """
create schema if not exists floor;
drop table if exists floor.metabolites;
create table floor.metabolites (like curated.metabolites including all);
"""

# The staging SQL of the project, repairs and all.
_INSERT = """
insert into floor.metabolites (
    metabolite_id, feature, identification_level, id_inchi, cas_number, method, sample_value,
    sample_status, repairs, updated_at, updated_by
)
select
    metabolite_id, feature, identification_level, id_inchi, cas_number, method, sample_value,
    sample_status, repairs, now(), 'by hand'
from staging.stg_laboratory__metabolites
where _load_id = (select max(load_id) from raw.loads)
"""


def copy(url: str, file: Path) -> float:
    """Seconds to pipe the bytes of a file through COPY into six columns of text."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_RAW)
        connection.execute("checkpoint")
        begun = time.perf_counter()
        with file.open("rb") as source, connection.cursor().copy(_COPY) as target:
            while block := source.read(_BLOCK):
                target.write(block)
        return time.perf_counter() - begun


def insert(url: str) -> float:
    """Seconds of one INSERT ... SELECT of the load.

    The table has the types, constraints and indexes of the curated one.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CURATED)
        connection.execute("checkpoint")
        begun = time.perf_counter()
        connection.execute(_INSERT)
        return time.perf_counter() - begun
