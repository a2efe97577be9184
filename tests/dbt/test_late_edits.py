"""Edits that drew their clock before a load did, and commit while it is being built."""

import threading
import time

import psycopg
import pytest

from tests.dbt.test_merge import rebuild_changes_nothing, row
from tests.dbt.test_rules import INCHI
from tests.dbt.test_unload import unload, values
from tests.warehouse import Warehouse

CAS = "56-86-0"
EDIT = """
    with written as (
        update curated.metabolites set {change}, updated_at = now(), updated_by = 'editor'
        where feature = 'a'
        returning
            to_jsonb(old) - '_transaction_id' as before,
            to_jsonb(new) - '_transaction_id' as after,
            new.metabolite_id as key
    )
    insert into journal.edits (entity, key, operation, before, after, edited_by, edited_at)
    select 'metabolites', key::text, 'update', before, after, 'editor', now() from written
"""
DELETE = """
    with written as (
        delete from curated.metabolites where feature = 'a'
        returning to_jsonb(old) - '_transaction_id' as before, old.metabolite_id as key
    )
    insert into journal.edits (entity, key, operation, before, edited_by, edited_at)
    select 'metabolites', key::text, 'delete', before, 'editor', now() from written
"""


@pytest.mark.parametrize(
    ("edit", "loaded", "expected"),
    [
        (EDIT.format(change=f"id_inchi = '{INCHI[1]}'"), row("a", -1, "2", cas=CAS), {"a": "2"}),
        (DELETE, row("a", 0, "2", cas=CAS), {"a": "2"}),
        (EDIT.format(change="id_inchi = null"), row("b", 0, "2"), {"a": "1", "b": "2"}),
        (EDIT.format(change=f"id_inchi = '{INCHI[1]}'"), row("b", 1, "2"), {"a": "1"}),
    ],
    ids=["fills in", "deletes", "frees", "takes"],
)
def test_late_edit(
    warehouse: Warehouse, edit: str, loaded: list[str], expected: dict[str, str]
) -> None:
    """A build judges by what it left, whenever it commits."""
    warehouse.load(row("a", 0, cas=CAS))
    warehouse.build()
    failures: list[str] = []
    with psycopg.connect(warehouse.url) as late:
        late.execute(edit)
        warehouse.load(loaded)
        build = threading.Thread(target=lambda: failures.append(warehouse.failure_of_build()))
        build.start()
        while build.is_alive() and not warehouse.query("select from pg_locks where not granted"):
            time.sleep(0.02)
        late.commit()
        build.join()
    assert failures == [""]
    assert values(warehouse) == expected
    assert rebuild_changes_nothing(warehouse)


def test_unload_takes_what_waits_first(warehouse: Warehouse) -> None:
    """So a corrected file that came before the bad one was taken back stands."""
    bad = warehouse.load(row("a", 0, "1"))
    warehouse.build()
    warehouse.load(row("a", 0, "2"), name="good.csv")
    assert warehouse.operate("unload", load_id=bad, user="clerk", after_pending=True)
    assert values(warehouse) == {"a": "2"}
    assert rebuild_changes_nothing(warehouse)
    assert unload(warehouse, warehouse.load(row("b", 1), name="waits.csv")) == {}
