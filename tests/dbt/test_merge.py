"""How loads and edits become the state of a key (promises P2, P4, P5, P6)."""

import csv
import io
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import long
from tests.dbt.test_rules import INCHI
from tests.warehouse import HEADER, Warehouse

STATE = """
    select feature, method, id_inchi, cas_number, sample_value::text as value
    from curated.metabolites order by feature
"""
TABLE = """
    select to_jsonb(curated) - '_transaction_id' as row
    from curated.metabolites as curated order by metabolite_id
"""


def edit(warehouse: Warehouse, of: str, **changes: Any) -> None:
    """An edit as the API writes it: row and journal in one statement."""
    assignments = ", ".join(f"{column} = %({column})s" for column in changes)
    warehouse.connection.execute(
        f"""
        with written as (
            update curated.metabolites
            set {assignments}, updated_at = now(), updated_by = 'editor'
            where feature = %(key)s
            returning to_jsonb(old) as before, to_jsonb(new) as after, new.metabolite_id as key
        )
        insert into journal.edits (entity, key, operation, before, after, edited_by, edited_at)
        select 'metabolites', key::text, 'update', before, after, 'editor', now() from written
        """,
        {**changes, "key": of},
    )


def delete(warehouse: Warehouse, feature: str) -> None:
    warehouse.connection.execute(
        """
        with written as (
            delete from curated.metabolites where feature = %s
            returning to_jsonb(old) as before, old.metabolite_id as key
        )
        insert into journal.edits (entity, key, operation, before, edited_by, edited_at)
        select 'metabolites', key::text, 'delete', before, 'editor', now() from written
        """,
        [feature],
    )


def rebuild_changes_nothing(warehouse: Warehouse) -> bool:
    before = warehouse.query(TABLE)
    writers = "select xmin::text, metabolite_id from curated.metabolites order by 2"
    untouched = warehouse.query(writers)
    warehouse.build("--full-refresh")
    return warehouse.query(TABLE) == before and warehouse.query(writers) == untouched


def counts(warehouse: Warehouse, load_id: int) -> dict[str, int]:
    names = ("new", "changed", "unchanged", "superseded", "duplicates", "rejected")
    account = warehouse.account(load_id)
    return {name: account[name] for name in names if account[name]}


def row(feature: str, inchi: int, value: str = "1", method: str = "GC", cas: str = "") -> list[str]:
    return [feature, "1", INCHI[inchi] if inchi >= 0 else "", cas, method, value]


def test_a23_same_rows_again_are_unchanged(warehouse: Warehouse) -> None:
    """Rows sent again change nothing, in whatever order; an edit in between holds."""
    rows = [row("a", 0), row("b", 1), row("c", 2)]
    warehouse.load(*rows)
    warehouse.build()
    edit(warehouse, "b", sample_value=7)
    load_id = warehouse.load(*reversed(rows), name="again.csv")
    warehouse.build()
    assert counts(warehouse, load_id) == {"unchanged": 3}
    assert {r["feature"]: r["value"] for r in warehouse.query(STATE)} == {
        "a": "1",
        "b": "7",
        "c": "1",
    }
    assert rebuild_changes_nothing(warehouse)


def test_a23_other_bytes_of_the_same_rows_are_unchanged(warehouse: Warehouse) -> None:
    """Another order of columns, delimiter or line end: a load, and no row is touched."""
    rows = [row("a", 0), row("b", 1)]
    warehouse.load(*rows)
    warehouse.build()
    writers = "select xmin::text, metabolite_id from curated.metabolites order by 2"
    before = warehouse.query(writers)
    order = [5, 0, 4, 1, 3, 2]
    turned = [[line[n] for n in order] for line in (HEADER, *rows)]
    others = {
        "line ends": csv_of([HEADER, *rows]),
        "a blank line": csv_of([HEADER, *rows]) + "\n",
        "no last line end": csv_of([HEADER, *rows]).rstrip(),
        "order of columns": csv_of(turned),
        "delimiter": csv_of([HEADER, *rows], delimiter=";"),
    }
    loads = {}
    for name, content in others.items():
        path = warehouse.folder / f"{name}.csv"
        path.write_text(content)
        loads[name] = warehouse.load_file(path)
    warehouse.build()
    for name, load_id in loads.items():
        assert counts(warehouse, load_id) == {"unchanged": 2}, name
    assert warehouse.query(writers) == before


