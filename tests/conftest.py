"""One PostgreSQL 18 for all tests, and databases of a test's own in it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from assay import postgres

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
