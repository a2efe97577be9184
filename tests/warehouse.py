"""A warehouse: a prepared database, the loader and dbt on the project's own models."""

import csv
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from assay.catalog import Catalog
from loader.copy import load_file

HEADER = ["Features", "Identification_level", "ID_InChI", "CAS_number", "Method", "Sample Data"]

# The manifest names the database that it was parsed for: each test's has the same name.
DATABASE = "warehouse"


@dataclass
class Warehouse:
    """A database with everything that the project makes of it."""

    url: str
    catalog: Catalog
    folder: Path
    invoke: Callable[..., Any]
    create_database: Callable[..., str]
    connection: psycopg.Connection[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)

    def load(self, *rows: list[str], name: str = "file.csv", header: list[str] = HEADER) -> int:
        """Load rows as a CSV file; the load's id."""
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return self.load_file(path)

    def load_file(self, path: Path) -> int:
        source_table = next(iter(self.catalog.source_tables.values()))
        return load_file(self.url, source_table, path, loaded_by="test").load_id

    def build(self, *arguments: str) -> None:
        """`dbt build` of models and functions: the tests of the data are tests of their own."""
        result = self.invoke(
            self.url,
            "build",
            *("--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"),
            *arguments,
        )
        if not result.success:
            failed = (r.message for r in result.result or () if r.status == "error")
            pytest.fail(str(result.exception or "\n".join(failed)))

    def save_as(self, name: str) -> str:
        """Keep the database as it is, for others to start from; this one is closed."""
        self.connection.close()
        self.create_database(DATABASE, name)
        return name

    def query(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.connection.execute(statement, parameters).fetchall()

    def account(self, load_id: int) -> dict[str, Any]:
        return self.query("select * from journal.accounts where load_id = %s", load_id)[0]

    def rejected(self, load_id: int) -> dict[int, list[str]]:
        """Names of the rules that each rejected row of a load breaks, by row number."""
        rows = self.query(
            "select row_number, rules from rejected.rejected_metabolites where load_id = %s",
            load_id,
        )
        return {row["row_number"]: row["rules"] for row in rows}


NewWarehouse = Callable[..., AbstractContextManager[Warehouse]]