def csv_of(lines: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    return text.getvalue()


def test_a25_two_files_at_once_are_as_one_after_the_other(warehouse: Warehouse) -> None:
    """In the order of their clocks, whichever came first; a build runs meanwhile."""
    files = {
        "one.csv": [row("a", 0, "1"), row("b", 1, "1")],
        "two.csv": [row("a", 0, "2"), row("c", 2, "2")],
    }
    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(warehouse.load, *rows, name=name) for name, rows in files.items()]
        build = pool.submit(warehouse.build)
        for done in (*loads, build):
            done.result(60)
    warehouse.build()
    order = [found["file_name"] for found in warehouse.query(ORDER_OF_LOADS)]
    assert sorted(order) == sorted(files)
    expected = {line[0]: line[5] for name in order for line in files[name]}
    assert {r["feature"]: r["value"] for r in warehouse.query(STATE)} == expected
    assert rebuild_changes_nothing(warehouse)


ORDER_OF_LOADS = "select file_name from raw.loads where state = 'loaded' order by clock"


def test_last_change_wins(warehouse: Warehouse) -> None:
    """A row that the source changed after an edit takes the edit's place, and says who did it."""
    warehouse.load(row("a", 0))
    warehouse.build()
    edit(warehouse, "a", sample_value=7)
    load_id = warehouse.load(row("a", 0, "2"))
    warehouse.build()
    assert counts(warehouse, load_id) == {"changed": 1}
    assert warehouse.query("select sample_value::text, updated_by from curated.metabolites") == [
        {"sample_value": "2", "updated_by": f"load {load_id} row 2"}
    ]
    assert rebuild_changes_nothing(warehouse)


def test_row_older_than_an_edit_is_superseded(warehouse: Warehouse) -> None:
    """A load that was waiting while somebody edited the key does not undo the edit."""
    warehouse.load(row("a", 0))
    warehouse.build()
    waiting = warehouse.load(row("a", 0, "2"))
    edit(warehouse, "a", sample_value=7)
    warehouse.build()
    assert counts(warehouse, waiting) == {"superseded": 1}
    again = warehouse.load(row("a", 0, "2"), row("b", 1))
    warehouse.build()
    assert counts(warehouse, again) == {"unchanged": 1, "new": 1}
    assert warehouse.query(STATE)[0]["value"] == "7"
    assert rebuild_changes_nothing(warehouse)


def test_deleted_row_stays_deleted(warehouse: Warehouse) -> None:
    """Until the source sends something different for its key."""
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    delete(warehouse, "a")
    same = warehouse.load(row("a", 0), row("b", 1), row("c", 2))
    warehouse.build()
    assert counts(warehouse, same) == {"unchanged": 2, "new": 1}
    assert [r["feature"] for r in warehouse.query(STATE)] == ["b", "c"]
    assert rebuild_changes_nothing(warehouse)
    different = warehouse.load(row("a", 0, "9"))
    warehouse.build()
    assert counts(warehouse, different) == {"new": 1}
    assert rebuild_changes_nothing(warehouse)


def test_newcomer_that_contradicts_curated_is_rejected(warehouse: Warehouse) -> None:
    """Curated stands: links and identifiers do not change by a load, nor are they erased."""
    warehouse.load(row("a", 0), row("b", 1), row("c", 2, cas="56-86-0"))
    warehouse.build()
    load_id = warehouse.load(
        row("a", 0, method="LC"),
        row("b", 3),
        row("d", 1),
        row("e", -1, cas="56-86-0"),
    )
    warehouse.build()
    assert warehouse.rejected(load_id) == {
        2: ["one_method_per_feature"],
        3: ["one_identifier_per_feature"],
        4: ["one_feature_per_inchi"],
        5: ["one_feature_per_cas"],
    }
    assert counts(warehouse, load_id) == {"rejected": 4}
    assert rebuild_changes_nothing(warehouse)


