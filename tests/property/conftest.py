"""A warehouse that is built and has an editor, to begin each history from, and the API over it."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.tokens import Tokens
from api.users import add_user_statement
from assay.catalog import Catalog
from assay.settings import Settings
from tests.property.system import Api, System
from tests.warehouse import NewWarehouse

EDITOR = "editor"
SECRET = "a secret of the tests, more than 32 bytes"  # noqa: S105 - of the tests
PASSWORD = "correct horse battery staple"  # noqa: S105


@pytest.fixture(scope="session")
def new_system(
    new_warehouse: NewWarehouse,
    catalog: Catalog,
    target: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[], System]:
    """Makes the system of a history."""
    with new_warehouse() as warehouse:
        warehouse.build()
        url = warehouse.url
        with psycopg.connect(url) as connection:
            connection.execute(*add_user_statement(EDITOR, PASSWORD, "editor"))
            (user_id,) = connection.execute("select user_id from auth.users").fetchone() or ()
        built = warehouse.save_as("built_for_histories")

    project = tmp_path_factory.mktemp("project")
    (project / "target").symlink_to(target)
    settings = Settings(
        project=project, database_url=SecretStr(url), assay_secret=SecretStr(SECRET)
    )
    tokens = Tokens(SECRET)
    api = Api(create_app(settings, catalog), lambda: tokens.issue(user_id))
    return lambda: System(new_warehouse(built), api)
