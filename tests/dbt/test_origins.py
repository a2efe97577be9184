"""What each curated column hangs on is declared, and staging proves it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from assay.catalog import Catalog, SourceTable
from loader.tables import table_of

NOTES = {"repairs", "_hash", "_problems", "_proposals", "_malformed", "_load_id", "_row_number"}


@pytest.fixture(scope="module")
def nodes(catalog: Catalog, target: Path) -> dict[str, dict[str, Any]]:
    """The curated models by name, as dbt's manifest has them."""
    manifest = json.loads((target / "manifest.json").read_bytes())
    return {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["name"] in catalog.entities
    }


def hanging_on(node: dict[str, Any], source: SourceTable, name: str) -> set[str]:
    """The curated columns that hang on a column of a source, as docs/contract.md says it."""
    becomes = next(c.column or c.name for c in source.columns if c.name == name)
    found = set()
    for column in node["columns"].values():
        named = column["config"]["meta"].get("from")
        if name in named if named is not None else column["name"] == becomes:
            found.add(column["name"])
    return found


def test_each_column_that_may_be_absent_becomes_a_curated_one(
    catalog: Catalog, nodes: dict[str, dict[str, Any]]
) -> None:
    """Reason: else a file without its header would erase what staging makes of it.

    Remedy: `config.meta.column` of the source's column names the curated one, or
    `config.meta.from` of the curated column names those of the source.
    """
    lost = [
        f"{entity.name}: {source.name}.{column.name}"
        for source in catalog.source_tables.values()
        for entity in catalog.fed_by(source.name)
        for column in source.columns
        if source.formats
        and not column.is_mandatory
        and not hanging_on(nodes[entity.name], source, column.name)
    ]
    assert lost == []


def test_staging_makes_a_column_of_what_it_hangs_on(
    catalog: Catalog,
    nodes: dict[str, dict[str, Any]],
    built: tuple[Path, str],
    create_database: Callable[..., str],
) -> None:
    """Where a cell is blanked only those columns change that are said to hang on it."""
    found, expected = {}, {}
    with psycopg.connect(create_database(built[1]), row_factory=dict_row) as connection:
        for staging in catalog.staging.values():
            for entity in staging.feeds:
                for source in map(catalog.source_tables.__getitem__, entity.file_sources):
                    place = f"{staging.name} of {source.name}"
                    rows = staged(connection, source, f"{staging.schema}.{staging.table}")
                    whole = rows.pop(None)
                    for name, row in rows.items():
                        changed = {c for c in row if row[c] != whole[c]}
                        found[place, name] = changed & set(entity.columns_by_name)
                        expected[place, name] = hanging_on(nodes[entity.name], source, name)
                        found[place, name] -= NOTES | set(entity.key)
    assert found
    assert {place: more for place in found if (more := found[place] - expected[place])} == {}


def staged(
    connection: psycopg.Connection[dict[str, Any]], source: SourceTable, view: str
) -> dict[str | None, dict[str, Any]]:
    """A row of the examples as staging reads it, and by name as it is without each column."""
    table = table_of(source).as_string(connection)
    names = [column.name for column in source.columns]
    whole = {c.name: str(c.examples[0]) if c.examples else "x" for c in source.columns}
    wanted: list[str | None] = [None, *names]
    for number, blank in enumerate(wanted):
        row = whole | ({blank: None} if blank else {})
        columns = ", ".join(["_load_id", "_row_number", *(f'"{name}"' for name in names)])
        places = ", ".join(["%s"] * (len(names) + 2))
        connection.execute(
            f"insert into {table} ({columns}) values ({places})".encode(),
            [0, number, *(row[name] for name in names)],
        )
    rows = connection.execute(
        f"select * from {view} where _load_id = 0 order by _row_number".encode()
    ).fetchall()
    return dict(zip(wanted, rows, strict=True))
