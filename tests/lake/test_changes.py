"""What an export writes when the table, its contract or the lake itself has changed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from assay.catalog import Catalog
from assay.changes import FeedError
from assay.database import libpq_environment
from lake.catalog import LakeError, Progress
from lake.export import KEPT, export
from lake.query import NotBuiltError
from tests.api.conftest import column
from tests.lake import things
from tests.lake.conftest import Things


def declare(of: Things, **types: str | None) -> None:
    """A contract with other columns, and the table as a build makes it of that."""
    of.connection.execute("drop view staging.things__changes")
    for name, data_type in types.items():
        if data_type is None:
            continue  # a build leaves the column there
        if name in things.COLUMNS:
            change = f"alter {name} type {data_type} using {name}::text::{data_type}"
        else:
            change = f"add column {name} {data_type}"
        of.connection.execute(f"alter table curated.things {change}")
    of.connection.execute(things.VIEW)
    types = things.COLUMNS | types
    columns = tuple(column(name, t) for name, t in types.items() if t is not None)
    of.exporter.catalog = Catalog({"things": replace(things.ENTITY, columns=columns)}, {})


def check(of: Things, *gone: str) -> None:
    expected = of.rows()
    for row in expected:
        for name in gone:
            del row[name]
    assert of.state() == expected


@pytest.fixture
def exported(of_things: Things) -> Things:
    for number in range(5):
        things.put(of_things.connection, f"thing {number}", whole=number)
    of_things.exporter.export()
    return of_things


def test_nothing_changed(exported: Things) -> None:
    """Nothing is written, not even a snapshot."""
    before = exported.files()
    (account,) = exported.exporter.export()
    assert (account.is_whole, account.rows, account.deletions) == (False, 0, 0)
    assert exported.files() == before


def test_a_row_stands_once_for_all_its_changes(exported: Things) -> None:
    for number in range(3):
        things.put(exported.connection, "thing 1", whole=100 + number)
    things.remove(exported.connection, "thing 2")
    things.put(exported.connection, "thing 2", whole=200)
    things.remove(exported.connection, "thing 3")
    things.put(exported.connection, "thing 3", whole=300)
    things.remove(exported.connection, "thing 3")
    things.put(exported.connection, "in passing")
    things.remove(exported.connection, "in passing")
    (account,) = exported.exporter.export()
    assert (account.rows, account.deletions) == (4, 2)
    newest = exported.exporter.written("things")
    newest = newest.filter(newest["_clock"] == newest["_clock"].max())
    assert sorted(zip(newest["_operation"], newest["thing"], newest["whole"], strict=True)) == [
        ("delete", "in passing", None),
        ("delete", "thing 3", None),
        ("upsert", "thing 1", 102),
        ("upsert", "thing 2", 200),
    ]
    check(exported)


def test_a_transaction_that_is_still_running(exported: Things) -> None:
    """What it writes comes later, and so does what was written after it began; nothing is lost."""
    with psycopg.connect(exported.exporter.url) as slow:
        slow.execute("select pg_current_xact_id()")
        things.put(exported.connection, "thing 1", whole=100)
        # all rows, also those that are beyond the feed's end
        exported.exporter.export(compact=True)
        check(exported)
        things.put(slow, "thing 1", whole=50)
        things.remove(slow, "thing 2")
        slow.commit()
    exported.exporter.export()
    check(exported)
    assert exported.rows()[1]["whole"] == 50


def test_a_new_column(exported: Things) -> None:
    """Only what a build filled is written; else it is null."""
    declare(exported, hue="text")
    things.put(exported.connection, "thing 1", hue="red")
    (account,) = exported.exporter.export()
    assert (account.is_whole, account.rows) == (False, 1)
    check(exported)


def test_a_new_column_that_nothing_filled(exported: Things) -> None:
    declare(exported, hue="text")
    exported.exporter.export()
    check(exported)
    assert exported.exporter.export()[0].rows == 0


def test_another_type(exported: Things) -> None:
    """Also one that Iceberg cannot make of the old one."""
    for data_type in ("bigint", "text", "numeric(10, 1)"):
        declare(exported, whole=data_type)
        (account,) = exported.exporter.export()
        assert (account.is_whole, account.rows) == (True, 5)
        check(exported)


def test_a_column_that_goes_and_comes_back(exported: Things) -> None:
    """A build leaves it in the table, with the values that it had."""
    declare(exported, whole=None)
    assert exported.exporter.export()[0].is_whole
    check(exported, "whole")
    things.put(exported.connection, "thing 1", small=1)
    exported.exporter.export()
    check(exported, "whole")
    declare(exported)
    assert exported.exporter.export()[0].is_whole
    check(exported)


def test_other_words(exported: Things) -> None:
    """They change no row."""
    described = replace(
        things.ENTITY,
        description="One row per thing, or none.",
        columns=tuple(
            replace(c, description="Its name.") if c.name == "thing" else c
            for c in things.ENTITY.columns
        ),
    )
    exported.exporter.catalog = Catalog({"things": described}, {})
    assert exported.exporter.export()[0].rows == 0
    table = exported.exporter.table("things")
    assert table.properties["comment"] == "One row per thing, or none."
    assert table.schema().find_field("thing").doc == "Its name."
    assert len(table.metadata.snapshots) == 1


def test_compaction(exported: Things) -> None:
    """All rows, once, of which the deleted ones are gone; older snapshots can be read for a day."""
    things.put(exported.connection, "thing 1", whole=100)
    things.remove(exported.connection, "thing 2")
    exported.exporter.export()
    first, second = exported.exporter.table("things").metadata.snapshots
    (account,) = exported.exporter.export(compact=True)
    assert (account.is_whole, account.rows) == (True, 4)
    check(exported)
    assert exported.exporter.written("things")["thing"].n_unique() == 4
    table = exported.exporter.table("things")
    assert len(table.scan(snapshot_id=first.snapshot_id).to_arrow()) == 5
    assert len(table.scan(snapshot_id=second.snapshot_id).to_arrow()) == 7
    assert exported.exporter.export()[0].rows == 0, "it goes on from there"


def test_compaction_deletes_what_is_old(exported: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.export.KEPT", -KEPT)
    things.put(exported.connection, "thing 1", whole=100)
    exported.exporter.export()
    folder = Path(exported.exporter.table("things").location().removeprefix("file://"))
    (folder / "data" / "of-an-export-that-died.parquet").touch()
    exported.exporter.export(compact=True)
    check(exported)
    table = exported.exporter.table("things")
    assert len(table.metadata.snapshots) == 1
    assert exported.unneeded() == set()


def test_a_copy_of_the_database(exported: Things, create_database: Callable[..., str]) -> None:
    """It leaves the other's lake alone, and can have one of its own at the same place."""
    exported.connection.close()
    copy = create_database(libpq_environment(exported.exporter.url)["PGDATABASE"])
    with psycopg.connect(copy, autocommit=True, row_factory=dict_row) as connection:
        of_copy = Things(replace(exported.exporter, url=copy), connection)
        before = exported.files()
        with pytest.raises(LakeError, match="things: the lake is of another database"):
            of_copy.exporter.export()
        connection.execute("drop schema lake cascade")
        things.put(connection, "thing 9")
        (account,) = of_copy.exporter.export()
        assert (account.is_whole, account.rows) == (True, 6)
        of_copy.exporter.export(compact=True)
        check(of_copy)
    assert exported.files() == before
    assert len(exported.state()) == 5


