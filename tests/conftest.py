"""One PostgreSQL 18 for all tests, databases of a test's own in it, and warehouses in these."""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from psycopg import sql

from assay import postgres
from assay.catalog import Catalog, read_catalog
from assay.database import libpq_environment, upgrade
from tests.warehouse import DATABASE, NewWarehouse, Warehouse

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


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
def invoke(target: Path) -> Iterator[Callable[..., Any]]:
    """Runs a dbt command on the project, against the database of a URL; parses once."""
    manifests: list[Manifest] = []
    # dbt looks through the whole stack for each of its flags, at each start. That of a test is
    # deep, that of hypothesis very deep; a thread begins a short one.
    thread = ThreadPoolExecutor(1)

    def run(url: str, *arguments: str) -> Any:
        os.environ.update(libpq_environment(url))
        options = ["--project-dir", str(ROOT), "--profiles-dir", str(ROOT)]
        options += ["--target-path", str(target), "--log-path", str(target)]
        runner = dbtRunner(manifest=manifests[0] if manifests else None)
        result = thread.submit(runner.invoke, ["--quiet", *arguments, *options]).result()
        if not manifests and isinstance(result.result, Manifest):
            manifests.append(result.result)
        return result

    with thread:
        yield run


@pytest.fixture(scope="session")
def catalog(
    invoke: Callable[..., Any], target: Path, create_database: Callable[..., str]
) -> Catalog:
    assert invoke(create_database(name=DATABASE), "parse").success
    return read_catalog(target / "manifest.json")


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
    invoke: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> NewWarehouse:
    """Makes the warehouse anew: prepared and empty, or a copy of a database."""

    @contextmanager
    def make(template: str = prepared) -> Iterator[Warehouse]:
        url = create_database(template, DATABASE)
        folder = tmp_path_factory.mktemp("files")
        warehouse = Warehouse(url, catalog, folder, invoke, create_database)
        with warehouse.connection:
            yield warehouse

    return make


@pytest.fixture
def warehouse(
    new_warehouse: NewWarehouse,
) -> Iterator[Warehouse]:
    with new_warehouse() as made:
        yield made
