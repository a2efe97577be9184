"""The feed of changes: nothing is missed, nothing comes twice."""

import asyncio
import base64
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg import RawCursor

from assay.changes import BEGINNING, page_of_changes
from loader.copy import load_file
from tests.api.conftest import Served
from tests.api.test_history import BOOKS, METABOLITES, created
from tests.conftest import ROOT
from tests.dbt.test_merge import row
from tests.dbt.test_rules import INCHI

pytestmark = pytest.mark.anyio

Row = dict[str, Any]

# What the API's readers see, without the column of the engine.
CURATED = """
select metabolite_id::text as key, to_jsonb(metabolites) - '_transaction_id' as row
from curated.metabolites
"""


async def page_of(client: httpx.AsyncClient, path: str = METABOLITES, **parameters: Any) -> Row:
    response = await client.get(f"{path}/changes", params=parameters)
    assert response.status_code == 200, response.text
    assert "_transaction_id" not in response.text
    page: Row = response.json()
    assert set(page) == {"items", "next", "more"}
    return page


async def changes_of(
    client: httpx.AsyncClient, path: str = METABOLITES, since: str = "", limit: int = 2
) -> tuple[list[Row], str]:
    """All that there is now, and the cursor to go on from."""
    items: list[Row] = []
    while True:
        page = await page_of(client, path, since=since, limit=limit)
        items += page["items"]
        since = page["next"]
        assert len(page["items"]) == limit or not page["more"]
        if not page["more"]:
            return items, since


def replayed(items: list[Row], copy: dict[str, Row] | None = None) -> dict[str, Row]:
    """A copy of a table after these changes."""
    copy = {} if copy is None else copy
    for item in items:
        if item["operation"] == "delete":
            assert item["row"] is None
            copy.pop(item["key"], None)
        else:
            copy[item["key"]] = item["row"]
    return copy


def table(served: Served) -> dict[str, Row]:
    return {r["key"]: r["row"] for r in served.warehouse.query(CURATED)}


async def test_a_copy_follows_the_table(served: Served) -> None:
    """Loads, edits, deletions, rebuilds: each run of pages brings what changed since the last."""
    warehouse, editor = served.warehouse, served.editor
    assert (await changes_of(served.reader))[0] == []
    warehouse.load(*(row(f"f{n}", n) for n in range(5)))
    warehouse.build()
    items, since = await changes_of(served.reader)
    assert [i["operation"] for i in items] == 5 * ["upsert"]
    copy = replayed(items)
    assert copy == table(served)
    assert (await changes_of(served.reader, since=since)) == ([], since)

    keys = {r["feature"]: key for key, r in copy.items()}
    await editor.patch(f"{METABOLITES}/{keys['f0']}", json={"method": "LC"})
    await editor.patch(f"{METABOLITES}/{keys['f0']}", json={"method": "MS"})
    await editor.delete(f"{METABOLITES}/{keys['f1']}")
    await editor.delete(f"{METABOLITES}/{keys['f2']}")
    again = {"feature": "f2", "id_inchi": copy[keys["f2"]]["id_inchi"], "method": "GC"}
    await editor.post(METABOLITES, json=again)
    items, since = await changes_of(served.reader, since=since)
    assert [(i["operation"], i["key"]) for i in items] == [
        ("upsert", keys["f0"]),
        ("delete", keys["f1"]),
        ("upsert", keys["f2"]),
    ]
    assert replayed(items, copy) == table(served)

    warehouse.build("--full-refresh")
    assert (await changes_of(served.reader, since=since))[0] == []


async def test_a_row_that_a_rebuild_takes_away_is_a_deletion(served: Served) -> None:
    """As when staging's SQL gives another key to what was loaded."""
    served.warehouse.load(row("a", 0), row("b", 1))
    served.warehouse.build()
    items, since = await changes_of(served.reader)
    served.warehouse.query(
        "update raw.laboratory__metabolites set features = 'c' where features = 'b' returning 1"
    )
    served.warehouse.build("--full-refresh")
    later, _ = await changes_of(served.reader, since=since)
    assert sorted(i["operation"] for i in later) == ["delete", "upsert"]
    assert replayed(later, replayed(items)) == table(served)


async def test_another_key_is_another_row(served: Served) -> None:
    url = await created(served.editor, BOOKS, isbn="1", title="Emma")
    _, since = await changes_of(served.reader, BOOKS)
    await served.editor.patch(url, json={"isbn": "0"})
    items, _ = await changes_of(served.reader, BOOKS, since)
    assert [(i["key"], i["operation"]) for i in items] == [("0", "upsert"), ("1", "delete")]
    assert items[0]["row"] == (await served.reader.get(f"{BOOKS}/0")).json()


