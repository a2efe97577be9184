"""Programs that are asked about curated values; this module is one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from assay.catalog import Catalog, CatalogError, SourceTable
from assay.enrichment import enrich, program_of
from tests.dbt.test_merge import row
from tests.warehouse import Warehouse

HEADERS = ("InChI", "InChIKey", "SMILES", "Toolkit")
KEY = "WPYMKLBDIGXBTP-UHFFFAOYSA-N"
asked: list[list[str]] = []
versions = ["2026.9"]


def version() -> str:
    return f"Test {versions[-1]}"


def describe(values: Sequence[str]) -> list[dict[str, str]]:
    asked.append(list(values))
    return [{"InChI": v, "InChIKey": KEY, "Toolkit": version()} for v in values]


@pytest.fixture
def source_table(catalog: Catalog) -> SourceTable:
    declared = catalog.source_tables["rdkit.structures"]
    assert declared.enrichment
    return replace(declared, enrichment=replace(declared.enrichment, program=__name__))


@pytest.fixture
def built(warehouse: Warehouse) -> Warehouse:
    """Two metabolites, and the derived dataset among what is built."""
    asked.clear()
    warehouse.excluded = tuple(
        name for name in warehouse.excluded if "rdkit" not in name and "structures" not in name
    )
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    return warehouse


def ask(warehouse: Warehouse, source_table: SourceTable) -> int | None:
    """The load of the answers, built; None where there was nothing to ask."""
    told: list[tuple[int, int]] = []
    result = enrich(
        warehouse.url,
        warehouse.catalog,
        source_table,
        "test",
        lambda done, total: told.append((done, total)),
    )
    if result is None:
        return None
    assert told[-1][0] == told[-1][1]
    warehouse.build()
    return result.load_id


def rows(warehouse: Warehouse) -> list[dict[str, Any]]:
    """All rows of both tables with the transactions that wrote them."""
    return [
        found
        for table in ("metabolites", "structures")
        for found in warehouse.query(f"select xmin::text, * from curated.{table} order by 2")
    ]


def test_each_value_is_asked_about_once_by_each_version(
    built: Warehouse, source_table: SourceTable
) -> None:
    """Also after edits and a new version, whose answers take the place of the old."""
    first = ask(built, source_table)
    assert first
    assert (built.account(first)["new"], built.account(first)["rejected"]) == (2, 0)
    assert ask(built, source_table) is None
    built.load(row("c", 2), name="more.csv")
    built.build()
    second = ask(built, source_table)
    assert second
    assert built.account(second)["new"] == 1
    versions.append("2026.10.1")
    try:
        third = ask(built, source_table)
    finally:
        versions.pop()
    assert third
    assert built.account(third)["changed"] == 3
    assert [len(values) for values in asked] == [2, 1, 3]
    found = built.query("select distinct toolkit from curated.structures")
    assert found == [{"toolkit": "Test 2026.10.1"}]


def test_rebuild_is_history(built: Warehouse, source_table: SourceTable) -> None:
    """A full refresh writes no row, without answers and with them; they touch no other row."""
    before = rows(built)
    built.build("--full-refresh")
    assert rows(built) == before
    assert ask(built, source_table)
    answered = rows(built)
    assert answered[:2] == before
    built.build("--full-refresh")
    assert rows(built) == answered


def test_two_features_with_one_skeleton(built: Warehouse, source_table: SourceTable) -> None:
    """The dbt test warns while both InChIs are those of metabolites."""

    def outcome() -> str:
        result = built.invoke(built.url, "test", "--select", "one_feature_per_skeleton")
        (test,) = (r for r in result.result if r.node.resource_type == "test")
        return str(test.status)

    assert outcome() == "pass"
    ask(built, source_table)
    assert outcome() == "warn"
    built.query("delete from curated.metabolites where feature = 'a' returning feature")
    assert outcome() == "pass"


def test_nothing_is_asked_before_the_first_build(
    warehouse: Warehouse, source_table: SourceTable
) -> None:
    with pytest.raises(ValueError, match="metabolites was not built yet: run `assay build`"):
        ask(warehouse, source_table)


def test_a_module_that_is_not_there(source_table: SourceTable) -> None:
    assert source_table.enrichment
    with pytest.raises(CatalogError, match="there is no module nowhere"):
        program_of(replace(source_table.enrichment, program="nowhere.at_all"))
