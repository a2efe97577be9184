"""Rules and columns that change.

The next build makes the table equal to its contract, or fails naming rows and leaves everything as
it was; history is judged again on demand.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from api.listing import document
from assay.catalog import read_catalog
from tests.conftest import ROOT
from tests.dbt.test_merge import TABLE, delete, edit, rebuild_changes_nothing, row
from tests.dbt.test_rules import INCHI
from tests.dbt.test_unload import rejudge
from tests.warehouse import Warehouse, dbt_of

CONTRACT = "dbt_project/models/marts/metabolites/_metabolites__models.yml"
STAGING = "dbt_project/models/staging/laboratory/stg_laboratory__metabolites.sql"
LEVELS = "identification_level between 1 and 5"
CONSTRAINTS = """
    select conname, pg_get_constraintdef(oid) as definition
    from pg_constraint where conrelid = 'curated.metabolites'::regclass order by conname
"""

Change = Callable[..., None]


@pytest.fixture
def change(warehouse: Warehouse, tmp_path: Path) -> Iterator[Change]:
    """Edits files of a copy of the project, which the warehouse is of from then on."""
    runs = ExitStack()

    def edit_files(*edits: tuple[str, str, str]) -> None:
        project = tmp_path / "project"
        if not project.exists():
            project.mkdir()
            for name in ("dbt_project.yml", "profiles.yml"):
                shutil.copy(ROOT / name, project / name)
            shutil.copytree(ROOT / "dbt_project", project / "dbt_project")
        for name, old, new in edits:
            text = (project / name).read_text(encoding="utf-8")
            assert text.count(old) == 1, old
            (project / name).write_text(text.replace(old, new), encoding="utf-8")
        warehouse.invoke = runs.enter_context(dbt_of(project, tmp_path / "target"))
        assert warehouse.invoke(warehouse.url, "parse").success

    with runs:
        yield edit_files


def row_at(feature: str, inchi: int, level: str) -> list[str]:
    return [feature, level, INCHI[inchi], "", "GC", "1"]


def levels(warehouse: Warehouse) -> dict[str, int]:
    rows = warehouse.query("select feature, identification_level as level from curated.metabolites")
    return {r["feature"]: r["level"] for r in rows}


def test_stricter_check(warehouse: Warehouse, change: Change) -> None:
    """The build names the rows; judging again takes out those of loads, never those of people."""
    warehouse.load(row_at("a", 0, "1"), row_at("b", 1, "5"), row_at("c", 2, "1"))
    warehouse.build()
    edit(warehouse, "c", identification_level=5)
    before = warehouse.query(TABLE), warehouse.query(CONSTRAINTS)
    change((CONTRACT, LEVELS, "identification_level between 1 and 4"))

    failure = warehouse.failure_of_build()
    assert "identification_level_range" in failure
    assert '"feature": "b"' in failure
    assert '"feature": "c"' in failure
    assert (warehouse.query(TABLE), warehouse.query(CONSTRAINTS)) == before

    assert not rejudge(warehouse)
    assert (warehouse.query(TABLE), warehouse.query(CONSTRAINTS)) == before

    edit(warehouse, "c", identification_level=4)
    assert rejudge(warehouse, apply=False)
    assert levels(warehouse) == {"a": 1, "b": 5, "c": 4}
    assert rejudge(warehouse)
    assert levels(warehouse) == {"a": 1, "c": 4}
    assert warehouse.query(
        "select operation, edited_by, cause, before ->> 'feature' as feature from journal.edits"
        " order by clock desc limit 1"
    ) == [{"operation": "delete", "edited_by": "clerk", "cause": "rejudge", "feature": "b"}]
    assert rebuild_changes_nothing(warehouse)
    assert "between 1 and 4" in str(warehouse.query(CONSTRAINTS)).lower() or "<= 4" in str(
        warehouse.query(CONSTRAINTS)
    )

    again = warehouse.load(row_at("a", 0, "1"), row_at("b", 1, "5"), name="again.csv")
    warehouse.build()
    assert warehouse.rejected(again) == {3: ["identification_level_range"]}


def test_looser_check(warehouse: Warehouse, change: Change) -> None:
    """What was rejected stays so until history is judged again, and then comes in its place."""
    load_id = warehouse.load(row_at("a", 0, "1"), row_at("b", 1, "7"), row_at("c", 2, "7"))
    warehouse.build()
    warehouse.load(row_at("d", 2, "1"))
    warehouse.build()
    change((CONTRACT, LEVELS, "identification_level between 1 and 9"))
    warehouse.build()
    assert levels(warehouse) == {"a": 1, "d": 1}

    assert rejudge(warehouse)
    # c has the InChI that d took only because c was rejected: now c came first
    assert levels(warehouse) == {"a": 1, "b": 7, "c": 7}
    assert set(warehouse.rejected(load_id)) == {3, 4}, "a verdict is a fact about a load"
    assert rebuild_changes_nothing(warehouse)
    before = warehouse.query(TABLE)
    assert rejudge(warehouse)
    assert warehouse.query(TABLE) == before

    change((CONTRACT, "identification_level between 1 and 9", LEVELS))
    assert rejudge(warehouse)
    assert levels(warehouse) == {"a": 1, "d": 1}, "as if the rule had never been loosened"
    assert rebuild_changes_nothing(warehouse)


def test_new_unique_column(warehouse: Warehouse, change: Change) -> None:
    warehouse.load(row("a", 0, "1", "GC"), row("b", 1, "1", "GC"))
    warehouse.build()
    before = warehouse.query(TABLE), warehouse.query(CONSTRAINTS)
    change(
        (
            CONTRACT,
            "[cas_number]\n      - type: check",
            "[cas_number]\n      - {type: unique, columns: [method]}\n      - type: check",
        )
    )
    failure = warehouse.failure_of_build()
    assert "method_unique" in failure
    assert '"method": "GC"' in failure
    assert (warehouse.query(TABLE), warehouse.query(CONSTRAINTS)) == before
    edit(warehouse, "b", method="LC")
    warehouse.build()
    assert "metabolites__method_unique" in str(warehouse.query(CONSTRAINTS))
    assert rebuild_changes_nothing(warehouse)


NEW_COLUMN = """
      - name: batch
        description: The batch.
        data_type: text
        constraints: [{type: not_null}]
        config: {meta: {title: Batch, default: "'none'"}}
      - name: updated_at
