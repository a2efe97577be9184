"""Other forms of a source's files: modules that `config.meta.load.exchange` names.

A file in such a form is loaded as the CSV that its module makes of it; what is curated is written
in the form from the columns of the source, each by its way back.
"""

import csv
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import psycopg
from psycopg import sql

from assay.catalog import Catalog, CatalogError, Entity, SourceTable
from loader.errors import LoadError


class Form(Protocol):
    """What a module has that knows a form."""

    def recognises(self, path: Path, /) -> bool:
        """Whether a file has this form."""

    def read(self, path: Path, /) -> tuple[list[str], Iterator[dict[str, str]]]:
        """All headers, and rows by the source's headers; LoadError where it cannot."""

    def write(self, path: Path, rows: Iterable[Mapping[str, str]], /) -> None:
        """A file of rows by the source's headers; ValueError where it cannot."""


def converted(catalog: Catalog, path: Path, folder: Path) -> tuple[SourceTable, Path] | None:
    """A file in another form as CSV in the folder, with its source table; None for other files.

    Raises:
        LoadError: The file is damaged.
        CatalogError: A module that the YAML names is missing.
    """
    if not path.is_file():
        return None
    for source_table in catalog.source_tables.values():
        for name in source_table.exchange:
            form = _module(name)
            if form.recognises(path):
                made = folder / f"{path.name}.csv"
                try:
                    _convert(form, path, made)
                except csv.Error as error:
                    raise LoadError(
                        f"the file cannot be read ({error})",
                        remedy="export it again",
                        file=path.name,
                    ) from None
                except LoadError as error:
                    error.file = path.name
                    raise
                return source_table, made
    return None


def _convert(form: Form, path: Path, made: Path) -> None:
    headers, rows = form.read(path)
    with made.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, headers, restval="")
        writer.writeheader()
        writer.writerows(rows)


def form_of(catalog: Catalog, entity: Entity, name: str) -> tuple[SourceTable, Form]:
    """The form of that name, the last part of its module's, and the source that has it.

    Raises:
        ValueError: None of the entity's sources has one.
    """
    forms = {
        module.rpartition(".")[2]: (catalog.source_tables[source], module)
        for source in entity.source_tables
        for module in catalog.source_tables[source].exchange
    }
    if name not in forms:
        raise ValueError(f"{entity.name} is exchanged as {', '.join(forms) or 'nothing'}.")
    source_table, module = forms[name]
    return source_table, _module(module)


def write(  # noqa: PLR0913, PLR0917 - what, of what, and how
    url: str,
    entity: Entity,
    ways: Mapping[str, str],
    form: Form,
    path: Path,
    progress: Callable[[int], None],
) -> None:
    """Write all curated rows of an entity.

    Args:
        url: Of the database.
        entity: What is written.
        ways: For each header of the source the SQL of its text, over a curated row.
        form: Writes it.
        path: Of the file; an older one is replaced.
        progress: Told how many rows were read.

    Raises:
        ValueError: The form cannot hold a row.
    """
    # SQL of the project's own YAML
    listed = ", ".join(f"coalesce(({way})::text, '')" for way in ways.values())
    query = sql.SQL("select {} from {} as curated order by {}").format(
        sql.SQL(listed),
        sql.Identifier(entity.schema, entity.table),
        sql.Identifier(entity.key[0]),
    )
    with psycopg.connect(url) as connection, connection.cursor(name="exported") as cursor:
        cursor.execute(query)

        def rows() -> Iterator[dict[str, str]]:
            for number, row in enumerate(cursor, start=1):
                progress(number)
                yield dict(zip(ways, row, strict=True))

        form.write(path, rows())


def _module(name: str) -> Form:
    try:
        return cast("Form", importlib.import_module(name))
    except ModuleNotFoundError as error:
        raise CatalogError(f"config.meta.load.exchange: there is no module {error.name}.") from None
