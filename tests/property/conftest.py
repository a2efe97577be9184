"""A warehouse that is built and has an editor, to begin each history from, and the API over it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.tokens import Tokens
from api.users import add_user_statement
from assay.catalog import Catalog, read_catalog
from assay.database import libpq_environment, upgrade
from assay.settings import Settings
from tests.conftest import copy_files
from tests.property.system import Api, System
from tests.warehouse import DATABASE, Invoke, NewWarehouse, dbt_of, warehouses_of

EDITOR = "editor"
DEPENDENT = "dependent: [id_inchi, cas_number]"
SECRET = "a secret of the tests, more than 32 bytes"  # noqa: S105 - of the tests
PASSWORD = "correct horse battery staple"  # noqa: S105


@dataclass(frozen=True)
class Project:
    """A dbt project of the tests' own."""

    invoke: Invoke
    catalog: Catalog
    target: Path
    new_warehouse: NewWarehouse


@pytest.fixture(scope="session")
def project(
    create_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """This project, but that a file needs only the natural key, and may exchange CAS numbers."""
    folder, target = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("target")
    copy_files(folder)
    sources = folder / "dbt_project/models/staging/laboratory/_laboratory__sources.yml"
    needed, mandatory, others = sources.read_text().partition("mandatory: true")
    sources.write_text(needed + mandatory + others.replace("mandatory: true", "mandatory: false"))
    contract = folder / "dbt_project/models/marts/metabolites/_metabolites__models.yml"
    assert contract.read_text().count(DEPENDENT) == 1
    contract.write_text(contract.read_text().replace(DEPENDENT, "dependent: [id_inchi]"))
    with dbt_of(folder, target) as invoke:
        assert invoke(create_database(name=DATABASE), "parse").success
        catalog = read_catalog(target / "manifest.json")
        url = create_database()
        upgrade(url, catalog)
        prepared = libpq_environment(url)["PGDATABASE"]
        warehouses = warehouses_of(
            catalog, prepared, invoke, create_database, lambda: tmp_path_factory.mktemp("files")
        )
        yield Project(invoke, catalog, target, warehouses)


@pytest.fixture(scope="session")
def new_system(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], System]:
    """Makes the system of a history."""
    with project.new_warehouse() as warehouse:
        warehouse.build()
        url = warehouse.url
        with psycopg.connect(url) as connection:
            connection.execute(*add_user_statement(EDITOR, PASSWORD, "editor"))
            (user_id,) = connection.execute("select user_id from auth.users").fetchone() or ()
        built = warehouse.save_as("built_for_histories")

    folder = tmp_path_factory.mktemp("served")
    (folder / "target").symlink_to(project.target)
    settings = Settings(project=folder, database_url=SecretStr(url), assay_secret=SecretStr(SECRET))
    tokens = Tokens(SECRET)
    api = Api(create_app(settings, project.catalog), lambda: tokens.issue(user_id))
    return lambda: System(project.new_warehouse(built), api)
