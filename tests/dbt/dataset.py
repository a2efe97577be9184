"""A small dataset of a test's own beside those of the project, loaded, built and edited."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.catalog import read_catalog
from assay.database import upgrade
from tests.conftest import copy_files
from tests.warehouse import DATABASE, Warehouse, dbt_of


@contextmanager
def project_with(
    files: Mapping[str, str], folder: Path, create_database: Callable[..., str]
) -> Iterator[Callable[[], Warehouse]]:
    """Makes warehouses of the project with more models, each {path below `models`: text}."""
    copy_files(folder)
    for name, text in files.items():
        path = folder / "dbt_project" / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(create_database(name=DATABASE), "parse").success
        catalog = read_catalog(folder / "target" / "manifest.json")

        def make() -> Warehouse:
            url = create_database(name=DATABASE)
            upgrade(url, catalog)
            return Warehouse(url, catalog, folder, dbt, create_database, ())

        yield make


class Dataset:
    """One source table and the model that it feeds."""

    def __init__(self, warehouse: Warehouse, source: str, model: str, *columns: str) -> None:
        self.warehouse = warehouse
        self.connection = warehouse.connection
        self._source, self._model, self._columns = source, model, columns
        self._loads = 0

    def load(self, *rows: str, header: str = "") -> dict[int, list[str]]:
        """Load and build; the rules that rows break, by their number in the file."""
        self._loads += 1
        path = self.warehouse.folder / f"{self._model}_{self._loads}.csv"
        path.write_text("\n".join([header or ",".join(self._columns), *rows]) + "\n")
        self.load_id = self.warehouse.load_file(path, self._source)
        self.warehouse.build("--select", f"+{self._model}")
        verdicts = self.warehouse.query(
            "select row_number, rules from journal.verdicts where load_id = %s", self.load_id
        )
        return {row["row_number"]: row["rules"] for row in verdicts}

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows by the first column."""
        query = f"select {', '.join(self._columns)} from curated.{self._model} order by 1"
        return [tuple(row.values()) for row in self.warehouse.query(query)]

    def edit(self, where: str, assignments: str) -> None:
        """As the API does: one statement for all rows of a request, and the journal in it."""
        self.connection.execute(
            f"""
            with written as (
                update curated.{self._model}
                set {assignments}, updated_at = now(), updated_by = 'editor' where {where}
                returning to_jsonb(old) as before, to_jsonb(new) as after,
                new.{self._columns[0]} as key
            )
            insert into journal.edits (
                entity, key, operation, before, after, edited_by, edited_at
            )
            select '{self._model}', key::text, 'update', before, after, 'editor', now()
            from written
            """.encode()
        )

    def is_the_same_when_recomputed(self) -> bool:
        writers = f"select xmin::text, * from curated.{self._model} order by 2"
        before = self.warehouse.query(writers)
        self.warehouse.build("--select", self._model, "--full-refresh")
        return self.warehouse.query(writers) == before
