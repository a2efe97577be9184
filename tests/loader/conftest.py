"""A database for the loader's tests, and invented source tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from assay.catalog import Catalog, SourceColumn, SourceTable
from loader.tables import create_raw_tables
from tests.conftest import PLATFORM


def column(
    name: str, header: str | None = None, *aliases: str, mandatory: bool = True
) -> SourceColumn:
    return SourceColumn(name, header or name, aliases, mandatory, "", ())


def source(name: str, *columns: SourceColumn, **options: Any) -> SourceTable:
    values: dict[str, Any] = {
        "formats": ("csv", "tsv", "txt", "xlsx"),
        "sheet": None,
        "delimiter": None,
        "encoding": None,
        "sample": None,
    }
    return SourceTable(
        name=f"shop.{name}",
        schema="raw",
        table=f"shop__{name}",
        description="",
        columns=columns,
        **(values | options),
    )


THINGS = source(
    "things",
    column("thing", "Thing Name", "designation"),
    column("colour", "Colour"),
    column("weight", "Weight (g)", mandatory=False),
)
"""Three columns, the last not mandatory."""


@pytest.fixture(scope="session")
def database(create_database: Callable[..., str]) -> str:
    """The database of all tests of the loader."""
    return create_database()


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(entities={}, source_tables={THINGS.name: THINGS})


@pytest.fixture
def conninfo(database: str, catalog: Catalog) -> str:
    """A database with the platform's tables and the catalog's raw tables, all empty."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop schema if exists raw, journal, auth cascade")
        connection.execute("create schema raw")
        connection.execute("".join(PLATFORM))
        create_raw_tables(connection, catalog)
    return database


@pytest.fixture
def query(conninfo: str) -> Callable[..., list[dict[str, Any]]]:
    """Runs a query and gives its rows."""

    def run(text: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(text, parameters).fetchall()

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file and gives its path."""

    def run(content: str | bytes, name: str = "things.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return run