async def test_keys_are_ordered_by_their_bytes(served: Served) -> None:
    """All of one load have one transaction; pages of one row go through them."""
    path = served.warehouse.folder / "books.csv"
    keys = ["", "A", "B", "a", "é", "10", "9", "-"]
    path.write_text("isbn,title,pages\n" + "".join(f"{k},T{k},1\n" for k in keys))
    sources = served.warehouse.catalog.source_tables
    load_file(served.warehouse.url, sources["library.books"], path, loaded_by="test")
    served.warehouse.build()
    items, _ = await changes_of(served.reader, BOOKS, limit=1)
    assert [i["key"] for i in items] == sorted(keys[1:], key=str.encode)


async def test_a_transaction_under_way_comes_later(served: Served) -> None:
    """And what came after it with it: a cursor never runs past it."""
    await created(served.editor, BOOKS, isbn="1", title="Emma")
    with psycopg.connect(served.warehouse.url) as other:
        other.execute(
            "insert into curated.books values ('2', 'Dune', 1, clock_timestamp(), 'other')"
        )
        await created(served.editor, BOOKS, isbn="3", title="Ulysses")
        items, since = await changes_of(served.reader, BOOKS)
        assert [i["key"] for i in items] == ["1"]
        assert (await changes_of(served.reader, BOOKS, since)) == ([], since)
    items, _ = await changes_of(served.reader, BOOKS, since)
    assert [i["key"] for i in items] == ["2", "3"]


async def test_a_run_of_pages_comes_to_an_end(served: Served) -> None:
    """What is written meanwhile is for the next one, also of rows that were to come."""
    for n in range(4):
        await created(served.editor, BOOKS, isbn=str(n), title=str(n))
    page = await page_of(served.reader, BOOKS, limit=2)
    assert ([i["key"] for i in page["items"]], page["more"]) == (["0", "1"], True)
    for n in ("0", "3", "new"):
        await served.editor.delete(f"{BOOKS}/{n}")
        await created(served.editor, BOOKS, isbn=n, title=n)
    page = await page_of(served.reader, BOOKS, limit=2, since=page["next"])
    assert ([i["key"] for i in page["items"]], page["more"]) == (["2"], False)
    page = await page_of(served.reader, BOOKS, limit=200, since=page["next"])
    assert ([i["key"] for i in page["items"]], page["more"]) == (["0", "3", "new"], False)


def cursor_of(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("1", "a"),
        (1, "a", None),
        ("1", None, None),
        ("-1", "a", None),
        ("1 ", "a", None),
        ("٣", "a", None),
        ("1", "a", 1),
        ("1" * 20, "a", None),
        ("1", "a", "b"),
        ("1", "a", None, None),
    ],
)
async def test_a_wrong_cursor_is_422(reader: httpx.AsyncClient, values: tuple[Any, ...]) -> None:
    response = await reader.get("/api/v1/gems/changes", params={"since": cursor_of(*values)})
    assert response.status_code == 422
    assert [e["parameter"] for e in response.json()["errors"]] == ["since"]


@pytest.mark.parametrize("query", ["cursor=", "limit=0", "limit=10001", "since=&since=", "since=x"])
async def test_a_wrong_parameter_is_422(reader: httpx.AsyncClient, query: str) -> None:
    assert (await reader.get(f"/api/v1/gems/changes?{query}")).status_code == 422


async def test_a_cursor_cannot_reach_what_is_under_way(served: Served) -> None:
    """Whatever somebody writes into it."""
    with psycopg.connect(served.warehouse.url) as other:
        other.execute("select pg_current_xact_id()")
        await created(served.editor, BOOKS, isbn="1", title="Emma")
        forged = cursor_of("0", "", "9" * 18)
        assert (await page_of(served.reader, BOOKS, since=forged))["items"] == []


async def test_a_cursor_of_another_database_is_422(served: Served) -> None:
    """A database that was restored from a dump counts its transactions anew."""
    response = await served.reader.get(
        f"{BOOKS}/changes", params={"since": cursor_of("9" * 15, "", None)}
    )
    assert response.status_code == 422
    assert "begin anew" in response.json()["detail"]


