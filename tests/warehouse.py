"""A warehouse: a prepared database, the loader and dbt on the project's own models."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from psycopg.rows import dict_row

from assay.catalog import Catalog
from assay.database import libpq_environment
from loader.copy import load_file

HEADER = ["Features", "Identification_level", "ID_InChI", "CAS_number", "Method", "Sample Data"]

# The manifest names the database that it was parsed for: each test's has the same name.
DATABASE = "warehouse"


Invoke = Callable[..., Any]


@contextmanager
def dbt_of(project: Path, target: Path) -> Iterator[Invoke]:
    """Runs a dbt command on a project, against the database of a URL; parses once."""
    manifests: list[Manifest] = []
    references: list[tuple[Any, str]] = []
    # dbt looks through the whole stack for each of its flags, at each start. That of a test is
    # deep, that of hypothesis very deep; a thread begins a short one.
    thread = ThreadPoolExecutor(1)

    def run(url: str, *arguments: str) -> Any:
        os.environ.update(libpq_environment(url))
        options = ["--project-dir", str(project), "--profiles-dir", str(project)]
        options += ["--target-path", str(target), "--log-path", str(target)]
        if manifests:
            options.append("--no-write-json")  # a third of the time of a build
        runner = dbtRunner(manifest=manifests[0] if manifests else None)
        result = thread.submit(runner.invoke, ["--quiet", *arguments, *options]).result()
        if not manifests and isinstance(result.result, Manifest):
            manifests.append(result.result)
            references.extend((c, c.to) for c in foreign_keys(result.result))
        # dbt puts the name of the table in the place of `ref()`, and does not read it again.
        for constraint, to in references:
            constraint.to = to
        return result

    with thread:
        yield run


def foreign_keys(manifest: Manifest) -> Iterator[Any]:
    for node in manifest.nodes.values():
        yield from (c for c in getattr(node, "constraints", ()) if c.to)


@dataclass
class Warehouse:
    """A database with everything that the project makes of it."""

    url: str
    catalog: Catalog
    folder: Path
    invoke: Invoke
    create_database: Callable[..., str]
    excluded: tuple[str, ...] = (
        "--exclude",
        *(f"+marts.{dataset}" for dataset in ("apprenticeships", "energy", "patients", "products")),
        *(
            f"rejected.{dataset}"
            for dataset in ("apprenticeships", "energy", "patients", "products")
        ),
        *("staging.rdkit", "marts.structures", "rejected.structures"),
    )
    """Of builds: most tests are about one dataset, and the others would take their time."""
    connection: psycopg.Connection[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)

    def load(
        self,
        *rows: list[str],
        name: str = "file.csv",
        header: list[str] = HEADER,
        **options: bool,
    ) -> int:
        """Load rows as a CSV file; the load's id."""
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return self.load_file(path, **options)

    def load_file(self, path: Path, source: str = "laboratory.metabolites", **options: bool) -> int:
        source_table = self.catalog.source_tables[source]
        return load_file(self.url, source_table, path, loaded_by="test", **options).load_id

    def build(self, *arguments: str) -> None:
        """`dbt build` of models and functions: the tests of the data are tests of their own."""
        if error := self.failure_of_build(*arguments):
            pytest.fail(error)

    def failure_of_build(self, *arguments: str) -> str:
        """What dbt says of a build that failed; nothing for one that did not."""
        result = self.invoke(
            self.url,
            "build",
            *("--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"),
            *self.excluded,
            *arguments,
        )
        if result.success:
            return ""
        failed = (r.message for r in result.result or () if r.status == "error")
        return str(result.exception or "\n".join(failed))

    def operate(self, macro: str, **arguments: Any) -> bool:
        """`dbt run-operation`; whether it succeeded."""
        result = self.invoke(self.url, "run-operation", macro, "--args", json.dumps(arguments))
        return bool(result.success)

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


def warehouses_of(
    catalog: Catalog,
    prepared: str,
    invoke: Invoke,
    create_database: Callable[..., str],
    new_folder: Callable[[], Path],
) -> NewWarehouse:
    """Makes warehouses of a project, of which a database is prepared."""

    @contextmanager
    def make(template: str = prepared) -> Iterator[Warehouse]:
        url = create_database(template, DATABASE)
        warehouse = Warehouse(url, catalog, new_folder(), invoke, create_database)
        with warehouse.connection:
            yield warehouse

    return make
