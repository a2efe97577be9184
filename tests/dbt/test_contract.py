"""The contract holds in PostgreSQL, in dbt's tests, and in every model of the project."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from assay.catalog import Catalog
from tests.dbt.test_merge import row
from tests.dbt.test_rules import INCHI
from tests.warehouse import DATABASE, NewWarehouse, Warehouse

# For each rule that PostgreSQL enforces, an update after which one of two rows breaks it.
BREAKING = {
    "feature_required": "feature = null",
    "feature_length": "feature = repeat('x', 2001)",
    "one_row_per_feature": "feature = 'a'",
    "identification_level_required": "identification_level = null",
    "identification_level_range": "identification_level = 6",
    "inchi_or_cas": "id_inchi = null",
    "inchi_valid": "id_inchi = 'InChI=1S/banana'",
    "one_feature_per_inchi": f"id_inchi = '{INCHI[0]}'",
    "cas_number_valid": "cas_number = '56-86-1'",
    "one_feature_per_cas": "cas_number = '74-82-8'",
    "method_required": "method = null",
    "method_filled": "method = ' '",
    "sample_value_range": "sample_value = 'NaN'",
    "sample_status_required": "sample_status = null",
    "sample_status_known": "sample_status = 'lost', sample_value = null",
    "measured_has_value": "sample_value = null",
}
# A dependency is held by the uniqueness of its determinant: without that, two rows may differ.
DEPENDENCIES = {
    "one_method_per_feature": "feature = 'a', method = 'LC'",
    "one_identifier_per_feature": "feature = 'a'",
}


@pytest.fixture(scope="module")
def built(new_warehouse: NewWarehouse) -> str:
    """Name of a database with two rows in the curated table, to be copied."""
    with new_warehouse() as warehouse:
        warehouse.load(row("a", 0, cas="74-82-8"), row("b", 1))
        warehouse.build()
        return warehouse.save_as("built")


def outcome(warehouse: Warehouse, rule: str) -> str:
    """What the dbt test of a rule says."""
    result = warehouse.invoke(warehouse.url, "test", "--select", rule)
    (test,) = (r for r in result.result if r.node.resource_type == "test")
    return str(test.status)


def rule_names(warehouse: Warehouse) -> set[str]:
    entity = warehouse.catalog.entities["metabolites"]
    return {rule.name for rule in entity.rules if rule.kind not in ("cast", "fields")}


def test_each_rule_is_a_test_by_name(warehouse: Warehouse) -> None:
    """`dbt test --select metabolites` lists every rule of the contract under its own name."""
    warehouse.load(row("a", 0))
    warehouse.build()
    result = warehouse.invoke(warehouse.url, "test", "--select", "metabolites")
    assert result.success
    names = {r.node.name for r in result.result}
    provenance = {"repairs_required", "updated_at_required", "updated_by_required"}
    implied = {"metabolite_id_required", "metabolite_id_unique"}
    assert rule_names(warehouse) - provenance - implied <= names


@pytest.mark.parametrize("rule", [*BREAKING, *DEPENDENCIES])
def test_rule_fails_without_its_constraint(
    new_warehouse: NewWarehouse, built: str, rule: str
) -> None:
    """PostgreSQL refuses the row; with the constraint dropped and the row planted, dbt says so."""
    update = f"update curated.metabolites set {(BREAKING | DEPENDENCIES)[rule]} where feature = 'b'"
    constraint = rule if rule in BREAKING else "one_row_per_feature"
    with new_warehouse(built) as warehouse:
        with pytest.raises(psycopg.errors.IntegrityError):
            warehouse.connection.execute(update)
        warehouse.connection.execute(
            f"alter table curated.metabolites drop constraint metabolites__{constraint}"
        )
        assert outcome(warehouse, rule) == "pass"
        warehouse.connection.execute(update)
        assert outcome(warehouse, rule) == "fail"


def test_every_rule_is_tried(warehouse: Warehouse) -> None:
    """The table above misses no rule that PostgreSQL enforces on a column of the source."""
    enforced = {
        r["conname"].removeprefix("metabolites__")
        for r in warehouse.query(
            "select conname from pg_constraint where conrelid = to_regclass('curated.metabolites')"
        )
    }
    assert {name for name in enforced if name in rule_names(warehouse)} <= set(BREAKING) | {
        "repairs_required",
        "updated_at_required",
        "updated_by_required",
        "metabolite_id_unique",
        "metabolite_id_required",
    }


def test_dropped_constraint_comes_back(warehouse: Warehouse) -> None:
    """The next build makes the table's constraints equal to the contract's."""
    warehouse.load(row("a", 0))
    warehouse.build()
    names = "select conname from pg_constraint where conrelid = 'curated.metabolites'::regclass"
    before = {r["conname"] for r in warehouse.query(names)}
    warehouse.connection.execute(
        "alter table curated.metabolites drop constraint metabolites__inchi_or_cas,"
        " add constraint metabolites__foreign check (feature <> 'z')"
    )
    warehouse.build()
    assert {r["conname"] for r in warehouse.query(names)} == before


def test_rows_that_break_a_new_rule_stop_the_build(warehouse: Warehouse) -> None:
    """The build names the rows and leaves the table as it was."""
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    warehouse.connection.execute(
        "alter table curated.metabolites drop constraint metabolites__method_filled"
    )
    warehouse.connection.execute("update curated.metabolites set method = ' ' where feature = 'b'")
    with pytest.raises(
        pytest.fail.Exception, match=r"(?s)break the rule method_filled.*\"feature\": \"b\""
    ):
        warehouse.build()


def test_a21_a_build_beside_who_reads_for_long(warehouse: Warehouse) -> None:
    """It takes loads as ever; to change the table it waits for him, and nobody else does."""
    warehouse.load(row("a", 0))
    warehouse.build()
    read = "select count(*) from curated.metabolites"
    with ThreadPoolExecutor() as pool:
        with psycopg.connect(warehouse.url) as long_reader:
            long_reader.execute(read)
            warehouse.load(row("b", 1))
            warehouse.build()
            assert warehouse.query(read) == [{"count": 2}]
        warehouse.connection.execute(
            "alter table curated.metabolites drop constraint metabolites__method_filled,"
            " add constraint metabolites__foreign check (feature <> 'z')"
        )
        with psycopg.connect(warehouse.url) as long_reader:
            long_reader.execute(read)
            build = pool.submit(warehouse.build)
            while not warehouse.query(WAITING):
                assert not build.done()
            warehouse.connection.execute("set statement_timeout = '4s'")
            for _ in range(20):
                assert warehouse.query(read) == [{"count": 2}]
                time.sleep(0.1)
            assert not build.done()
        build.result(60)
    names = "select conname from pg_constraint where starts_with(conname, 'metabolites__')"
    found = {constraint["conname"] for constraint in warehouse.query(names)}
    assert "metabolites__method_filled" in found
    assert "metabolites__foreign" not in found


WAITING = "select from pg_locks where mode = 'AccessExclusiveLock' and not granted"


@pytest.fixture
def manifest(catalog: Catalog, target: Path) -> dict[str, Any]:
    assert catalog.entities
    content: dict[str, Any] = json.loads((target / "manifest.json").read_text())
    return content


def test_public_models_keep_the_conventions(manifest: dict[str, Any]) -> None:
    """Contract, key, description 'One row per', a description on every column, for each mart."""
    for node in manifest["nodes"].values():
        if node["config"]["materialized"] != "curated":
            continue
        name = node["name"]
        assert node["config"]["contract"]["enforced"], f"{name}: enforce the contract"
        assert node["access"] == "public", f"{name}: a mart is public"
        assert node["description"].startswith("One row per "), f"{name}: say what a row is"
        for column in node["columns"].values():
            assert column["description"], f"{name}.{column['name']}: describe it"
            assert column["data_type"], f"{name}.{column['name']}: give its type"


def test_each_rule_has_its_line(manifest: dict[str, Any]) -> None:
    """A rule that the contract declares is a visible test; add `- rule: {name: ...}`."""
    tests = {
        (node.get("attached_node"), node["name"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
    }
    for unique_id, node in manifest["nodes"].items():
        for rule in node["config"].get("meta", {}).get("rules", ()):
            if "cast" not in rule:
                assert (unique_id, rule["name"]) in tests, f"{unique_id}: no test {rule['name']}"
            assert rule["message"].strip(), f"{unique_id}: {rule['name']} has no message"


def test_each_constraint_has_a_message(manifest: dict[str, Any]) -> None:
    """A check is declared as a rule with columns and a message; add it to config.meta.rules."""
    for node in manifest["nodes"].values():
        rules = {rule["name"] for rule in node["config"].get("meta", {}).get("rules", ())}
        for constraint in node.get("constraints", ()):
            if constraint["type"] == "check":
                assert constraint["name"] in rules, f"{node['name']}: {constraint['name']}"


def test_unprepared_database_stops_the_build(
    catalog: Catalog, create_database: Callable[..., str], invoke: Callable[..., Any]
) -> None:
    """On a database without the platform's tables, dbt stops at its start and names the command."""
    assert catalog.entities
    result = invoke(create_database(name=DATABASE), "build")
    assert not result.success
    assert "run `assay db upgrade`" in str(result.exception or [r.message for r in result.result])