async def test_a_database_from_a_dump_says_so_until_it_is_mended(served: Served) -> None:
    """Its rows carry transactions that here are still to come: they would never be delivered."""
    for n in range(3):
        await created(served.editor, BOOKS, isbn=str(n), title=str(n))
    served.warehouse.query("update curated.books set _transaction_id = '999999999' returning 1")
    response = await served.reader.get(f"{BOOKS}/changes")
    assert (response.status_code, "docs/operations.md" in response.text) == (503, True)
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition("## A database from a dump")[2]
    remedy = section.partition("```sql\n")[2].partition("```")[0]
    served.warehouse.connection.execute(remedy.replace("<table>", "books").encode())
    assert len((await page_of(served.reader, BOOKS))["items"]) == 3


async def test_psycopg_runs_the_same_text(served: Served) -> None:
    """For what is no client of the API: its cursor is the parameters of the next page."""
    for n in range(5):
        await created(served.editor, BOOKS, isbn=str(n), title=str(n))
    expected, _ = await changes_of(served.reader, BOOKS)
    statement = page_of_changes(served.warehouse.catalog.entities["books"]).encode()
    seen: list[Row] = []
    position, more = BEGINNING, True
    with psycopg.connect(served.warehouse.url) as connection:
        while more:
            answer = RawCursor(connection).execute(statement, [2, *position]).fetchone()
            assert answer
            items, following, more, is_known, is_whole = answer
            seen += json.loads(items)
            position = tuple(json.loads(following))
            assert is_known
            assert is_whole
    assert [i["key"] for i in seen] == [i["key"] for i in expected] == list("01234")


SECONDS = 8
KINDS = ("build", "unload", "full refresh")
FEATURES = [f"f{n}" for n in range(len(INCHI))]
# The same text, that also says which transaction a change is of.
EXPOSED = ("'key', key,", "'key', key, 'transaction', transaction_id::text,")


LATE = """
with written as (
    insert into curated.books (isbn, title, page_count, updated_at, updated_by)
    values (%(isbn)s, %(isbn)s, 1, clock_timestamp(), 'late')
    returning isbn, updated_at, to_jsonb(new) - '_transaction_id' as after
)
insert into journal.edits (entity, key, operation, after, edited_by, edited_at)
select 'books', isbn, 'insert', after, 'late', updated_at from written
"""


def key_of(feature: str) -> str:
    return str(UUID(md5(feature.encode(), usedforsecurity=False).hexdigest()))


def file_row(feature: str, value: int) -> list[str]:
    """As files have it; the identifiers are the feature's own."""
    return row(feature, FEATURES.index(feature), str(value))


