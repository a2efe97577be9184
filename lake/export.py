"""Exports: what has changed, in one snapshot of each table; see docs/decisions/0012-lake.md.

How far a table came stands in the snapshot itself, so that both are committed at once: whoever
dies, the next run goes on where the lake is.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import parquet_file_to_data_file, schema_to_pyarrow
from pyiceberg.table import Transaction
from pyiceberg.table.update.snapshot import ExpireSnapshots
from sqlalchemy.exc import DBAPIError

from assay.catalog import Catalog
from assay.settings import Settings
from lake import query
from lake.catalog import Lake, LakeAway, LakeError, Progress, properties_of
from lake.columns import (
    CLOCK,
    EXPORTED_AT,
    OPERATION,
    Hasher,
    LakeTable,
    table_of_entity,
    table_of_staging,
)
from lake.files import DataFiles, remove_unneeded

KEPT = timedelta(days=1)
"""How long a snapshot is there at least whose rows were written anew: somebody may be reading."""
_TURN = "hashtextextended('lake', 0)"
_REMOVED = "removed"
_UNNEEDED = "assay.unneeded-files"
"""Property of a table that has files which are to be deleted."""

Advance = Callable[[str, int], None]
"""Told a model and how many of its rows are written."""


@dataclass
class Account:
    """What an export did for a model."""

    model: str
    location: str
    is_whole: bool = False
    """Whether all rows were written, in the place of those that were there."""
    rows: int = 0
    deletions: int = 0
    hidden: dict[str, list[str]] = field(default_factory=dict)
    """Columns that are left out or hashed, since they say something of a person."""


def export(  # noqa: PLR0913 - what a person can choose
    settings: Settings,
    url: str,
    catalog: Catalog,
    secret: str,
    names: Iterable[str] = (),
    *,
    compact: bool = False,
    advance: Advance = lambda _name, _rows: None,
) -> list[Account] | None:
    """Bring tables of the lake up to date; None where another export is at it.

    Args:
        settings: Say where the lake is.
        url: Of the database.
        catalog: Its models.
        secret: Of the project: personal values are hashed by it.
        names: Of models; else all that are `lake` by their contract.
        compact: Write all rows anew, and delete what that leaves over.
        advance: Is told of progress.

    Raises:
        LakeAway: Its files cannot be written, or read.
        LakeError, NotBuiltError, FeedError: The message says what to do.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        tables = [_table(connection, catalog, name) for name in names] or [
            table_of_entity(entity) for entity in catalog.entities.values() if entity.is_in_lake
        ]
        with _turn(connection) as is_ours:
            if not is_ours:
                return None
            with _failures_told(settings), Lake(settings, url) as lake:
                return [
                    Export(lake, connection, table, Hasher(secret), advance).run(compact=compact)
                    for table in tables
                ]


@contextmanager
def _turn(connection: psycopg.Connection[Any]) -> Iterator[bool]:
    """Whether no other export is running; while it is ours, none begins."""
    found = connection.execute(f"select pg_try_advisory_lock({_TURN})").fetchone()
    is_ours = bool(found and found[0])
    try:
        yield is_ours
    finally:
        if is_ours:  # a connection that ends gives it back too, but a moment later
            connection.execute(f"select pg_advisory_unlock({_TURN})")


@contextmanager
def _failures_told(settings: Settings) -> Iterator[None]:
    """In our words, or in those of PostgreSQL."""
    try:
        yield
    except CommitFailedException as error:
        raise LakeError(f"Another program changed the table: export again. {error}") from None
    except DBAPIError as error:
        raise error.orig or error from None
    except OSError as error:
        raise LakeAway(f"{settings.lake_location}: {error}") from None


def _table(connection: psycopg.Connection[Any], catalog: Catalog, name: str) -> LakeTable:
    if name in catalog.entities:
        return table_of_entity(catalog.entities[name])
    if name in catalog.staging:
        model = catalog.staging[name]
        types = query.types_of(connection, model.schema, model.table)
        if not types:
            raise query.NotBuiltError(name)
        return table_of_staging(model, types)
    known = ", ".join([*catalog.entities, *catalog.staging])
    raise LakeError(f"There is no model {name} to export; there are {known}.")


