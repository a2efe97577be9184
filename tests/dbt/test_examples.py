"""Files from the real world, each with its report: `tests/loader/examples/README.md`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.rows import dict_row

from assay.catalog import Catalog, SourceTable
from assay.cli import FILE_REFUSED
from loader.copy import load_file
from loader.errors import LoadError
from tests.loader.examples.recipes import RECIPES
from tests.warehouse import NewWarehouse

FOLDER = Path(__file__).parents[1] / "loader" / "examples"
SOURCE = "laboratory.metabolites"
TABLE = "raw.laboratory__metabolites"

Example = dict[str, Any]
EXAMPLES: dict[str, Example] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*.yml"))
}
JUDGED = [name for name, example in EXAMPLES.items() if "account" in example]


def file_of(name: str, folder: Path) -> Path:
    """The file beside the report, or one that its recipe makes."""
    recipe = dict(EXAMPLES[name].get("made_by", {}))
    if recipe:
        path = folder / f"{name}.{recipe.pop('ending')}"
        RECIPES[recipe.pop("recipe")](path, **recipe)
        return path
    (path,) = (path for path in FOLDER.glob(f"{name}.*") if path.suffix != ".yml")
    return path


def source_of(name: str, catalog: Catalog) -> SourceTable:
    return replace(catalog.source_tables[SOURCE], **EXAMPLES[name].get("declared", {}))


@pytest.fixture(scope="module")
def prepared_url(create_database: Callable[..., str], prepared: str) -> str:
    """The database in which files are only read."""
    return create_database(prepared)


@pytest.fixture(scope="module")
def empty(new_warehouse: NewWarehouse) -> str:
    """The name of a database whose curated tables are empty."""
    with new_warehouse() as warehouse:
        warehouse.build()
        return warehouse.save_as("examples")


@pytest.mark.parametrize("name", EXAMPLES)
def test_reading(name: str, prepared_url: str, catalog: Catalog, tmp_path: Path) -> None:
    """The file is refused with this sentence, or its raw rows and notes are these."""
    example = EXAMPLES[name]
    path, source_table = file_of(name, tmp_path), source_of(name, catalog)
    if "refused" in example:
        with pytest.raises(LoadError) as refusal:
            load_file(prepared_url, source_table, path, loaded_by="test", force=True)
        assert {"exit_code": FILE_REFUSED, "error": str(refusal.value)} == example["refused"]
        return
    result = load_file(prepared_url, source_table, path, loaded_by="test", force=True)
    assert (result.rows, result.notes) == (example["rows"], example["notes"])
    with psycopg.connect(prepared_url, row_factory=dict_row) as connection:
        found = connection.execute(f"select * from {TABLE} where _load_id = %s", [result.load_id])
        rows = {row["_row_number"]: row for row in found}
    assert len(rows) == example["rows"]
    for number, expected in example.get("stored", {}).items():
        assert {column: rows[number][column] for column in expected} == expected


@pytest.mark.parametrize("name", JUDGED)
def test_verdicts(
    name: str, new_warehouse: NewWarehouse, empty: str, catalog: Catalog, tmp_path: Path
) -> None:
    """What becomes of its rows in an empty table."""
    example = EXAMPLES[name]
    path, source_table = file_of(name, tmp_path), source_of(name, catalog)
    with new_warehouse(empty) as warehouse:
        load_id = load_file(warehouse.url, source_table, path, loaded_by="test").load_id
        assert warehouse.operate("take_loads", source_table=SOURCE)
        account = warehouse.account(load_id)
        assert {key: account[key] for key in example["account"]} == example["account"]
        assert warehouse.rejected(load_id) == example["rejected"]
        curated = {
            row["feature"]: row for row in warehouse.query("select * from curated.metabolites")
        }
    assert len(curated) == account["new"]
    for feature, expected in example.get("curated", {}).items():
        row = curated[feature]
        texts = {key: None if row[key] is None else str(row[key]) for key in expected}
        assert texts == expected


def test_every_file_has_a_report() -> None:
    """A file without a report would be no test."""
    others = {path.stem for path in FOLDER.glob("*.*") if path.suffix not in (".py", ".md", ".yml")}
    assert others <= EXAMPLES.keys()
    assert len(EXAMPLES) >= 60
