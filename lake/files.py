"""Files of a table of the lake: those that are being written, and those that nobody needs."""

from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs, parquet
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table

_MOST_BYTES = 128 * 2**20
"""Of a file; one more block may be in it."""
_FOLDERS = ("data", "metadata")


class DataFiles:
    """Rows in files of bounded size, which nobody sees before a snapshot names them."""

    def __init__(self, table: Table, schema: pa.Schema) -> None:
        self._table = table
        self._schema = schema
        self._writer: Any = None
        self._stream: Any = None
        self.locations: list[str] = []
        """Complete once this is closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def write(self, rows: pa.Table) -> None:
        """Columns are found by name."""
        if self._writer is None:
            self._begin()
        columns = [rows[field.name].cast(field.type) for field in self._schema]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        pa.default_memory_pool().release_unused()
        if self._stream.tell() >= _MOST_BYTES:
            self._end()

    def _begin(self) -> None:
        location = self._table.location_provider().new_data_location(f"{uuid4()}.parquet")
        self._stream = self._table.io.new_output(location).create()
        # PyIceberg reads the statistics of decimals as they are written so
        self._writer = parquet.ParquetWriter(
            self._stream, self._schema, compression="zstd", store_decimal_as_integer=True
        )
        self.locations.append(location)

    def _end(self) -> None:
        if self._writer is not None:
            with self._stream:
                self._writer.close()
            self._writer = None


def remove_unneeded(table: Table) -> None:
    """Delete the files that no snapshot names. Nobody may write meanwhile."""
    io = table.io
    assert isinstance(io, PyArrowFileIO)  # noqa: S101 - as the lake's catalog says
    needed = {PyArrowFileIO.parse_location(location)[2] for location in _needed(table)}
    scheme, netloc, folder = PyArrowFileIO.parse_location(table.location())
    system = io.fs_by_scheme(scheme, netloc)
    unneeded = [
        file.path
        for name in _FOLDERS
        for file in system.get_file_info(
            fs.FileSelector(f"{folder}/{name}", allow_not_found=True, recursive=True)
        )
        if file.type == fs.FileType.File and file.path not in needed
    ]
    for path in unneeded:
        io.delete(f"{scheme}://{path}")


def _needed(table: Table) -> set[str]:
    needed = {table.metadata_location}
    needed |= {entry.metadata_file for entry in table.metadata.metadata_log}
    for snapshot in table.metadata.snapshots:
        needed.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in needed:
                needed.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io)
                needed |= {entry.data_file.file_path for entry in entries}
    return needed
