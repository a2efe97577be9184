"""Copies a file into its raw table, whole or not at all, with COPY only."""

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from assay.catalog import SourceTable
from loader.csv_files import CsvFile
from loader.errors import LoadError
from loader.headers import Layout, ReadAgain
from loader.loads import CLOCK, LOCK, RECORD, RECORD_FAILURE, START, LoadResult
from loader.quotes import NotWellFormed, QuoteCheck
from loader.readers import Document, hash_file, open_document
from loader.rows import Copied, raw_rows
from loader.sources import check_ending
from loader.tables import sequence_of, table_of

Progress = Callable[[int, int], None]
"""Called with the bytes read and the rows sent so far; both start again when a file that was
not well formed is read a second time, row by row."""

_BLOCK = 1 << 20

_SAME_SIZE = """
select exists (
    select from raw.loads
    where
        source_table = %(source_table)s
        and state = 'loaded'
        and is_sample = %(is_sample)s
        and size_bytes = %(size_bytes)s
)
"""

# The same bytes are no news when they are the latest that this file name brought or the latest
# of all.
_EARLIER = """
with loaded as (
    select * from raw.loads
    where
        source_table = %(source_table)s and state = 'loaded' and is_sample = %(is_sample)s
)

select load_id, row_count, notes from loaded
where
    sha256 = %(sha256)s
    and clock in (
        (select max(clock) from loaded),
        (select max(clock) from loaded where file_name = %(file_name)s)
    )
order by clock desc
limit 1
"""

_SET_LOAD = "select set_config('assay.load_id', %s, true)"
_RESTART = "alter sequence {sequence} restart with 2"
_LAST_ROW = "select currval(%s)"

# A row without text takes its number and is left out. (No function takes as many arguments as
# a table may have columns, `coalesce` does.)
_PIPE = """
copy {table} ({columns}) from stdin
with (format csv, header true, delimiter {delimiter}, force_null *, encoding 'UTF8')
where coalesce({columns}) is not null
"""
_COPY = """
copy {table} ({columns}) from stdin with (format csv, force_null *, encoding 'UTF8')
"""


@dataclass
class _Request:
    """A file to load, and what is known of it so far."""

    source_table: SourceTable
    path: Path
    file_name: str
    loaded_by: str
    force: bool
    rehearsal: bool
    is_sample: bool
    progress: Progress
    started_at: datetime
    stamp: tuple[int, ...] | None = None
    size_bytes: int | None = None
    sha256: str | None = None

    def parameters(self) -> dict[str, Any]:
        return {
            "source_table": self.source_table.name,
            "file_name": self.file_name,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "state": "rehearsal" if self.rehearsal else "loaded",
            "loaded_by": self.loaded_by,
            "started_at": self.started_at,
            "is_sample": self.is_sample,
        }


def load_file(  # noqa: PLR0913  # a request has these parts
    conninfo: str,
    source_table: SourceTable,
    path: Path,
    *,
    loaded_by: str,
    force: bool = False,
    rehearsal: bool = False,
    is_sample: bool = False,
    file_name: str | None = None,
    progress: Progress | None = None,
) -> LoadResult:
    """Load a file into its raw table.

    The same bytes as the latest load of that file name, or as the latest load of the table, are
    not loaded again, unless by `force`; a sample of the same bytes is no such load. A file that is
    refused leaves a row in `raw.loads` that says why, and nothing else.

    Args:
        conninfo: Connection string or URL of the database.
        source_table: Where the file belongs; see `find_source`.
        path: The file.
        loaded_by: Who loads it.
        force: Load it again.
        rehearsal: Load it for nobody to see, until `loader.rehearsals.forget`.
        is_sample: Its rows go when the source has a load of its own, which this is not.
        file_name: The name that its owner knows, when the path has another.
        progress: Told how far the load is.

    Raises:
        LoadError: The file is refused.
        psycopg.Error: The database failed.
    """
    request = _Request(
        source_table=source_table,
        path=path,
        file_name=_printable(file_name or path.name),
        loaded_by=loaded_by,
        force=force,
        rehearsal=rehearsal,
        is_sample=is_sample,
        progress=progress or (lambda _bytes, _rows: None),
        started_at=datetime.now(UTC),
    )
    try:
        return _load(conninfo, request)
    except BaseException as error:
        if isinstance(error, LoadError):
            error.file = request.file_name
        if not rehearsal:
            _record_failure(conninfo, request, error)
        raise