def test_null_erases_nothing(warehouse: Warehouse) -> None:
    """A link that a later row leaves out is kept, and the row is accepted."""
    warehouse.load(row("c", 2, cas="56-86-0"))
    warehouse.build()
    load_id = warehouse.load(row("c", -1, "5", cas="56-86-0"))
    warehouse.build()
    assert counts(warehouse, load_id) == {"changed": 1}
    kept = warehouse.query(STATE)[0]
    assert (kept["value"], kept["id_inchi"]) == ("5", INCHI[2])
    assert rebuild_changes_nothing(warehouse)


def test_identifier_freed_by_the_same_load_is_taken(warehouse: Warehouse) -> None:
    """What another key holds is taken, so that the order of rows does not matter."""
    warehouse.load(row("a", 0, cas="56-86-0"))
    warehouse.build()
    edit(warehouse, "a", feature="renamed")
    load_id = warehouse.load(row("renamed", 0, cas="56-86-0"))
    warehouse.build()
    assert warehouse.rejected(load_id) == {
        2: ["one_feature_per_cas", "one_feature_per_inchi", "one_row_per_feature"]
    }
    assert rebuild_changes_nothing(warehouse)


def test_claim_of_what_curated_fills_in(warehouse: Warehouse) -> None:
    """Who claims the InChI of a row that leaves it out is wrong, and does not take it along."""
    warehouse.load(row("a", 0))
    warehouse.build()
    load_id = warehouse.load(row("b", 0), row("a", -1, "2", cas="74-82-8"), name="next.csv")
    warehouse.build()
    assert warehouse.rejected(load_id) == {2: ["one_feature_per_inchi"]}
    assert warehouse.query(STATE) == [
        {
            "feature": "a",
            "method": "GC",
            "id_inchi": INCHI[0],
            "cas_number": "74-82-8",
            "value": "2",
        }
    ]
    assert rebuild_changes_nothing(warehouse)


def test_pending_loads_are_taken_in_order(warehouse: Warehouse) -> None:
    """Several loads that wait are merged one after another, each with an account of its own."""
    first = warehouse.load(row("a", 0), name="1.csv")
    second = warehouse.load(row("a", 0, "2"), row("b", 0), name="2.csv")
    third = warehouse.load(row("a", 0, "2"), name="3.csv")
    warehouse.build()
    assert counts(warehouse, first) == {"new": 1}
    assert counts(warehouse, second) == {"rejected": 2}
    assert warehouse.rejected(second) == {
        2: ["one_feature_per_inchi"],
        3: ["one_feature_per_inchi"],
    }
    assert counts(warehouse, third) == {"changed": 1}
    assert rebuild_changes_nothing(warehouse)


def test_order_of_rows_does_not_matter(warehouse: Warehouse) -> None:
    """Shuffled, a file gives the same table and rejects the same features for the same reasons."""
    rows = [
        *(row(f"good-{n}", n) for n in range(5)),
        row("m", 6, method="GC"),
        row("m", 6, method="LC"),
        row("x", 7),
        row("y", 7),
        row("good-1", 1),
    ]
    outcomes = []
    for seed in range(2):
        random.Random(seed).shuffle(rows)
        load_id = warehouse.load(*rows, name=f"{seed}.csv")
        warehouse.build()
        rejected = {
            (rows[number - 2][0], *rules) for number, rules in warehouse.rejected(load_id).items()
        }
        outcomes.append((rejected, warehouse.query(STATE), warehouse.account(load_id)["rejected"]))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][2] == 4


def test_copies_of_a_rejected_row_are_rejected(warehouse: Warehouse) -> None:
    """A row that is there twice and contradicts curated is rejected twice, for good."""
    warehouse.load(row("a", 0))
    warehouse.build()
    load_id = warehouse.load(row("a", 0, "2", "LC"), row("a", 0, "2", "LC"), row("b", 1))
    warehouse.build()
    assert warehouse.rejected(load_id) == {
        2: ["one_method_per_feature"],
        3: ["one_method_per_feature"],
    }
    assert counts(warehouse, load_id) == {"new": 1, "rejected": 2}
    assert rebuild_changes_nothing(warehouse)


