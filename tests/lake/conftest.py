"""A lake of a warehouse, in a folder or on a server that speaks S3, and Polars to read it."""

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import psycopg
import pytest
from moto.server import ThreadedMotoServer
from psycopg import RawCursor
from psycopg.rows import dict_row
from pydantic import SecretStr
from pyiceberg.table import Table

from api.proposal import warnings_of
from api.query import plan_of
from assay.catalog import Catalog, Entity
from assay.settings import Settings
from lake.catalog import Lake
from lake.export import Account, export
from tests.lake import things
from tests.warehouse import Warehouse

SECRET = "a secret of the tests, more than 32 bytes"  # noqa: S105
KEY, SECRET_KEY = "who", "a key of the store"
PLATFORM = ["_operation", "_clock", "_exported_at"]

Row = dict[str, Any]


@dataclass
class Bucket:
    """A bucket of a store, over HTTP on loopback."""

    endpoint: str
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "lake_url": f"s3://{self.name}/lake",
            "lake_s3_endpoint": self.endpoint,
            "lake_s3_access_key_id": KEY,
            "lake_s3_secret_access_key": SecretStr(SECRET_KEY),
        }


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """Its endpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store: str) -> Bucket:
    made = Bucket(store, f"bucket-{uuid.uuid4()}")
    boto3.client(
        "s3",
        endpoint_url=store,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET_KEY,
    ).create_bucket(Bucket=made.name)
    return made


@dataclass
class Exporter:
    """Exports a database to a lake, and reads what is there."""

    url: str
    catalog: Catalog
    settings: Settings
    secret: str = SECRET

    def export(self, *names: str, compact: bool = False) -> list[Account]:
        accounts = export(
            self.settings, self.url, self.catalog, self.secret, names, compact=compact
        )
        assert accounts is not None
        return accounts

    @contextmanager
    def opened(self, name: str, schema: str = "curated") -> Iterator[Table]:
        """A table as other programs have it."""
        with Lake(self.settings, self.url) as lake:
            yield lake._catalog.load_table((schema, name))  # noqa: SLF001

    def table(self, name: str, schema: str = "curated") -> Table:
        """To read only."""
        with self.opened(name, schema) as table:
            return table

    def written(self, name: str, schema: str = "curated") -> pl.DataFrame:
        """All that is in a table."""
        options = {
            "aws_region": self.settings.lake_s3_region,
            "aws_endpoint_url": self.settings.lake_s3_endpoint or "",
            "aws_allow_http": "true",
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET_KEY,
        }
        return pl.scan_iceberg(self.table(name, schema), storage_options=options).collect()

    def state(self, name: str) -> list[Row]:
        """By the view that the table itself tells of, without the platform's columns."""
        view = self.table(name).properties["current-state"].replace(f"curated.{name}", "it")
        found = pl.SQLContext(it=self.written(name)).execute(view, eager=True)
        return found.drop(*PLATFORM, "_rank").to_dicts()


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a project with a lake in a folder, and of one with a lake on S3."""
    changes: dict[str, Any] = {"lake_url": str(tmp_path / "lake")}
    if request.param == "s3":
        changes = request.getfixturevalue("bucket").settings
    return Settings(project=tmp_path, **changes)


@pytest.fixture
def exporter(warehouse: Warehouse, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    # else Polars warns that its planner is not installed
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    return Exporter(warehouse.url, warehouse.catalog, settings)


@dataclass
class Things:
    """The invented table, and a lake of it in a folder."""

    exporter: Exporter
    connection: psycopg.Connection[Row]

    def rows(self) -> list[Row]:
        return rows_of(self.connection, "things", "code", "exact")

    def state(self) -> list[Row]:
        found = self.exporter.state("things")
        for row in found:
            row["document"] = None if row["document"] is None else json.loads(row["document"])
        return sorted(found, key=lambda row: row["thing"])

    def is_there(self) -> bool:
        """Whether an export has committed rows."""
        with Lake(self.exporter.settings, self.exporter.url) as lake:
            catalog = lake._catalog  # noqa: SLF001
            name = ("curated", "things")
            return catalog.table_exists(name) and bool(catalog.load_table(name).current_snapshot())

    def files(self) -> set[Path]:
        folder = Path(self.exporter.table("things").location().removeprefix("file://"))
        return {path for path in folder.rglob("*") if path.is_file()}

    def unneeded(self) -> set[Path]:
        """Files that no snapshot names, by PyIceberg's own account of them."""
        table = self.exporter.table("things")
        named = {
            table.metadata_location,
            *table.inspect.metadata_log_entries()["file"].to_pylist(),
            *table.inspect.snapshots()["manifest_list"].to_pylist(),
            *table.inspect.all_manifests()["path"].to_pylist(),
            *table.inspect.all_files()["file_path"].to_pylist(),
        }
        return self.files() - {Path(name.removeprefix("file://")) for name in named}


@pytest.fixture
def of_things(
    prepared: str,
    create_database: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Things]:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    url = create_database(prepared)
    settings = Settings(project=tmp_path, lake_url=str(tmp_path / "lake"))
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        things.make(connection)
        yield Things(Exporter(url, things.CATALOG, settings), connection)


def patch(warehouse: Warehouse, name: str, where: str, **changes: Any) -> None:
    """Edit rows as the API does."""
    entity = warehouse.catalog.entities[name]
    plan = plan_of(entity)
    for key in keys_of(warehouse, entity, where):
        values = (json.dumps([changes]), "clerk", name, warnings_of(entity), key, None)
        RawCursor(warehouse.connection).execute(plan.patch, values)


def delete(warehouse: Warehouse, name: str, where: str) -> None:
    """Delete rows as the API does."""
    entity = warehouse.catalog.entities[name]
    for key in keys_of(warehouse, entity, where):
        RawCursor(warehouse.connection).execute(plan_of(entity).delete, (key, "clerk", name, None))


def keys_of(warehouse: Warehouse, entity: Entity, where: str) -> list[str]:
    found = warehouse.query(
        f"select {entity.key[0]}::text as key from curated.{entity.name} where {where}"
    )
    assert found, where
    return [row["key"] for row in found]


def rows_of(connection: psycopg.Connection[Row], name: str, *texts: str) -> list[Row]:
    """A curated table as the lake should have it: without its engine's column, some as text."""
    rows = connection.execute(f"select * from curated.{name} order by 1").fetchall()
    for row in rows:
        del row["_transaction_id"]
        row |= {text: None if row[text] is None else str(row[text]) for text in texts}
    return rows