def _printable(name: str) -> str:
    """A name that is not UTF-8, as PostgreSQL can hold it."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _load(conninfo: str, request: _Request) -> LoadResult:
    # Before anything is read. Whether there is a file is said by `open_document`.
    with suppress(OSError):
        request.stamp = _stamp(request.path)
        request.size_bytes = request.stamp[0]
    with open_document(request.path, request.file_name) as document:
        if request.source_table.listing:
            raise LoadError(
                f"the records of {request.source_table.name} come from an API",
                remedy="run `assay extract`",
            )
        check_ending(request.source_table, request.path, request.file_name)
        layout = document.layout(request.source_table)
        layout.check()
        with psycopg.connect(conninfo, autocommit=True, client_encoding="utf8") as connection:
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            try:
                with connection.transaction():
                    return _load_document(connection, request, document, layout)
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
                raise LoadError(
                    f"the database is not prepared ({error.diag.message_primary})",
                    remedy="run `assay db upgrade`",
                ) from None
            except psycopg.DataError as error:
                raise LoadError(
                    "the database does not take the text",
                    value=error.diag.message_primary,
                    remedy="save the file as UTF-8 CSV",
                ) from None


def _load_document(
    connection: Connection, request: _Request, document: Document, layout: Layout
) -> LoadResult:
    source_table = request.source_table
    connection.execute(LOCK, [source_table.name])
    # Most files are new by their size; reading them once is enough.
    if not request.force and _one(connection.execute(_SAME_SIZE, request.parameters()))[0]:
        request.sha256 = hash_file(request.path)
        earlier = connection.execute(_EARLIER, request.parameters()).fetchone()
        if earlier is not None:
            return _result(request, earlier[0], "already loaded", earlier[1], earlier[2])
    (load_id,) = _one(connection.execute(START))
    connection.execute(_SET_LOAD, [str(load_id)])
    connection.execute(sql.SQL(_RESTART).format(sequence=sequence_of(source_table)))
    copied = _copy(connection, document, layout, request.progress)
    digest = document.digest()
    if request.sha256 not in (None, digest) or _stamp(request.path) != request.stamp:
        raise LoadError("the file changed while it was read", remedy="load it again")
    request.sha256 = digest
    notes = layout.notes() | document.notes() | copied.notes()
    notes = {name: note for name, note in notes.items() if note}
    connection.execute(LOCK, [CLOCK])
    recorded = {
        "load_id": load_id,
        "row_count": copied.rows,
        "notes": Jsonb(notes),
        "absent_columns": sorted(column.name for column in layout.absent),
    }
    connection.execute(RECORD, request.parameters() | recorded)
    return _result(request, load_id, "loaded", copied.rows, notes)


def _stamp(path: Path) -> tuple[int, ...]:
    """Size, and what tells a file from the same file after a change."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _copy(connection: Connection, document: Document, layout: Layout, progress: Progress) -> Copied:
    if isinstance(document, CsvFile) and document.is_pipeable(layout):
        # What PostgreSQL or the check does not take is read again row by row, where it is
        # either understood or refused with its place. `DataError`: ragged rows, mixed line
        # ends, an invalid encoding.
        with suppress(NotWellFormed, psycopg.DataError), connection.transaction():
            return _pipe(connection, document, layout, progress)
    while True:
        try:
            with connection.transaction():
                return _copy_records(connection, document, layout, progress)
        except ReadAgain as again:
            layout = again.layout


def _pipe(connection: Connection, document: CsvFile, layout: Layout, progress: Progress) -> Copied:
    """Pipe the bytes as they are."""
    columns = [sql.Identifier(column.name) for column in layout.columns if column is not None]
    statement = sql.SQL(_PIPE).format(
        table=table_of(layout.source_table),
        columns=sql.SQL(", ").join(columns),
        delimiter=sql.Literal(layout.delimiter),
    )
    check = QuoteCheck(layout.delimiter or "")
    # A chunk is checked while the server works on the one before, which `write` only hands to
    # the socket; doing it in a thread was tried and gained nothing.
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for chunk in document.chunks(check):
                copy.write(chunk)
                progress(document.bytes_read, max(check.line_ends - 1, 0))
        rows = cursor.rowcount
    if rows and check.line_ends == 1:
        raise NotWellFormed  # its lines end in CR, which nobody has counted
    if check.line_ends > 1:
        sequence = sequence_of(layout.source_table).as_string()
        (last_row,) = _one(connection.execute(_LAST_ROW, [sequence]))
        if last_row != check.line_ends or rows >= last_row:
            raise NotWellFormed
    return Copied(rows, blank_rows=max(check.line_ends - 1 - rows, 0))


def _copy_records(
    connection: Connection, document: Document, layout: Layout, progress: Progress
) -> Copied:
    """Read row by row and write the rows anew."""
    columns = [column for column in layout.columns if column is not None]
    names = ["_row_number", *(column.name for column in columns), "_malformed", "_extra"]
    statement = sql.SQL(_COPY).format(
        table=table_of(layout.source_table),
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
    )
    copied = Copied()
    # CR LF, because a field that holds either is quoted then.
    block = io.StringIO(newline="")
    writer = csv.writer(block, lineterminator="\r\n")
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in raw_rows(layout, document.records(layout), copied):
                writer.writerow(row)
                copied.rows += 1
                if block.tell() > _BLOCK:
                    copy.write(block.getvalue())
                    block.seek(0)
                    block.truncate()
                    progress(document.bytes_read, copied.rows)
            copy.write(block.getvalue())
        progress(document.bytes_read, copied.rows)
        if cursor.rowcount != copied.rows:
            raise LoadError(f"{copied.rows} rows were sent, {cursor.rowcount} arrived")
    return copied


def _result(
    request: _Request,
    load_id: int,
    state: Literal["loaded", "already loaded"],
    rows: int,
    notes: dict[str, Any],
) -> LoadResult:
    seconds = (datetime.now(UTC) - request.started_at).total_seconds()
    name = request.source_table.name
    return LoadResult(load_id, name, request.file_name, state, rows, notes, seconds)


def _record_failure(conninfo: str, request: _Request, error: BaseException) -> None:
    """Best effort: the error itself goes on, whatever becomes of its record."""
    if isinstance(error, LoadError):
        sentence = error.without_value()
    elif isinstance(error, KeyboardInterrupt | SystemExit):
        sentence = f"{request.file_name}: the load was interrupted."
    elif isinstance(error, psycopg.Error):
        sentence = f"{request.file_name}: the database did not take it, or went away."
    else:
        # its own words are for the log, not for readers of the list of loads
        sentence = f"{request.file_name}: the load failed; the log has the cause."
    sentence = sentence.replace("\0", "")
    # A connection of its own: the load's may be broken.
    with suppress(psycopg.Error), psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(RECORD_FAILURE, request.parameters() | {"error": sentence})


def _one(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = cursor.fetchone()
    if row is None:
        raise psycopg.DataError("no row came back")
    return row