def test_copies_are_counted_once_however_many_rules_they_break(warehouse: Warehouse) -> None:
    """Each rule that speaks against the kept row speaks against its copy; it is one row."""
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    twice = row("a", 1, "2", "LC")
    load_id = warehouse.load(twice, twice, twice)
    warehouse.build()
    broken = ["one_feature_per_inchi", "one_identifier_per_feature", "one_method_per_feature"]
    assert warehouse.rejected(load_id) == dict.fromkeys((2, 3, 4), broken)
    assert counts(warehouse, load_id) == {"rejected": 3}
    assert rebuild_changes_nothing(warehouse)


def test_deleted_values_do_not_come_back(warehouse: Warehouse) -> None:
    """A deletion ends what was known of the key: a later row without a value has none."""
    warehouse.load(row("a", 0, cas="56-86-0"))
    warehouse.build()
    delete(warehouse, "a")
    warehouse.load(row("a", 0, "2"))
    warehouse.build()
    assert warehouse.query(STATE)[0]["cas_number"] is None
    assert rebuild_changes_nothing(warehouse)


def test_any_other_text_is_a_change(warehouse: Warehouse) -> None:
    """Whatever stands in a cell, rows that differ are told apart."""
    warehouse.load(["a", "1", "", "110-82-7", "M", "5"])
    warehouse.build()
    load_id = warehouse.load(["a", "1", "", "110-82-7", "M\x1fsample_data=1:5", ""])
    warehouse.build()
    assert counts(warehouse, load_id) == {"rejected": 1}


def test_missing_table_is_recomputed(warehouse: Warehouse) -> None:
    """A table that somebody dropped comes back with its edits, not empty."""
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.build()
    edit(warehouse, "a", sample_value=7)
    delete(warehouse, "b")
    before = warehouse.query(TABLE)
    warehouse.connection.execute("drop table curated.metabolites cascade")
    warehouse.build()
    assert warehouse.query(TABLE) == before


def test_account_that_does_not_add_up_fails_the_build(warehouse: Warehouse) -> None:
    """A row that gets lost between raw and curated stops the build, and nothing is published."""
    warehouse.build()
    warehouse.load(row("a", 0), row("b", 1))
    warehouse.connection.execute("delete from raw.laboratory__metabolites where _row_number = 3")
    with pytest.raises(pytest.fail.Exception, match="1 of its 2 rows would be left"):
        warehouse.build()
    assert warehouse.query(TABLE) == []


@pytest.mark.parametrize("seed", [0, 1, *long(2, 3)])
def test_rebuild_equals_history(warehouse: Warehouse, seed: int) -> None:
    """After random loads, edits, deletes and builds a full refresh changes no row (P5)."""
    choice = random.Random(seed)
    for step in range(12):
        action = choice.choice(["load", "load", "build", "edit", "delete"])
        feature = choice.choice("abcde")
        if action == "load":
            rows = [
                row(
                    choice.choice("abcde"),
                    choice.randrange(-1, 6),
                    choice.choice(["1", "2", "ND"]),
                    choice.choice(["GC", "GC", "LC"]),
                    choice.choice(["", "56-86-0", "74-82-8"]),
                )
                for _ in range(choice.randrange(1, 6))
            ]
            rows += choice.choices(rows, k=choice.randrange(2))
            warehouse.load(*rows, name=f"{step}.csv")
        elif action == "build":
            warehouse.build()
        elif warehouse.query("select to_regclass('curated.metabolites') as found")[0]["found"]:
            if action == "edit":
                edit(warehouse, feature, method=choice.choice(["GC", "LC", "MS"]))
            else:
                delete(warehouse, feature)
    warehouse.build()
    assert rebuild_changes_nothing(warehouse)
