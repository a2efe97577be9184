"""Rows that a program works out from what is curated: `config.meta.enrich` of a source table.

The program is a module that the YAML names. Its answers are a load like any other, so they are
judged, merged, recorded and rebuilt as all are. Each value is asked about once by each version of
the program.
"""

import csv
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

import psycopg
from psycopg import Connection, sql

from assay.catalog import Catalog, CatalogError, Enrichment, SourceTable
from loader.copy import load_file
from loader.loads import LoadResult
from loader.tables import table_of

BATCH = 200
"""Values that the program is asked about at once: progress is told after each batch."""

_UNKNOWN = """
select distinct curated.{column}::text
from {table} as curated
where curated.{column} is not null and not exists (
    select from {answers} as known
    inner join raw.loads on loads.load_id = known._load_id
    where
        loads.state = 'loaded'
        and known.{value} = curated.{column}::text
        and known.{version} = %s
)
order by 1
"""


class Program(Protocol):
    """What a module has that answers."""

    HEADERS: Sequence[str]
    """Of the source table's files."""

    def version(self) -> str:
        """Name and version of what answers; ValueError where it is not installed."""

    def describe(self, values: Sequence[str], /) -> list[dict[str, str]]:
        """For each value a row by its headers; what is left out is blank."""


def program_of(enrichment: Enrichment) -> Program:
    """The module.

    Raises:
        CatalogError: There is none of that name.
    """
    try:
        return cast("Program", importlib.import_module(enrichment.program))
    except ModuleNotFoundError as error:
        raise CatalogError(f"config.meta.enrich: there is no module {error.name}.") from None


def unknown_values(
    connection: Connection, catalog: Catalog, source_table: SourceTable, version: str
) -> list[str]:
    """Values of the curated column that this version has no answer for yet.

    Raises:
        ValueError: The curated table was not built yet.
    """
    enrichment = _enrichment_of(source_table)
    entity = catalog.entities[enrichment.entity]
    query = sql.SQL(_UNKNOWN).format(
        table=sql.Identifier(entity.schema, entity.table),
        column=sql.Identifier(enrichment.column),
        answers=table_of(source_table),
        value=sql.Identifier(enrichment.value),
        version=sql.Identifier(enrichment.version),
    )
    try:
        return [value for (value,) in connection.execute(query, [version])]
    except psycopg.errors.UndefinedTable:
        raise ValueError(f"{entity.name} was not built yet: run `assay build`.") from None


def enrich(
    url: str,
    catalog: Catalog,
    source_table: SourceTable,
    loaded_by: str,
    progress: Callable[[int, int], None],
) -> LoadResult | None:
    """Ask about all values without an answer, and load the answers; None where there are none.

    Args:
        url: Of the database.
        catalog: Of the project.
        source_table: Has an `enrichment`.
        loaded_by: Who asks.
        progress: Told how many values are answered, and of how many.

    Raises:
        ValueError: The program is not installed, or the curated table was not built yet.
        LoadError: The answers are no file of the source table.
    """
    program = program_of(_enrichment_of(source_table))
    version = program.version()
    with psycopg.connect(url) as connection:
        values = unknown_values(connection, catalog, source_table, version)
    if not values:
        return None
    with TemporaryDirectory(prefix="assay-enrich-") as folder:
        # the load is called as the program, whose version looks like an ending
        file = Path(folder) / f"{version}.csv"
        with file.open("w", encoding="utf-8", newline="") as text:
            writer = csv.DictWriter(text, program.HEADERS, restval="")
            writer.writeheader()
            for start in range(0, len(values), BATCH):
                progress(start, len(values))
                writer.writerows(program.describe(values[start : start + BATCH]))
        progress(len(values), len(values))
        return load_file(url, source_table, file, loaded_by=loaded_by, file_name=version)


def _enrichment_of(source_table: SourceTable) -> Enrichment:
    if source_table.enrichment is None:
        raise ValueError(f"{source_table.name} has no config.meta.enrich.")
    return source_table.enrichment