def test_a_position_that_the_feed_does_not_know(exported: Things) -> None:
    """All rows are written, in the place of those there."""
    with exported.exporter.opened("things") as table:
        last = Progress.of(table)
        assert last
        beyond = replace(last, position=10**9).as_properties()
        with table.transaction() as transaction:
            transaction.update_snapshot(snapshot_properties=beyond).fast_append().commit()
    things.put(exported.connection, "thing 9")
    (account,) = exported.exporter.export()
    assert (account.is_whole, account.rows) == (True, 6)
    check(exported)


def test_a_build_that_rewrites_the_table(of_things: Things) -> None:
    """Such a change is not for older snapshots: an export waits for it before it takes its own."""
    things.put(of_things.connection, "thing", whole=1)
    waiting = "select from pg_locks where not granted"
    with ThreadPoolExecutor(1) as thread, psycopg.connect(of_things.exporter.url) as build:
        build.execute("alter table curated.things alter ratio type text")
        export = thread.submit(of_things.exporter.export)
        while not of_things.connection.execute(waiting).fetchall():
            assert not export.done()
        build.commit()
        assert export.result()[0].rows == 1


def test_rows_of_another_server(exported: Things) -> None:
    exported.connection.execute("update curated.things set _transaction_id = '99999999'")
    with pytest.raises(FeedError, match="made from a dump"):
        exported.exporter.export()


