"""Which source table a file belongs to, by its headers."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from assay.catalog import Catalog, SourceTable
from loader.errors import LoadError
from loader.readers import open_document


def find_source(catalog: Catalog, path: Path, explicit_name: str | None = None) -> SourceTable:
    """The source table that a file belongs to.

    It is the named one or the only one whose mandatory headers all occur in the file; of several,
    the one that knows all headers that the others know, and more.

    Raises:
        LoadError: There is no such source table, or not exactly one that fits; the message
            lists the candidates and the headers that each lacks.
    """
    if explicit_name is not None:
        return _named(catalog, explicit_name)
    takes_files = [table for table in catalog.source_tables.values() if table.formats]
    return fitting_source(takes_files, path)


def fitting_source(
    candidates: Iterable[SourceTable],
    path: Path,
    file_name: str | None = None,
    remedy: str = "pass `--source NAME` to choose one",
) -> SourceTable:
    """The one of some source tables whose mandatory headers all occur in the file.

    Of several it is the one that knows all headers that the others know, and more.

    Args:
        candidates: The source tables.
        path: The file.
        file_name: The name that its owner knows, when the path has another.
        remedy: What to do where there is not exactly one.

    Raises:
        LoadError: As `find_source`.
    """
    name = file_name or path.name
    fitting: list[tuple[SourceTable, set[int]]] = []
    reasons: list[str] = []
    refusals: list[LoadError] = []
    try:
        document = open_document(path, name)
    except LoadError as error:
        error.file = name
        raise
    with document:
        for source_table in candidates:
            if document.format not in source_table.formats:
                reasons.append(f"{source_table.name} takes no {document.format}")
                continue
            try:
                layout = document.layout(source_table)
            except LoadError as error:
                error.file = name
                refusals.append(error)
                reasons.append(f"{source_table.name}: {error.message}")
                continue
            if layout.fits:
                fitting.append((source_table, layout.known))
            else:
                lacks = ", ".join(repr(column.header) for column in layout.missing)
                reasons.append(f"{source_table.name} lacks {lacks}")
    for source_table, known in fitting:
        if all(known > less for other, less in fitting if other is not source_table):
            return source_table
    if len(refusals) == len(reasons) and len({error.message for error in refusals}) == 1:
        raise refusals[0]  # unreadable, whatever it is meant for
    if fitting:
        message = "the headers fit several source tables: " + ", ".join(s.name for s, _ in fitting)
    else:
        message = "the headers fit no source table: " + ("; ".join(reasons) or "there is none")
    raise LoadError(message, remedy=remedy, file=name)


def _named(catalog: Catalog, name: str) -> SourceTable:
    if name not in catalog.source_tables:
        near = difflib.get_close_matches(name, catalog.source_tables, n=1)
        raise LoadError(
            f"there is no source table {name!r}, there is "
            + (", ".join(catalog.source_tables) or "none"),
            remedy=f"pass `--source {near[0]}` if that is meant" if near else None,
        )
    return catalog.source_tables[name]