@dataclass
class Storm:
    """Writers, builds and readers at once, until it is over."""

    served: Served
    dice: random.Random
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    has_built_all: asyncio.Event = field(default_factory=asyncio.Event)
    """No new work begins."""
    is_done: asyncio.Event = field(default_factory=asyncio.Event)
    """All work is committed."""
    marks: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    statuses: Counter[int] = field(default_factory=Counter)
    built: Counter[str] = field(default_factory=Counter)

    async def write(self) -> None:
        """Edits of few rows, each with a value that no other has."""
        editor = self.served.editor
        while not self.is_over.is_set():
            feature, mark = self.dice.choice(FEATURES), next(self.marks)
            url = f"{METABOLITES}/{key_of(feature)}"
            document = {
                "feature": feature,
                "id_inchi": INCHI[FEATURES.index(feature)],
                "method": "GC",
                "sample_value": mark,
            }
            method = self.dice.choice(["POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "revert"])
            if method == "revert":
                versions = (await editor.get(f"{url}/history")).json().get("items", [])
                version = self.dice.choice(versions)["version"] if versions else 0
                response = await editor.post(f"{url}/revert", json={"version": version})
            elif method == "DELETE":
                response = await editor.delete(url)
            else:
                value = {"sample_value": mark, "sample_status": "measured"}
                response = await editor.request(
                    method,
                    METABOLITES if method == "POST" else url,
                    json=value if method == "PATCH" else document,
                )
            self.statuses[response.status_code] += 1
            await asyncio.sleep(self.dice.uniform(0, 0.05))

    async def wait_long(self) -> None:
        """Transactions that write and commit late; the last one when all else is over."""
        while not self.is_over.is_set():
            async with await psycopg.AsyncConnection.connect(self.served.warehouse.url) as late:
                mark = next(self.marks)
                await late.execute(LATE, {"isbn": str(mark)})
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.is_over.wait(), self.dice.uniform(0.5, 2))

    async def build(self) -> None:
        """Loads, builds, full refreshes and unloads, one after another."""
        while not self.is_over.is_set():
            await asyncio.to_thread(self._build)
            if len(self.built) == len(KINDS):
                self.has_built_all.set()

    def _build(self) -> None:
        warehouse = self.served.warehouse
        rows = [file_row(f, next(self.marks)) for f in self.dice.sample(FEATURES, 5)]
        load_id = warehouse.load(*rows, name=f"{next(self.marks)}.csv")
        warehouse.build()
        self.built["build"] += 1
        if self.built["build"] % 2:
            assert warehouse.operate("unload", load_id=load_id, user="clerk")
            self.built["unload"] += 1
        else:
            warehouse.build("--full-refresh")
            self.built["full refresh"] += 1


@dataclass
class Reader:
    """Follows the feed with pages of few rows and pauses; what it was given, and when."""

    dice: random.Random
    deliveries: list[tuple[datetime, Row]] = field(default_factory=list)
    since: str = ""

    async def read(self, storm: Storm) -> None:
        is_last = False
        while not is_last:
            is_last = storm.is_done.is_set()
            more = True
            while more:
                items, more = await self.page(storm.served, self.dice.randint(1, 5))
                now = datetime.now(UTC)
                self.deliveries += [(now, item) for item in items]
                await asyncio.sleep(0 if is_last else self.dice.uniform(0, 0.1))

    async def page(self, served: Served, limit: int) -> tuple[list[Row], bool]:
        page = await page_of(served.reader, since=self.since, limit=limit)
        self.since = page["next"]
        return page["items"], page["more"]


@dataclass
class ExposedReader(Reader):
    """One that is no client of the API."""

    position: tuple[Any, ...] = BEGINNING

    async def page(self, served: Served, limit: int) -> tuple[list[Row], bool]:
        return await asyncio.to_thread(self._page, served, limit)

    def _page(self, served: Served, limit: int) -> tuple[list[Row], bool]:
        text = page_of_changes(served.warehouse.catalog.entities["metabolites"])
        assert EXPOSED[0] in text
        with psycopg.connect(served.warehouse.url) as connection:
            cursor = RawCursor(connection)
            cursor.execute(text.replace(*EXPOSED).encode(), [limit, *self.position])
            answer = cursor.fetchone()
        assert answer
        items, following, more, *_ = answer
        self.position = tuple(json.loads(following))
        return json.loads(items), more


async def test_no_reader_misses_or_repeats_a_change(served: Served) -> None:
    """Under concurrent writers, builds, full refreshes, unloads and a transaction that is late."""
    served.warehouse.load(*(file_row(f, 0) for f in FEATURES))
    served.warehouse.build()
    storm = Storm(served, random.Random(7))
    exposed = ExposedReader(random.Random(0))
    readers = [exposed, *(Reader(random.Random(n)) for n in (1, 2))]
    workers = [storm.write(), storm.write(), storm.write(), storm.wait_long(), storm.build()]
    async with asyncio.TaskGroup() as tasks:
        books = tasks.create_task(follow_books(storm))
        for reader in readers:
            tasks.create_task(reader.read(storm))
        working = [tasks.create_task(worker) for worker in workers]
        await asyncio.sleep(SECONDS)
        # on a slow machine
        await storm.has_built_all.wait()
        while storm.statuses[200] <= 20:  # noqa: ASYNC110 - many events
            await asyncio.sleep(0.1)
        storm.is_over.set()
        await asyncio.wait(working)
        storm.is_done.set()
    assert set(storm.statuses) <= {200, 201, 204, 404, 409, 422, 503}, storm.statuses

    edits = served.warehouse.query("""
        select key, max(edited_at) as at from journal.edits
        where entity = 'metabolites' group by key
    """)
    curated = table(served)
    for reader in readers:
        copy = replayed([item for _, item in reader.deliveries])
        assert copy == curated
        last = {item["key"]: at for at, item in reader.deliveries}
        assert [e for e in edits if last[e["key"]] < e["at"]] == []
    changes = [(i["transaction"], i["key"]) for _, i in exposed.deliveries]
    assert len(changes) == len(set(changes)) > len(FEATURES)
    for reader in readers:
        for key in curated:
            rows = [i["row"] for _, i in reader.deliveries if i["key"] == key]
            assert all(a != b or a is None for a, b in pairwise(rows))
    assert books.result() == {
        r["isbn"] for r in served.warehouse.query("select isbn from curated.books")
    }


async def follow_books(storm: Storm) -> set[str]:
    """The rows that the late transactions brought."""
    since, copy = "", dict[str, Row]()
    is_last = False
    while not is_last:
        is_last = storm.is_done.is_set()
        items, since = await changes_of(storm.served.reader, BOOKS, since)
        assert not {i["key"] for i in items} & set(copy), "delivered twice"
        replayed(items, copy)
        await asyncio.sleep(0.05)
    return set(copy)