"""


def test_new_column(warehouse: Warehouse, change: Change) -> None:
    """It has what staging says of rows that loads brought, and its default in edited ones."""
    warehouse.load(row("a", 0), row("b", 1), row("c", 2))
    warehouse.build()
    edit(warehouse, "b", sample_value=7)
    delete(warehouse, "c")
    change(
        (CONTRACT, "\n      - name: updated_at\n", NEW_COLUMN),
        (
            STAGING,
            "    ---------- notes\n    repairs\n",
            "    'first'::text as batch,\n    repairs\n",
        ),
    )
    warehouse.build()
    assert warehouse.query("select feature, batch from curated.metabolites order by 1") == [
        {"feature": "a", "batch": "first"},
        {"feature": "b", "batch": "none"},
    ]
    assert "metabolites__batch_required" in str(warehouse.query(CONSTRAINTS))
    assert rebuild_changes_nothing(warehouse)


def test_new_column_that_cannot_be_filled(warehouse: Warehouse, change: Change) -> None:
    """A mandatory one without a default: the build names the edited rows that lack it."""
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    edit(warehouse, "b", sample_value=7)
    before = warehouse.query(TABLE), warehouse.query(CONSTRAINTS)
    change(
        (CONTRACT, "\n      - name: updated_at\n", NEW_COLUMN.replace(", default: \"'none'\"", "")),
        (
            STAGING,
            "    ---------- notes\n    repairs\n",
            "    'first'::text as batch,\n    repairs\n",
        ),
    )
    failure = warehouse.failure_of_build()
    assert "batch_required" in failure
    assert '"feature": "b"' in failure
    assert '"feature": "a"' not in failure
    assert (warehouse.query(TABLE), warehouse.query(CONSTRAINTS)) == before


def test_column_of_another_type(warehouse: Warehouse, change: Change) -> None:
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    edit(warehouse, "b", identification_level=2)
    change(
        (CONTRACT, "data_type: smallint", "data_type: integer"),
        (
            STAGING,
            "'identification_level__text', 'smallint'",
            "'identification_level__text', 'integer'",
        ),
    )
    warehouse.build()
    assert (
        warehouse.query(
            "select pg_typeof(identification_level)::text as t from curated.metabolites"
        )
        == [{"t": "integer"}] * 2
    )
    assert levels(warehouse) == {"a": 1, "b": 2}
    assert rebuild_changes_nothing(warehouse)


def test_other_key_is_refused(warehouse: Warehouse, change: Change) -> None:
    warehouse.load(row("a", 0))
    warehouse.build()
    before = warehouse.query(TABLE)
    change(
        (
            CONTRACT,
            "columns: [metabolite_id]\n      - type: unique\n        columns: [feature]",
            "columns: [feature]\n      - type: unique\n        columns: [metabolite_id]",
        )
    )
    assert "history knows its rows by it" in warehouse.failure_of_build()
    assert warehouse.query(TABLE) == before


def test_renamed_rules(warehouse: Warehouse, change: Change) -> None:
    """A constraint goes by its rule's name of today, the key's too."""
    warehouse.load(row("a", 0))
    warehouse.build()
    before = len(warehouse.query(CONSTRAINTS))
    change(
        (CONTRACT, "          - name: method_required\n", "          - name: method_given\n"),
        (CONTRACT, "rule: {name: method_required}", "rule: {name: method_given}"),
    )
    warehouse.build()
    names = {r["conname"] for r in warehouse.query(CONSTRAINTS)}
    assert "metabolites__method_given" in names
    assert "metabolites__method_required" not in names
    assert len(names) == before
    assert rebuild_changes_nothing(warehouse)


def test_lost_ledger_is_made_again(warehouse: Warehouse) -> None:
    """From raw rows, verdicts and journal: what was unchanged stays so."""
    rows: list[Any] = [row("a", 0), row("b", 1)]
    warehouse.load(*rows)
    warehouse.build()
    warehouse.connection.execute("drop table journal.ledger_metabolites")
    warehouse.build()
    again = warehouse.load(*rows, row("c", 2), name="again.csv")
    warehouse.build()
    assert warehouse.account(again)["unchanged"] == 2
    assert rebuild_changes_nothing(warehouse)


def test_words_of_the_contract_have_an_index(
    warehouse: Warehouse, change: Change, tmp_path: Path
) -> None:
    """Made, left, changed and dropped with `config.meta.search`; the API's query uses it."""
    indexes = """
        select indexrelid::text as id, pg_get_indexdef(indexrelid) as definition
        from pg_index where indexrelid = to_regclass('curated.metabolites__search')
    """
    path = "        api: {path: metabolites}\n"

    def search(before: str, after: str) -> list[dict[str, Any]]:
        change((CONTRACT, path + before, path + after))
        warehouse.build()
        return warehouse.query(indexes)

    warehouse.load(row_at("acetic acid", 0, "1"))
    warehouse.build()
    one, two = ("        search: [feature]\n", "        search: [feature, method]\n")
    made = search("", one)
    assert len(made) == 1
    warehouse.build()
    assert warehouse.query(indexes) == made
    assert search(one, two)[0]["definition"] != made[0]["definition"]
    entity = read_catalog(tmp_path / "target" / "manifest.json").entities["metabolites"]
    words = document(entity, "target")
    with warehouse.connection.transaction():
        warehouse.connection.execute("set local enable_seqscan = off")
        plan = warehouse.query(
            f"explain select from curated.metabolites as target where {words} @@ 'acid'::tsquery"
        )
    assert "metabolites__search" in str(plan)
    assert search(two, "") == []