class Export:
    """Of one model."""

    def __init__(
        self,
        lake: Lake,
        connection: psycopg.Connection[Any],
        model: LakeTable,
        hasher: Hasher,
        advance: Advance,
    ) -> None:
        self._connection = connection
        self._model = model
        self._hasher = hasher
        self._advance = advance
        self._table = lake.table(model)
        self.account = Account(model.name, self._table.location(), hidden=model.hidden)

    def run(self, *, compact: bool = False) -> Account:
        self._clean()  # as one that was killed left it
        last = Progress.of(self._table)
        shape = self._model.shape(self._hasher)
        if last:
            shape = dict.fromkeys(last.shape, _REMOVED) | shape
        is_reshaped = last is not None and any(shape[n] != was for n, was in last.shape.items())
        with self._connection.transaction():
            moment = query.begin(self._connection, self._model, last.position if last else 0)
            self.account.is_whole = (
                compact
                or self._model.entity is None
                or last is None
                or is_reshaped
                or not moment.is_known
            )
            transaction = self._table.transaction()
            self._describe(transaction, last.shape if last else {}, shape)
            files = self._write(transaction, moment, last.position if last else 0)
        progress = Progress(moment.until, shape)
        if self.account.is_whole or files or last is None or shape != last.shape:
            self._commit(transaction, files, progress, erase=is_reshaped)
        elif transaction.table_metadata != self._table.metadata:
            transaction.commit_transaction()  # words
        self._clean()
        return self.account

    def _describe(
        self, transaction: Transaction, was: dict[str, str], shape: dict[str, str]
    ) -> None:
        """Make columns and words those of the contract; one of another shape is another column."""
        there = {field.name for field in self._table.schema().fields}
        with transaction.update_schema(allow_incompatible_changes=True) as update:
            for name in there & was.keys():
                if shape[name] != was[name]:
                    update.delete_column(name)
        with transaction.update_schema() as update:
            update.union_by_name(self._model.arrow)
        properties = properties_of(self._model)
        if any(self._table.properties.get(name) != text for name, text in properties.items()):
            transaction.set_properties(properties)

    def _write(self, transaction: Transaction, moment: query.Moment, since: int) -> list[str]:
        """Write the rows; where their files are."""
        if self.account.is_whole:
            statement = query.everything(self._model)
        else:
            statement = query.changes(self._model, since, moment.until)
        said = {
            # above that of every snapshot before, whoever made it
            CLOCK: pa.scalar(self._table.metadata.next_sequence_number(), pa.int64()),
            EXPORTED_AT: pa.scalar(moment.exported_at, pa.timestamp("us", "UTC")),
        }
        schema = schema_to_pyarrow(transaction.table_metadata.schema())
        with DataFiles(self._table, schema) as files:
            for rows in query.read(self._connection, statement, self._model, self._hasher):
                for name, value in said.items():
                    rows = rows.append_column(name, pa.repeat(value, rows.num_rows))  # noqa: PLW2901
                files.write(rows)
                self.account.rows += rows.num_rows
                self.account.deletions += pc.sum(pc.equal(rows[OPERATION], "delete")).as_py()
                self._advance(self._model.name, self.account.rows)
        return files.locations

    def _commit(
        self, transaction: Transaction, files: list[str], progress: Progress, *, erase: bool
    ) -> None:
        """All at once: columns, rows, how far they came, and which snapshots are over."""
        metadata = transaction.table_metadata
        update = transaction.update_snapshot(snapshot_properties=progress.as_properties())
        with update.overwrite() if self.account.is_whole else update.fast_append() as snapshot:
            if self.account.is_whole:
                for task in self._table.scan().plan_files():
                    snapshot.delete_data_file(task.file)
            for location in files:
                snapshot.append_data_file(
                    parquet_file_to_data_file(self._table.io, metadata, location)
                )
        if self.account.is_whole:
            # what is no longer to be seen is gone at once, with all that is older
            until = datetime.now(UTC) - (-KEPT if erase else KEPT)
            with ExpireSnapshots(transaction) as expiry:
                expiry.older_than(until)  # but for the new one
            transaction.set_properties({_UNNEEDED: "true"})
        transaction.commit_transaction()

    def _clean(self) -> None:
        if _UNNEEDED in self._table.properties:
            remove_unneeded(self._table)
            with self._table.transaction() as transaction:
                transaction.remove_properties(_UNNEEDED)
