"""The lake has what is curated, whatever happened since the last export."""

from pathlib import Path

import polars as pl

from assay.catalog import read_catalog
from tests.dbt.test_changes import CONTRACT, NEW_COLUMN, STAGING, Change, change  # noqa: F401
from tests.dbt.test_merge import row
from tests.lake.conftest import PLATFORM, Exporter, delete, patch, rows_of
from tests.warehouse import Warehouse

NAME = "metabolites"


def check(exporter: Exporter, warehouse: Warehouse) -> None:
    """Its current state is the curated table."""
    expected = rows_of(warehouse.connection, NAME, "metabolite_id", "sample_value")
    expected.sort(key=lambda r: r["feature"])
    assert sorted(exporter.state(NAME), key=lambda r: r["feature"]) == expected
    # the other way that docs/operations.md tells of
    state = exporter.written(NAME).sort("_clock").unique("metabolite_id", keep="last")
    state = state.filter(pl.col("_operation") != "delete").drop(PLATFORM)
    assert state.sort("feature").to_dicts() == expected


def test_the_lake_follows_the_table(
    exporter: Exporter,
    warehouse: Warehouse,
    change: Change,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Loads, edits, deletions, a new column and a full refresh; each time only what changed."""
    warehouse.load(*(row(f"f{number}", number) for number in range(6)))
    warehouse.build()
    (account,) = exporter.export(NAME)
    assert (account.is_whole, account.rows, account.deletions) == (True, 6, 0)
    check(exporter, warehouse)
    assert exporter.export(NAME)[0].rows == 0

    patch(warehouse, NAME, "feature = 'f0'", sample_value=2)
    patch(warehouse, NAME, "feature = 'f0'", sample_value=3)
    delete(warehouse, NAME, "feature = 'f1'")
    (account,) = exporter.export(NAME)
    assert (account.is_whole, account.rows, account.deletions) == (False, 2, 1)
    check(exporter, warehouse)

    # one that comes back, and one that is gone again before anybody looked
    warehouse.load(row("f1", 1, "2"), row("f7", 7), name="again.csv")
    warehouse.build()
    delete(warehouse, NAME, "feature = 'f7'")
    (account,) = exporter.export(NAME)
    assert (account.rows, account.deletions) == (2, 1)
    check(exporter, warehouse)

    warehouse.build("--full-refresh")
    assert exporter.export(NAME)[0].rows == 0
    check(exporter, warehouse)

    change(
        (CONTRACT, "\n      - name: updated_at\n", NEW_COLUMN.replace("{type: not_null}", "")),
        (
            STAGING,
            "    ---------- notes\n    repairs\n",
            "    nullif(feature, 'f2')::text as batch,\n    repairs\n",
        ),
    )
    exporter.catalog = read_catalog(tmp_path / "target" / "manifest.json")
    warehouse.build()
    (account,) = exporter.export(NAME)
    assert (account.is_whole, account.rows) == (False, 5), "all but f2, which has none"
    assert {r["feature"]: r["batch"] for r in exporter.state(NAME)}["f2"] is None
    check(exporter, warehouse)

    delete(warehouse, NAME, "true")
    assert exporter.export(NAME)[0].deletions == 6
    assert exporter.state(NAME) == []
    clocks = exporter.written(NAME)["_clock"].unique().sort().to_list()
    assert clocks == sorted(set(clocks))
    assert len(clocks) == 5, "one of each export that had something to say"
