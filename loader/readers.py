"""Reads files: what a file is."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from assay.catalog import SourceTable
from loader.csv_files import CsvFile, Record
from loader.headers import Layout
from loader.kinds import is_workbook
from loader.workbooks import Workbook


class Document(AbstractContextManager["Document"], Protocol):
    """An open file."""

    format: str

    def layout(self, source_table: SourceTable) -> Layout:
        """The header row that fits the source table best.

        Raises:
            LoadError: The file has no header row that could be read.
        """

    def records(self, layout: Layout) -> Iterator[Record]:
        """Row numbers and fields of what stands below the header, blank rows as well.

        Raises:
            LoadError: A row cannot be read; the error names it.
        """

    def notes(self) -> dict[str, Any]:
        """What a person may want to know of the rows, once all were read."""

    def digest(self) -> str:
        """Hexadecimal sha256 of the bytes that were read, once all were."""

    @property
    def bytes_read(self) -> int: ...


def open_document(path: Path, name: str | None = None) -> Document:
    """Open a file by its content, once its ending agrees.

    Args:
        path: The file.
        name: The name that its owner knows, when the path has another.

    Raises:
        LoadError: There is no such file, or it is neither CSV nor XLSX.
    """
    return Workbook(path) if is_workbook(path, name or path.name) else CsvFile(path)


def hash_file(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
