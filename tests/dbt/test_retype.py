"""Columns whose type changes: read from raw by today's staging and from edits, or not at all."""

from typing import Any

import pytest

from tests.dbt.test_changes import (
    CONSTRAINTS,
    CONTRACT,
    STAGING,
    Change,
    change,  # noqa: F401  a fixture
)
from tests.dbt.test_merge import edit, rebuild_changes_nothing, row
from tests.dbt.test_reading import state
from tests.dbt.test_unload import rejudge, unload
from tests.warehouse import Warehouse

CHECK = """      - {{type: check, name: amount_right, expression: {}}}
      - {{type: unique, columns: [amount]}}
"""
TEXT = (
    """
      - name: amount
        description: How much.
        data_type: text
        constraints: [{type: not_null}]
        config: {meta: {title: Amount}}
      - name: updated_at
""",
    "        computed={\n            'amount': 'sample_value__given',\n",
    CHECK.format("length(amount) < 9"),
)
NUMBER = (
    TEXT[0].replace("data_type: text", "data_type: numeric"),
    "        computed={\n            'amount': to_number('sample_value__given'),\n",
    CHECK.format("amount >= 0"),
)
PLACES = (
    (CONTRACT, "\n      - name: updated_at\n"),
    (STAGING, "        computed={\n"),
    (CONTRACT, "      - type: check\n        name: identification_level_range\n"),
)
SEARCH = "        api: {path: metabolites}\n"
HISTORY = "select version, image from staging.metabolites__versions(%s) order by version"
AMOUNTS = """
    select feature, pg_typeof(amount)::text as data_type, amount::text
    from curated.metabolites order by feature
"""


def add(change: Change, texts: tuple[str, str, str]) -> None:  # noqa: F811
    (contract, columns), (staging, notes), (_, constraints) = PLACES
    change(
        (contract, columns, texts[0]),
        (staging, notes, texts[1]),
        (staging, "    ---------- notes\n", "    amount,\n"),
        (contract, constraints, texts[2] + constraints),
        (contract, SEARCH, SEARCH + "        search: [feature, amount]\n"),
    )


def retype(change: Change) -> None:  # noqa: F811
    change(
        (CONTRACT, TEXT[0], NUMBER[0]),
        (STAGING, TEXT[1], NUMBER[1]),
        (CONTRACT, TEXT[2], NUMBER[2]),
        (CONTRACT, "search: [feature, amount]", "search: [feature]"),
    )


def key_of(warehouse: Warehouse, feature: str) -> str:
    (found,) = warehouse.query(
        "select metabolite_id::text as key from curated.metabolites where feature = %s", feature
    )
    return str(found["key"])


def apply(warehouse: Warehouse, way: str) -> str:
    """Build or judge again; what went wrong."""
    if way == "rejudge":
        return "" if rejudge(warehouse) else "amount becomes numeric"
    return warehouse.failure_of_build(*([way] if way else []))


@pytest.mark.parametrize("way", ["", "--full-refresh", "rejudge"])
def test_text_becomes_a_number(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
    way: str,
) -> None:
    """Edits that are none are named by key, and nothing is half done.

    Then all is as the files and people say, in the table and in its history.
    """
    add(change, TEXT)
    warehouse.load(row("a", 0, "1.50"), row("b", 1, "2"), row("c", 2, "3"), row("d", 3, "4e0"))
    warehouse.build()
    edit(warehouse, "b", amount="7.5")
    edit(warehouse, "c", amount="plenty")
    key = key_of(warehouse, "c")
    before = state(warehouse)

    retype(change)
    # it makes the views what the files say
    failure = warehouse.failure_of_build() if way == "rejudge" else ""
    failure += apply(warehouse, way)
    assert "amount becomes numeric" in failure
    assert f"{key}: plenty" in failure
    assert key_of(warehouse, "a") not in failure
    assert state(warehouse) == before
    assert [v["image"]["amount"] for v in warehouse.query(HISTORY, key)] == ["3", "plenty"]
    assert not warehouse.operate("take_loads", source_table="laboratory.metabolites")

    edit(warehouse, "c", amount="8")
    assert apply(warehouse, way) == ""
    assert warehouse.query(AMOUNTS) == [
        {"feature": f, "data_type": "numeric", "amount": amount}
        for f, amount in (("a", "1.50"), ("b", "7.5"), ("c", "8"), ("d", "4"))
    ]
    images = [v["image"]["amount"] for v in warehouse.query(HISTORY, key)]
    assert images[:3] == [3, None, 8]
    names = {r["conname"].removeprefix("metabolites__") for r in warehouse.query(CONSTRAINTS)}
    assert {"amount_required", "amount_right", "amount_unique"} <= names
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)
    assert rejudge(warehouse)

    load_id = warehouse.load(row("a", 0, "6"), row("e", -1, "5", cas="56-86-0"), name="next.csv")
    warehouse.build()
    done = unload(warehouse, load_id)
    assert (done["deleted"], done["restored"]) == (1, 1)
    assert warehouse.query(AMOUNTS)[0]["amount"] == "1.50"
    assert rebuild_changes_nothing(warehouse)


def test_what_reads_the_column_is_named(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """A view of somebody's is not dropped behind his back."""
    add(change, TEXT)
    warehouse.load(row("a", 0))
    warehouse.build()
    warehouse.connection.execute(
        "create view curated.of_mine as select amount from curated.metabolites"
    )
    before: Any = state(warehouse)
    retype(change)
    assert "curated.of_mine is made from it" in warehouse.failure_of_build()
    assert state(warehouse) == before
    warehouse.connection.execute("drop view curated.of_mine")
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)


def test_key_of_another_type_is_refused(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    warehouse.load(row("a", 0))
    warehouse.build()
    before = state(warehouse)
    change((CONTRACT, "data_type: uuid", "data_type: text"))
    assert "another name" in warehouse.failure_of_build()
    assert state(warehouse) == before
