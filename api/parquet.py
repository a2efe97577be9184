"""Parquet, written row group by row group."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
from pyarrow import parquet

from api.cells import Cell
from api.schemas import base_type

# Arrow's own allocator keeps what was freed for each thread.
pa.set_memory_pool(pa.system_memory_pool())
# Blocks are made in one thread; each of Arrow's would have memory of its own.
pa.set_cpu_count(1)
pa.set_io_thread_count(1)

_ARROW_TYPES = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "numeric": pa.float64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", "UTC"),
}
_MAX_DIGITS = 76
"""Of Arrow's longest decimal."""


class Parquet:
    """Makes blocks of CSV without a header into a file; in a thread."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self._schema = pa.schema([(cell.name, arrow_type(cell.data_type)) for cell in cells])
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema)

    def take(self, block: bytes) -> bytes:
        table = pc.read_csv(
            io.BytesIO(block),
            # several blocks would be read into as many chunks, each a row group of its own
            pc.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=self._schema.names
            ),
            pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            pc.ConvertOptions(
                column_types=self._schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
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


def arrow_type(data_type: str) -> pa.DataType:
    """A number with a declared precision is a decimal; lists and JSON are text."""
    modifier = re.search(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", data_type)
    base = base_type(data_type)
    if base == "numeric" and modifier and int(modifier[1]) <= _MAX_DIGITS:
        digits, scale = int(modifier[1]), int(modifier[2] or 0)
        return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, scale)  # noqa: PLR2004
    return _ARROW_TYPES.get(base, pa.string())
