"""The lake's catalog, which is in the project's PostgreSQL, and what it keeps of each table."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.transforms import DayTransform
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType
from sqlalchemy import URL

from assay.settings import Settings
from lake.columns import CLOCK, EXPORTED_AT, OPERATION, LakeTable

NAME, SCHEMA = "assay", "lake"
"""Of the catalog; of its tables in PostgreSQL."""
_BEGIN_ANEW = (
    "To begin another lake, forget this one: "
    f"`drop schema {SCHEMA} cascade`, which deletes no file."
)
_PLATFORM = Schema(
    NestedField(
        1,
        OPERATION,
        StringType(),
        required=True,
        doc="`upsert`, or `delete` where the row is gone: only its key is said.",
    ),
    NestedField(
        2,
        CLOCK,
        LongType(),
        required=True,
        doc="Rises with each export: of rows with one key the highest holds.",
    ),
    NestedField(
        3,
        EXPORTED_AT,
        TimestamptzType(),
        required=True,
        doc="When the row was read; the table is partitioned by its day.",
    ),
)
"""The first columns of each table."""
_BY_DAY = PartitionSpec(PartitionField(3, 1000, DayTransform(), f"{EXPORTED_AT}_day"))
_CURRENT_STATE = """\
select * from (
    select *, row_number() over (partition by {key} order by {clock} desc) as _rank
    from {schema}.{table}
) as changes
where _rank = 1 and {operation} <> 'delete'"""
_PROPERTIES = {
    TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "10",
}
_OF_DATABASE = "assay.database"
_DATABASE = """
select system_identifier || '/' || pg_database.oid
from pg_control_system()
cross join pg_database
where datname = current_database()
"""
"""Tells a database from others, and from those that are made of its dump."""
_CONNECT_SECONDS, _REQUEST_SECONDS = "5", "60"


class LakeError(ValueError):
    """The lake cannot be used as it is; the message says what to do."""


class LakeAway(ConnectionError):  # noqa: N818 - it says where the lake is
    """Its files cannot be reached, or written, now."""


@dataclass(frozen=True)
class Progress:
    """How far a table came, kept in the summary of the snapshot that came so far."""

    position: int
    """The transaction where the feed of changes goes on."""
    shape: dict[str, str]
    """What each column was."""

    @classmethod
    def of(cls, table: Table) -> Self | None:
        """Of its newest snapshot that an export made; others may have been made by other programs.

        So who rolls a table back, rolls this back with it.
        """
        for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
            kept = _kept(snapshot)
            if kept is not None:
                return cls(**json.loads(kept))
        return None

    def as_properties(self) -> dict[str, str]:
        return {NAME: json.dumps(asdict(self))}


class Lake:
    """The catalog, and its tables as the project's settings say where they are."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.location = settings.lake_location
        with psycopg.connect(url) as connection:
            connection.execute(f"create schema if not exists {SCHEMA}")
            self._database: str = (connection.execute(_DATABASE).fetchone() or [""])[0]
        parameters: dict[str, Any] = conninfo_to_dict(url)
        parameters["options"] = f"{parameters.get('options', '')} -csearch_path={SCHEMA}"
        # in the query, as SQLAlchemy would take the URL of a unix socket apart
        address = URL.create("postgresql+psycopg", query=parameters)
        self._catalog = SqlCatalog(
            NAME,
            uri=address.render_as_string(hide_password=False),
            **{"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"},
            **_s3_properties(settings),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._catalog.close()

    def table(self, model: LakeTable) -> Table:
        """Its table; made, with no rows and only the platform's columns, where there is none.

        Raises:
            LakeError: The lake is elsewhere, or another database's, or its files are gone.
        """
        self._check_location(model.schema)
        try:
            table = self._catalog.load_table((model.schema, model.table))
        except NoSuchTableError:
            return self._create(model)
        except FileNotFoundError as error:
            raise LakeError(f"Files of the lake are gone: {error}. {_BEGIN_ANEW}") from None
        if table.properties.get(_OF_DATABASE) != self._database:
            raise LakeError(
                f"{model.name}: the lake is of another database, of which this one is a copy. "
                f"{_BEGIN_ANEW}"
            )
        return table

    def _create(self, model: LakeTable) -> Table:
        """In a folder of its own: what another lake has below the same URL is never touched."""
        return self._catalog.create_table(
            (model.schema, model.table),
            _PLATFORM,
            location=f"{self.location}/{model.schema}/{model.table}-{uuid4().hex[:8]}",
            partition_spec=_BY_DAY,
            properties=_PROPERTIES | {_OF_DATABASE: self._database},
        )

    def _check_location(self, schema: str) -> None:
        wanted = f"{self.location}/{schema}"
        if not self._catalog.namespace_exists(schema):
            self._catalog.create_namespace(schema, {"location": wanted})
        found = self._catalog.load_namespace_properties(schema)["location"]
        if found == wanted:
            return
        if self._catalog.list_tables(schema):
            raise LakeError(
                f"The lake of this database is at {found.removesuffix(f'/{schema}')}, and LAKE_URL "
                f"says {self.location}. Set LAKE_URL back. {_BEGIN_ANEW}"
            )
        self._catalog.update_namespace_properties(schema, updates={"location": wanted})


def properties_of(model: LakeTable) -> dict[str, str]:
    """What the lake says of a table beside its columns."""
    properties = {"comment": model.description}
    if model.entity:
        properties["current-state"] = _CURRENT_STATE.format(
            key=", ".join(model.entity.key),
            clock=CLOCK,
            schema=model.schema,
            table=model.table,
            operation=OPERATION,
        )
    return properties


def _kept(snapshot: Snapshot) -> str | None:
    return snapshot.summary.additional_properties.get(NAME) if snapshot.summary else None


def _s3_properties(settings: Settings) -> dict[str, str]:
    secret = settings.lake_s3_secret_access_key
    properties = {
        "s3.endpoint": settings.lake_s3_endpoint,
        "s3.region": settings.lake_s3_region,
        "s3.access-key-id": settings.lake_s3_access_key_id,
        "s3.secret-access-key": secret.get_secret_value() if secret else None,
        "s3.connect-timeout": _CONNECT_SECONDS,
        "s3.request-timeout": _REQUEST_SECONDS,
    }
    return {name: value for name, value in properties.items() if value}
