"""One PostgreSQL 18 for all tests, databases of a test's own in it, and warehouses in these."""

import importlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from assay import postgres
from assay.catalog import Catalog, read_catalog
from assay.database import libpq_environment, upgrade
from tests.warehouse import DATABASE, Invoke, NewWarehouse, Warehouse, dbt_of, warehouses_of

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
PATIENCE = 600
"""Seconds until what a test waits for will never come; no test is about so long a time."""
PLATFORM: tuple[str, ...] = tuple(
    importlib.import_module(f"assay.migrations.versions.{path.stem}").SQL
    for path in sorted((ROOT / "assay" / "migrations" / "versions").glob("0*.py"))
)
"""What makes the platform's tables, a script for each migration."""
COPIED = ("dbt_project", "dbt_project.yml", "profiles.yml", "data")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Address]:
    project = tmp_path_factory.mktemp("server")
    yield postgres.start(project)
    postgres.stop(project)


@pytest.fixture(scope="session")
def create_database(server: postgres.Address) -> Callable[..., str]:
    """Makes a database, a copy of `template` if one is named, in the place of an old one."""
    numbers = itertools.count(1)

    def create(template: str = "template1", name: str = "") -> str:
        name = name or f"test_{next(numbers)}"
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        return server.url.replace("/assay?", f"/{name}?")

    return create


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="session")
def invoke(target: Path) -> Iterator[Invoke]:
    with dbt_of(ROOT, target) as run:
        yield run


@pytest.fixture(scope="session")
def catalog(invoke: Invoke, target: Path, create_database: Callable[..., str]) -> Catalog:
    assert invoke(create_database(name=DATABASE), "parse").success
    return read_catalog(target / "manifest.json")


@pytest.fixture
def parsed_project(tmp_path: Path, target: Path) -> Path:
    """A folder with the manifest that the tests parsed."""
    (tmp_path / "dbt_project.yml").touch()
    (tmp_path / "target").symlink_to(target)
    return tmp_path


@pytest.fixture(scope="session")
def prepared(catalog: Catalog, create_database: Callable[..., str]) -> str:
    """Name of a database with the platform's tables and the raw tables, to be copied."""
    url = create_database()
    upgrade(url, catalog)
    return libpq_environment(url)["PGDATABASE"]


@pytest.fixture(scope="session")
def new_warehouse(
    catalog: Catalog,
    prepared: str,
    create_database: Callable[..., str],
    invoke: Invoke,
    tmp_path_factory: pytest.TempPathFactory,
) -> NewWarehouse:
    """Makes the warehouse anew: prepared and empty, or a copy of a database."""
    return warehouses_of(
        catalog, prepared, invoke, create_database, lambda: tmp_path_factory.mktemp("files")
    )


@pytest.fixture
def warehouse(
    new_warehouse: NewWarehouse,
) -> Iterator[Warehouse]:
    with new_warehouse() as made:
        yield made


def long(*values: object) -> list[Any]:
    """Cases of a test that only `make test-long` runs, beside others of the same kind."""
    return [pytest.param(value, marks=pytest.mark.long) for value in values]


def copy_files(folder: Path) -> None:
    """Copy the dbt project."""
    for name in COPIED:
        source = ROOT / name
        copy: Any = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)


def leave_out_datasets(folder: Path) -> None:
    """Keep metabolites alone: most tests are about one dataset, and the others take their time."""
    for kind, kept in (
        ("staging", "laboratory"),
        ("marts", "metabolites"),
        ("rejected", "metabolites"),
    ):
        for other in (folder / "dbt_project" / "models" / kind).iterdir():
            if other.name != kept:
                shutil.rmtree(other)


@pytest.fixture(scope="session")
def built(
    create_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A copy of the project, and the name of a database, to be copied, with its tables empty."""
    folder, url = tmp_path_factory.mktemp("built"), create_database()
    copy_files(folder)
    subprocess.run(
        [sys.executable, "-m", "assay", "build"],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        check=True,
        capture_output=True,
    )
    return folder, libpq_environment(url)["PGDATABASE"]
