"""Drafts of files that write days and decimals as in Europe, loaded and built."""

from collections.abc import Callable
from pathlib import Path

from assay.catalog import Catalog, read_catalog
from assay.database import upgrade
from assay.scaffold import scaffold
from loader.copy import load_file
from tests.conftest import copy_files, dbt_of
from tests.warehouse import DATABASE, Warehouse

SALES = "article;sold_on;price\na;31.01.2026;8,95\nb;01.02.2026;1234,5\nc;03.04.2026;12\n"


def test_a_european_file(
    create_database: Callable[..., str], prepared: str, tmp_path: Path
) -> None:
    """What a column proved of the first file is how the next ones are read."""
    copy_files(tmp_path)
    file = tmp_path / "sales.csv"
    file.write_text(SALES)
    scaffold(tmp_path, Catalog({}, {}), file)
    url = create_database(prepared, DATABASE)
    with dbt_of(tmp_path, tmp_path / "target") as invoke:
        assert invoke(url, "parse").success
        catalog = read_catalog(tmp_path / "target" / "manifest.json")
        upgrade(url, catalog)
        load_file(url, catalog.source_tables["sales.sales"], file, loaded_by="ann")
        assert invoke(url, "build", "--select", "+sales").success
        warehouse = Warehouse(url, catalog, tmp_path, invoke, create_database)
        with warehouse.connection:
            rows = warehouse.query(
                "select article, sold_on::text, price::text from curated.sales order by article"
            )
    assert [tuple(row.values()) for row in rows] == [
        ("a", "2026-01-31", "8.95"),
        ("b", "2026-02-01", "1234.5"),
        ("c", "2026-04-03", "12"),
    ]
