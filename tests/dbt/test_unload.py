"""Loads that are taken back, and history judged again."""

import json
from typing import Any

from tests.dbt.test_merge import STATE, delete, edit, rebuild_changes_nothing, row
from tests.warehouse import Warehouse


def unload(warehouse: Warehouse, load_id: int) -> dict[str, Any]:
    assert warehouse.operate("unload", load_id=load_id, user="clerk")
    found = warehouse.query("select * from journal.unloads where load_id = %s", load_id)
    return {n: found[0][n] for n in ("deleted", "restored", "newer", "refused")} if found else {}


def rejudge(warehouse: Warehouse, *, apply: bool = True) -> bool:
    return warehouse.operate("rejudge", model_name="metabolites", user="clerk", apply=apply)


def values(warehouse: Warehouse) -> dict[str, str]:
    return {r["feature"]: r["value"] for r in warehouse.query(STATE)}


def test_unload_undoes_what_nothing_newer_stands_on(warehouse: Warehouse) -> None:
    """Additions go, changes go back, edited and later changed rows stay and are counted."""
    warehouse.load(row("a", 0), row("b", 1), row("c", 2))
    warehouse.build()
    taken_back = warehouse.load(
        row("a", 0, "2"), row("b", 1, "2"), row("c", 2, "2"), row("d", 3, "2")
    )
    warehouse.build()
    edit(warehouse, "b", sample_value=7)
    warehouse.load(row("c", 2, "3"))
    warehouse.build()
    assert unload(warehouse, taken_back) == {
        "deleted": 1,
        "restored": 1,
        "newer": 2,
        "refused": {},
    }
    assert values(warehouse) == {"a": "1", "b": "7", "c": "3"}
    assert rebuild_changes_nothing(warehouse)

    again = warehouse.load(
        row("a", 0, "2"), row("b", 1, "2"), row("c", 2, "2"), row("d", 3, "2"), name="again.csv"
    )
    warehouse.build()
    assert values(warehouse) == {"a": "2", "b": "7", "c": "2", "d": "2"}
    assert warehouse.account(again)["unchanged"] == 1
    assert rebuild_changes_nothing(warehouse)


def test_unload_leaves_what_would_break_a_rule(warehouse: Warehouse) -> None:
    """An identifier that another row has meanwhile is not taken from it."""
    warehouse.load(row("a", 0, cas="56-86-0"))
    warehouse.build()
    edit(warehouse, "a", id_inchi=None)
    edit(warehouse, "a", cas_number=None, id_inchi="InChI=1S/CH4/h1H4")
    changed = warehouse.load(row("a", -1, "2", cas="56-86-0"))
    warehouse.build()
    assert warehouse.account(changed)["changed"] == 1
    delete(warehouse, "a")
    assert unload(warehouse, changed)["newer"] == 1
    assert rebuild_changes_nothing(warehouse)


def test_unloaded_before_it_was_built(warehouse: Warehouse) -> None:
    waiting = warehouse.load(row("a", 0))
    assert unload(warehouse, waiting) == {}
    warehouse.build()
    assert values(warehouse) == {}
    state = "select state from raw.loads where load_id = %s"
    assert warehouse.query(state, waiting) == [{"state": "unloaded"}]


def test_rejudge_under_the_same_rules_changes_nothing(warehouse: Warehouse) -> None:
    """Replaying all loads and edits in their order gives the table that is there."""
    warehouse.load(row("a", 0), row("b", 1), row("c", 0))
    warehouse.build()
    waiting = warehouse.load(row("b", 1, "5"), row("d", 2))
    edit(warehouse, "b", sample_value=7)
    warehouse.build()
    unloaded = warehouse.load(row("d", 2, "8"), row("e", 3))
    warehouse.build()
    unload(warehouse, unloaded)
    delete(warehouse, "d")
    warehouse.load(row("a", 1), row("d", 2, "9"))
    warehouse.build()
    before = warehouse.query("table journal.edits")
    assert rejudge(warehouse)
    assert warehouse.query("table journal.edits") == before
    assert warehouse.account(waiting)["superseded"] == 1
    assert json.dumps(values(warehouse)) == json.dumps({"b": "7", "d": "9"})
