"""How history is read: staging gives all rows that were loaded, under the keys that history knows.

Where it does not, a build ends with a sentence before it changes anything.
"""

from typing import Any

from tests.dbt.test_changes import (
    CONTRACT,
    NEW_COLUMN,
    STAGING,
    Change,
    change,  # noqa: F401  a fixture
    levels,
    row_at,
)
from tests.dbt.test_merge import TABLE, delete, edit, rebuild_changes_nothing, row
from tests.dbt.test_unload import rejudge, values
from tests.warehouse import Warehouse

KEY = "default: md5(feature)::uuid"
LAST = "from noted\n"
WAYS_TO_LOSE = (
    "from noted\nwhere feature <> 'b'\n",
    "from noted\ninner join (values ('a'), ('c')) as known (feature) using (feature)\n",
    "from noted\ncross join (values (1), (2)) as twice (time_read)\n",
    # as many rows as there were
    "from (select * from noted where feature <> 'b' union all (select * from noted limit 1)) n\n",
)


def state(warehouse: Warehouse) -> list[Any]:
    """All that a build writes."""
    return [
        warehouse.query(TABLE),
        *(
            warehouse.query(f"select t::text as row from {table} as t order by 1")
            for table in (
                "journal.ledger_metabolites",
                "journal.accounts",
                "journal.verdicts",
                "journal.edits",
                "journal.vanished",
                "raw.loads",
                "journal.readings",
            )
        ),
    ]


def test_staging_that_loses_rows_changes_nothing(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """However it does, a build names the load, and so does whatever else reads history."""
    load_id = warehouse.load(row("a", 0), row("b", 1), row("c", 2), name="first.csv")
    warehouse.build()
    edit(warehouse, "a", sample_value=7)
    before = state(warehouse)
    last, full = LAST, False
    for text in WAYS_TO_LOSE:
        change((STAGING, last, text))
        last, full = text, not full
        failure = warehouse.failure_of_build(*["--full-refresh"] if full else [])
        assert f"load {load_id} (first.csv)" in failure, text
        assert "nothing was changed" in failure
        assert "dbt build --select +metabolites" in failure
        assert state(warehouse) == before
    assert not rejudge(warehouse)
    assert not warehouse.operate("unload", load_id=load_id, user="clerk")
    assert state(warehouse) == before

    change((STAGING, last, LAST))
    assert rebuild_changes_nothing(warehouse)


def test_first_build_that_loses_rows(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """The same sentence, and the load is still to be taken."""
    load_id = warehouse.load(row("a", 0), row("b", 1), name="first.csv")
    change((STAGING, LAST, WAYS_TO_LOSE[0]))
    failure = warehouse.failure_of_build()
    assert f"load {load_id} (first.csv): 1 of its 2 rows" in failure
    assert warehouse.query("table journal.accounts") == []
    change((STAGING, WAYS_TO_LOSE[0], LAST))
    warehouse.build()
    assert set(levels(warehouse)) == {"a", "b"}


def test_raw_that_lost_rows(warehouse: Warehouse) -> None:
    """They are not made good by a full refresh that forgets them."""
    warehouse.load(row("a", 0), row("b", 1), name="first.csv")
    warehouse.build()
    before = state(warehouse)
    warehouse.connection.execute("delete from raw.laboratory__metabolites where features = 'b'")
    failure = warehouse.failure_of_build("--full-refresh")
    assert "restore it from a backup" in failure
    assert state(warehouse) == before


def keys(warehouse: Warehouse) -> dict[str, str]:
    rows = warehouse.query("select feature, metabolite_id::text as key from curated.metabolites")
    return {r["feature"]: r["key"] for r in rows}


def test_another_formula_of_the_key(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """A build refuses it; judging again gives the rows, edited ones too, their new keys."""
    first = [row("a", 0), row("b", 1), row("c", 2), row("d", 3)]
    warehouse.load(*first)
    warehouse.build()
    edit(warehouse, "b", sample_value=7)
    delete(warehouse, "c")
    before, born = state(warehouse), keys(warehouse)
    change((CONTRACT, KEY, "default: md5('key of ' || feature)::uuid"))
    for options in ((), ("--full-refresh",)):
        failure = warehouse.failure_of_build(*options)
        assert "metabolite_id of 4 rows is another" in failure
        assert "assay rejudge metabolites" in failure
        assert state(warehouse) == before

    assert rejudge(warehouse)
    (expected,) = warehouse.query(
        "select md5('key of a')::uuid::text as a, md5('key of b')::uuid::text as b,"
        " md5('key of d')::uuid::text as d"
    )
    assert keys(warehouse) == expected
    assert values(warehouse)["b"] == "7"
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)
    again = warehouse.load(*first[:3], row("d", 3, "5"), name="again.csv")
    warehouse.build()
    assert warehouse.account(again)["new"] + warehouse.account(again)["changed"] == 4
    assert rebuild_changes_nothing(warehouse)
    edit(warehouse, "a", sample_value=9)

    change((CONTRACT, "default: md5('key of ' || feature)::uuid", KEY))
    assert "another than history knows" in warehouse.failure_of_build()
    assert rejudge(warehouse)
    assert {f: k for f, k in keys(warehouse).items() if f != "c"} == born
    assert values(warehouse)["a"] == "9"
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)


def test_staging_that_gives_another_key(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """The formula is the same, but what it is computed from is repaired in another way."""
    warehouse.load(row("A", 0), row("b", 1))
    warehouse.build()
    before = state(warehouse)
    change(
        (
            STAGING,
            "'metabolite_id': default_of('metabolites', 'metabolite_id'),",
            "'metabolite_id': 'md5(lower(feature))::uuid',",
        )
    )
    assert "metabolite_id of 1 rows is another" in warehouse.failure_of_build()
    assert state(warehouse) == before
    assert rejudge(warehouse)
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)


def test_row_that_was_judged_out_stays_out(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """Two rows that have one key under another formula contradict each other, at each build."""
    warehouse.load(row_at("a", 0, "1"), row_at("A", 1, "2"), row_at("c", 2, "1"))
    warehouse.build()
    change((CONTRACT, KEY, "default: md5(lower(feature))::uuid"))
    assert "another than history knows" in warehouse.failure_of_build()
    assert rejudge(warehouse)
    assert set(levels(warehouse)) == {"c"}
    change(
        (CONTRACT, "\n      - name: updated_at\n", NEW_COLUMN),
        (
            STAGING,
            "    ---------- notes\n    repairs\n",
            "    'first'::text as batch,\n    repairs\n",
        ),
    )
    warehouse.build()
    assert set(levels(warehouse)) == {"c"}
    assert rebuild_changes_nothing(warehouse)
