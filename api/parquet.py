"""Parquet, written row group by row group."""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from api.cells import Cell
from assay.columnar import arrow_type, table_of


class Parquet:
    """Makes blocks of CSV without a header into a file; in a thread."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self._schema = pa.schema([(cell.name, arrow_type(cell.data_type)) for cell in cells])
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema)

    def take(self, block: bytes) -> bytes:
        table = table_of(block, self._schema)
        self._writer.write_table(table)
        del table
        pa.default_memory_pool().release_unused()
        return self._sink.taken()

    def rest(self) -> Iterator[bytes]:
        self.close()
        yield self._sink.taken()

    def close(self) -> None:
        self._writer.close()


class _Sink(io.RawIOBase):
    """A file that is taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:  # noqa: ANN401 - any buffer
        self._pieces += piece
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        taken, self._pieces = bytes(self._pieces), bytearray()
        return taken
