"""`python -m tests.lake.dying STEP [--compact]`: exports things, and is killed at one of its steps.

A step is a statement that is sent to PostgreSQL, or a file that is begun, written to, finished or
deleted. Ends with 0 where it has fewer steps.
"""

import sys

import psycopg
from pyarrow import parquet
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from sqlalchemy.orm import Session

from assay.settings import read_settings
from lake.export import export
from tests.dying import die
from tests.lake.things import CATALOG


def main(last: int, *, compact: bool) -> None:
    die(
        last,
        (psycopg.Connection, "execute"),
        (psycopg.RawCursor, "execute"),
        (Session, "commit"),
        (PyArrowFile, "create"),
        (PyArrowFileIO, "delete"),
        (parquet.ParquetWriter, "write_table"),
        (parquet.ParquetWriter, "close"),
    )
    settings = read_settings()
    assert settings.database_url
    assert settings.assay_secret
    url = settings.database_url.get_secret_value()
    secret = settings.assay_secret.get_secret_value()
    assert export(settings, url, CATALOG, secret, compact=compact) is not None


if __name__ == "__main__":
    main(int(sys.argv[1]), compact="--compact" in sys.argv)
