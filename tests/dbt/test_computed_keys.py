"""What a key is computed from is a uniqueness, for files, people and PostgreSQL."""

from pathlib import Path

import psycopg
import pytest

from assay.catalog import Catalog, read_catalog
from tests.dbt.test_changes import (
    CONTRACT,
    Change,
    change,  # noqa: F401  a fixture
)
from tests.dbt.test_merge import edit, rebuild_changes_nothing, row
from tests.dbt.test_reading import KEY
from tests.warehouse import Warehouse

RULE = "metabolite_id_computed_unique"
CONSTRAINTS = """
    select conname from pg_constraint
    where conrelid = 'curated.metabolites'::regclass and conname like '%%computed%%'
"""


def test_what_a_rule_says_already_is_not_doubled(catalog: Catalog) -> None:
    """All datasets of the project declare it, in words of their own."""
    computed = [e for e in catalog.entities.values() if e.columns_by_name[e.key[0]].default]
    assert computed
    assert not [
        rule.name for e in computed for rule in e.rules if rule.name.endswith("_computed_unique")
    ]


@pytest.mark.parametrize(
    ("formula", "taken"),
    [
        ("md5(lower(feature))::uuid", {"feature": "A"}),
        (
            "md5(concat_ws(' ', method, sample_value))::uuid",
            {"method": "GC"},
        ),
        ("md5('method of ' || feature)::uuid", None),
    ],
)
def test_a_row_is_not_edited_into_another(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
    tmp_path: Path,
    formula: str,
    taken: dict[str, object] | None,
) -> None:
    """By the formula: letters that it does not tell apart, and what is null, make no new row.

    The last formula tells apart what `unique` of its column does, and that is no second rule.
    """
    change((CONTRACT, KEY, f'default: "{formula}"'))
    rules = read_catalog(tmp_path / "target" / "manifest.json").entities["metabolites"]
    found = rules.rule_of_constraint(f"metabolites__{RULE}")
    warehouse.load(row("a", 0, "NA", "GC"), row("b", 1, "NA", "LC"))
    warehouse.build()
    assert bool(warehouse.query(CONSTRAINTS)) == bool(found) == bool(taken)
    if taken:
        assert found
        assert "another row has the same" in found.message
        with pytest.raises(psycopg.errors.ExclusionViolation) as refused:
            edit(warehouse, "b", **taken)
        assert refused.value.diag.constraint_name == f"metabolites__{RULE}"
    edit(warehouse, "b", feature="x", method="XX")
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)


def test_a_file_does_not_take_the_place_of_a_renamed_row(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """The rule rejects the row, as one whose identifier is taken."""
    change((CONTRACT, KEY, "default: md5(lower(feature))::uuid"))
    warehouse.load(row("a", 0))
    warehouse.build()
    edit(warehouse, "a", feature="z")
    load_id = warehouse.load(row("Z", 1), row("y", 2), name="next.csv")
    warehouse.build()
    assert warehouse.rejected(load_id) == {2: [RULE]}
    assert rebuild_changes_nothing(warehouse)


def test_rows_that_break_it_stop_the_build(
    warehouse: Warehouse,
    change: Change,  # noqa: F811
) -> None:
    """Of a table that was built before the rule was known."""
    change((CONTRACT, KEY, "default: md5(lower(feature))::uuid"))
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    warehouse.connection.execute(
        f"alter table curated.metabolites drop constraint metabolites__{RULE}"
    )
    edit(warehouse, "b", feature="A")
    failure = warehouse.failure_of_build()
    assert RULE in failure
    assert '"feature": "A"' in failure
    edit(warehouse, "A", feature="b")
    warehouse.build()
    assert warehouse.query(CONSTRAINTS)