def test_a_lake_that_was_rolled_back(exported: Things) -> None:
    """How far it came is rolled back with it."""
    (first,) = exported.exporter.table("things").metadata.snapshots
    things.put(exported.connection, "thing 1", whole=100)
    things.remove(exported.connection, "thing 2")
    exported.exporter.export()
    with exported.exporter.opened("things") as table:
        table.manage_snapshots().rollback_to_snapshot(first.snapshot_id).commit()
    (account,) = exported.exporter.export()
    assert (account.is_whole, account.rows) == (False, 2)
    check(exported)


def test_a_table_that_another_program_wrote_to(exported: Things) -> None:
    """Its snapshot does not say how far exports came; the one before it does."""
    with (
        exported.exporter.opened("things") as table,
        table.transaction() as transaction,
        transaction.update_snapshot().fast_append(),
    ):
        pass
    things.put(exported.connection, "thing 1", whole=100)
    (account,) = exported.exporter.export()
    assert (account.is_whole, account.rows) == (False, 1)
    check(exported)


def test_a_table_that_is_not_built(exported: Things) -> None:
    entity = replace(things.ENTITY, columns=(*things.ENTITY.columns, column("hue", "text")))
    exported.exporter.catalog = Catalog({"things": entity}, {})
    with pytest.raises(NotBuiltError, match=r"things is not built .* `assay build`"):
        exported.exporter.export()
    other = replace(things.ENTITY, name="others", table="others")
    exported.exporter.catalog = Catalog({"others": other}, {})
    with pytest.raises(NotBuiltError, match="others is not built"):
        exported.exporter.export("others")


def test_a_lake_elsewhere(exported: Things) -> None:
    """Half here and half there would be no lake."""
    settings = exported.exporter.settings
    elsewhere = settings.model_copy(update={"lake_url": f"{settings.lake_url}/elsewhere"})
    exported.exporter.settings = elsewhere
    elsewhere.__dict__.pop("lake_location", None)
    with pytest.raises(LakeError, match=r"is at file://.*/lake, and LAKE_URL says .*/elsewhere"):
        exported.exporter.export()


def test_a_lake_whose_files_are_gone(exported: Things) -> None:
    for path in exported.files():
        path.unlink()
    with pytest.raises(LakeError, match=r"Files of the lake are gone: .* `drop schema lake"):
        exported.exporter.export()
    exported.connection.execute("drop schema lake cascade")
    exported.exporter.export()
    check(exported)


def test_two_exports_at_once(exported: Things) -> None:
    """They take turns: the second one goes."""
    exported.connection.execute("select pg_advisory_lock(hashtextextended('lake', 0))")
    of = exported.exporter
    assert export(of.settings, of.url, of.catalog, of.secret) is None


def test_samples_are_in_no_lake(of_things: Things) -> None:
    """Neither they nor that they are gone; what somebody changed of them is."""
    connection = of_things.connection
    connection.execute("""
        insert into raw.loads (
            load_id, source_table, file_name, sha256, row_count, state, clock, loaded_by,
            started_at, is_sample
        )
        select
            number, 'a.b', 'file', 'hash', 1, 'loaded', nextval('journal.clock'), 'test', now(),
            number = 7
        from unnest(array[7, 77]) as number
    """)
    writers = {"sample": "load 7 row 2", "real": "load 77 row 2", "of the api": "Sample"}
    for thing, writer in (writers | {"person": "load", "somebody": "sample"}).items():
        things.put(connection, thing, updated_by=writer)
    told = {"real", "person", "somebody"}
    of_things.exporter.export()
    assert {row["thing"] for row in of_things.state()} == told
    things.put(connection, "sample", updated_by="ann")
    things.put(connection, "another", updated_by="load 7 row 30")
    of_things.exporter.export()
    assert {row["thing"] for row in of_things.state()} == told | {"sample"}
    for thing in ("another", "real"):
        connection.execute(
            """
            with gone as (
                delete from curated.things where thing = %s returning to_jsonb(things) as before
            )
            insert into journal.edits (entity, key, operation, before, edited_by, edited_at)
            select 'things', %s, 'delete', before - '_transaction_id', 'Sample', now() from gone
            """,
            [thing, thing],
        )
        connection.execute(
            "insert into journal.vanished (entity, key) values ('things', %s)", [thing]
        )
    (account,) = of_things.exporter.export()
    assert (account.rows, account.deletions) == (1, 1)
    assert {row["thing"] for row in of_things.state()} == told - {"real"} | {"sample"}
    of_things.exporter.export(compact=True)
    assert {row["thing"] for row in of_things.state()} == told - {"real"} | {"sample"}
