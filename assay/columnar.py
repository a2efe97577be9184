"""Rows of PostgreSQL in columns: a contract's types as Arrow's, blocks of CSV as its tables."""

import io
import re

import pyarrow as pa
import pyarrow.csv as pc

from assay.data_types import base_type

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


def arrow_type(data_type: str) -> pa.DataType:
    """A number with a declared precision is a decimal; lists and JSON are text."""
    modifier = re.search(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", data_type)
    base = base_type(data_type)
    if base == "numeric" and modifier and int(modifier[1]) <= _MAX_DIGITS:
        digits, scale = int(modifier[1]), int(modifier[2] or 0)
        return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, scale)  # noqa: PLR2004
    return _ARROW_TYPES.get(base, pa.string())


def table_of(block: bytes, schema: pa.Schema) -> pa.Table:
    """Whole rows as COPY writes them (CSV, no header), in one chunk.

    Raises:
        pyarrow.ArrowInvalid: A value is none of its type.
    """
    return pc.read_csv(
        io.BytesIO(block),
        # several blocks would be read into as many chunks, each a row group of its own
        pc.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=schema.names),
        pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pc.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t", "true"],
            false_values=["f", "false"],
        ),
    )
