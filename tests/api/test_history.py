"""Versions of a row, the row as it was, and the way back."""

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from assay.catalog import Catalog
from loader.copy import load_file
from tests.api.conftest import Datasets, Served, client_of
from tests.dbt.test_merge import rebuild_changes_nothing, row
from tests.dbt.test_rules import INCHI

pytestmark = pytest.mark.anyio

Row = dict[str, Any]

METABOLITES = "/api/v1/metabolites"
BOOKS = "/api/v1/books"
ACETONE = {"feature": "acetone", "id_inchi": INCHI[0], "method": "GC"}


async def created(editor: httpx.AsyncClient, path: str = METABOLITES, **document: Any) -> str:
    """A new row's URL."""
    response = await editor.post(path, json=document)
    assert response.status_code == 201, response.text
    return response.headers["location"]


async def history_of(client: httpx.AsyncClient, url: str) -> list[Row]:
    response = await client.get(f"{url}/history")
    assert response.status_code == 200, response.text
    items: list[Row] = response.json()["items"]
    return items


async def url_of(client: httpx.AsyncClient, feature: str) -> str:
    items = (await client.get(METABOLITES)).json()["items"]
    return next(f"{METABOLITES}/{i['metabolite_id']}" for i in items if i["feature"] == feature)


async def lived(served: Served) -> tuple[str, list[Row | None]]:
    """A row with a life of six events, and what a plain read gave after each."""
    warehouse, editor = served.warehouse, served.editor
    states: list[Row | None] = []
    warehouse.load(row("a", 0, cas="56-86-00"))
    warehouse.build()
    url = await url_of(editor, "a")

    async def look() -> None:
        response = await editor.get(url)
        states.append(response.json() if response.status_code == 200 else None)

    await look()
    await editor.patch(url, content=b'{"sample_value": 1.50}', headers=JSON)
    await look()
    warehouse.load(row("a", 0, "7"))
    warehouse.build()
    await look()
    await editor.delete(url)
    await look()
    await editor.post(METABOLITES, json={"feature": "a", "cas_number": "56-86-0", "method": "LC"})
    await look()
    await editor.put(url, json={"feature": "renamed", "cas_number": "56-86-0", "method": "LC"})
    await look()
    return url, states


JSON = {"Content-Type": "application/json"}


async def test_every_event_is_a_version(served: Served) -> None:
    """What loads and edits left of a row is what readers saw then."""
    url, states = await lived(served)
    response = await served.reader.get(f"{url}/history")
    assert response.json()["next"] is None
    versions = response.json()["items"][::-1]
    assert [list(v) for v in versions] == 6 * [
        ["version", "operation", "at", "by", "cause", "before", "after"]
    ]
    assert [v["operation"] for v in versions] == [
        "insert",
        "update",
        "update",
        "delete",
        "insert",
        "update",
    ]
    assert [v["after"] for v in versions] == states
    assert [v["before"] for v in versions] == [None, *states[:-1]]
    assert [v["by"] for v in versions] == [
        "load 1 row 2",
        "editor",
        "load 2 row 2",
        *3 * ["editor"],
    ]
    assert {v["cause"] for v in versions} == {None}
    assert [v["at"] for v in versions if v["after"]] == [s["updated_at"] for s in states if s]
    assert all(a["version"] < b["version"] for a, b in pairwise(versions))
    assert '"sample_value":1.50,' in response.text
    assert "_transaction_id" not in response.text


async def test_a_row_as_it_was(served: Served) -> None:
    """At and after the time of each version, to the microsecond, in the bytes of a plain read."""
    url, states = await lived(served)
    now = (await served.reader.get(url)).content
    versions = (await history_of(served.reader, url))[::-1]
    times = [datetime.fromisoformat(v["at"]) for v in versions]
    assert times == sorted(times)
    moment = timedelta(microseconds=1)
    asked = [times[0] - moment]
    asked += [t for pair in zip(times, [t - moment for t in times[1:]], strict=False) for t in pair]
    asked += [times[-1], times[-1] + timedelta(days=10_000)]
    expected = [None, *(s for state in states[:-1] for s in (state, state)), *2 * [states[-1]]]
    for time, state in zip(asked, expected, strict=True):
        response = await served.reader.get(url, params={"as_of": time.isoformat()})
        assert response.status_code == (200 if state else 404), time
        assert not state or response.json() == state
    later = await served.reader.get(url, params={"as_of": "9999-12-31T23:59:59Z"})
    assert later.content == now


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "31/01/2026",
        "2026-01-31T12:00:00 01:00",
        "2026-02-30T12:00:00Z",
        "1700000000",
        "2026-01-31T12:00:00+24:00",
        "infinity",
    ],
)
async def test_a_time_that_is_none_is_422_and_explained(
    reader: httpx.AsyncClient, text: str
) -> None:
    response = await reader.get(f"/api/v1/gems/{uuid4()}", params={"as_of": text})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["parameter"] == "as_of"
    assert "an instant, such as 2026-01-31T12:00:00Z" in error["detail"]


async def test_pages_of_versions(served: Served) -> None:
    url, _ = await lived(served)
    versions = await history_of(served.reader, url)
    seen: list[Row] = []
    cursor: str | None = ""
    while cursor is not None:
        parameters = {"limit": 4, "cursor": cursor}
        page = (await served.reader.get(f"{url}/history", params=parameters)).json()
        seen += page["items"]
        cursor = page["next"]
    assert seen == versions
    for query in ("limit=0", "cursor=x", "cursor=WyJhIl0", "cursor=WzEsMl0", "as_of=x"):
        assert (await served.reader.get(f"{url}/history?{query}")).status_code == 422


async def test_a_key_that_never_was_has_no_history(served: Served) -> None:
    for path in (f"{METABOLITES}/{uuid4()}", f"{BOOKS}/x"):
        assert (await served.reader.get(f"{path}/history")).status_code == 404
        assert (await served.editor.post(f"{path}/revert", json={"version": 1})).status_code == 404
        at = {"as_of": "2999-01-01T00:00:00Z"}
        assert (await served.reader.get(path, params=at)).status_code == 404


async def test_a_deletion_of_nothing_is_no_version(served: Served) -> None:
    url = await created(served.editor, **ACETONE)
    await served.editor.delete(url)
    again = """
        insert into journal.edits (entity, key, operation, before, edited_by, edited_at)
        select entity, {}, 'delete', before, 'nobody', clock_timestamp()
        from journal.edits where operation = 'delete'
    """
    served.warehouse.query(again.format("key") + "returning 1")
    served.warehouse.query(again.format("gen_random_uuid()") + "limit 1 returning key")
    versions = await history_of(served.reader, url)
    assert [(v["operation"], v["by"]) for v in versions] == [
        ("delete", "editor"),
        ("insert", "editor"),
    ]
    never = served.warehouse.query("select key from journal.edits order by clock desc limit 1")
    path = f"{METABOLITES}/{never[0]['key']}/history"
    assert (await served.reader.get(path)).status_code == 404


async def test_events_of_the_engine_say_why(served: Served) -> None:
    """An unload is an edit like others, with a cause."""
    served.warehouse.load(row("a", 0))
    served.warehouse.build()
    url = await url_of(served.reader, "a")
    load_id = served.warehouse.load(row("a", 0, "2"))
    served.warehouse.build()
    assert served.warehouse.operate("unload", load_id=load_id, user="clerk")
    newest = (await history_of(served.reader, url))[0]
    assert (newest["operation"], newest["by"]) == ("update", "clerk")
    assert newest["cause"] == f"unload {load_id}"
    assert (newest["before"]["sample_value"], newest["after"]["sample_value"]) == (2, 1)


def content(state: Row | None) -> Row:
    assert state
    return {n: v for n, v in state.items() if n not in ("updated_at", "updated_by", "warnings")}


async def test_a_row_becomes_what_it_was(served: Served) -> None:
    """All its columns, also those that nobody may write, by an edit that history has too."""
    url, states = await lived(served)
    repaired = states[0]
    assert repaired
    assert repaired["repairs"]
    versions = (await history_of(served.reader, url))[::-1]
    response = await served.editor.post(f"{url}/revert", json={"version": versions[0]["version"]})
    assert response.status_code == 200, response.text
    assert response.json()["warnings"] == []
    assert content(response.json()) == content(repaired)
    assert response.json()["updated_by"] == "editor"
    assert response.json()["updated_at"] > versions[-1]["at"]
    now = (await served.reader.get(url)).json()
    assert {**now, "warnings": []} == response.json()
    newest = (await history_of(served.reader, url))[0]
    cause = f"revert to {versions[0]['version']}"
    assert (newest["operation"], newest["cause"]) == ("update", cause)
    assert (newest["before"], newest["after"]) == (states[-1], now)
    assert len(await history_of(served.reader, url)) == 7
    assert rebuild_changes_nothing(served.warehouse)


async def test_a_deleted_row_comes_back_under_its_key(served: Served) -> None:
    url = await created(served.editor, BOOKS, isbn="1", title="Emma", page_count=474)
    was = (await served.reader.get(url)).json()
    await served.editor.delete(url)
    deletion, insert = await history_of(served.reader, url)
    response = await served.editor.post(f"{url}/revert", json={"version": insert["version"]})
    assert response.status_code == 200
    assert content((await served.reader.get(url)).json()) == content(was)
    assert [v["operation"] for v in await history_of(served.reader, url)] == [
        "insert",
        "delete",
        "insert",
    ]

    refused = await served.editor.post(f"{url}/revert", json={"version": deletion["version"]})
    assert refused.status_code == 422
    assert "DELETE the row instead" in refused.json()["detail"]
    assert refused.json()["errors"][0]["pointer"] == "#/version"


async def test_a_version_is_of_one_key(served: Served) -> None:
    """That of another key, or of no event, is not found."""
    urls = [await created(served.editor, BOOKS, isbn=n, title=n) for n in ("1", "2")]
    other = (await history_of(served.reader, urls[1]))[0]["version"]
    for version in (other, 0, -1, 2**63 - 1):
        response = await served.editor.post(f"{urls[0]}/revert", json={"version": version})
        assert response.status_code == 404
    assert len(await history_of(served.reader, urls[0])) == 1


async def test_todays_rules_hold_for_a_revert(served: Served) -> None:
    """An identifier that another row has meanwhile stays with it, and nothing is written."""
    url = await created(served.editor, BOOKS, isbn="1", title="Emma")
    await served.editor.patch(url, json={"title": "Persuasion"})
    await created(served.editor, BOOKS, isbn="2", title="Emma")
    first = (await history_of(served.reader, url))[-1]["version"]
    response = await served.editor.post(f"{url}/revert", json={"version": first})
    assert response.status_code == 409
    assert response.json()["errors"][0]["rule"] == "one_book_per_title"
    await served.editor.delete(url)
    assert (await served.editor.post(f"{url}/revert", json={"version": first})).status_code == 409
    assert len(await history_of(served.reader, url)) == 3


async def test_a_warning_is_given_again(served: Served) -> None:
    url = await created(served.editor, **ACETONE | {"feature": "acetone (pure)"})
    version = (await history_of(served.reader, url))[0]["version"]
    response = await served.editor.post(f"{url}/revert", json={"version": version})
    assert [w["name"] for w in response.json()["warnings"]] == ["feature_plain"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"{}", {"#/version"}),
        (b'{"version": "1"}', {"#/version"}),
        (b'{"version": 1.5}', {"#/version"}),
        (b'{"version": true}', {"#/version"}),
        (b'{"version": null}', {"#/version"}),
        (b'{"version": 9223372036854775808}', {"#/version"}),
        (b'{"version": 1, "label": "x"}', {"#/label"}),
        (b'{"label": "x"}', {"#/version", "#/label"}),
        (b"[1]", {"#"}),
        (b"", {"#"}),
    ],
)
async def test_a_wrong_body_is_422_and_named(
    editor: httpx.AsyncClient, body: bytes, pointers: set[str]
) -> None:
    url = f"/api/v1/gems/{uuid4()}/revert"
    response = await editor.post(url, content=body, headers=JSON)
    assert response.status_code == 422
    assert {error["pointer"] for error in response.json()["errors"]} == pointers


async def test_who_may(served: Served) -> None:
    """Readers read; to write takes an editor, and anything takes a token."""
    url = await created(served.editor, **ACETONE)
    version = (await history_of(served.reader, url))[0]["version"]
    requests: list[tuple[str, str, Any]] = [
        ("GET", f"{METABOLITES}/changes", None),
        ("GET", f"{url}/history", None),
        ("GET", f"{url}?as_of=2999-01-01T00:00:00Z", None),
        ("POST", f"{url}/revert", {"version": version}),
    ]
    async with client_of(served.app) as nobody, client_of(served.app, "not.a.token") as stranger:
        for method, path, body in requests:
            assert (await nobody.request(method, path, json=body)).status_code == 401
            assert (await stranger.request(method, path, json=body)).status_code == 401
            expected = 403 if method == "POST" else 200
            response = await served.reader.request(method, path, json=body)
            assert response.status_code == expected
            response = await served.editor.request(method, path, json=body)
            assert response.status_code == 200, response.text
    assert len(await history_of(served.reader, url)) == 2


async def test_times_follow_the_clock(served: Served) -> None:
    """A write that waited for another one is later than it, in clock and in time."""
    url = await created(served.editor, **ACETONE)
    key = url.rpartition("/")[2]
    bodies = [
        ("PATCH", url, {"method": "LC"}),
        ("PUT", url, ACETONE | {"sample_value": 2}),
        (
            "POST",
            f"{url}/revert",
            {"version": (await history_of(served.editor, url))[0]["version"]},
        ),
    ]
    with psycopg.connect(served.warehouse.url) as other:
        other.execute(
            "update curated.metabolites set method = 'MS' where metabolite_id = %s", [key]
        )
        writes = [
            asyncio.create_task(served.editor.request(m, u, json=body)) for m, u, body in bodies
        ]
        await asyncio.sleep(0.3)
        freed = other.execute("select clock_timestamp()").fetchone()
    assert [(await write).status_code for write in writes] == [200, 200, 200]
    edits = served.warehouse.query("select * from journal.edits order by clock")
    assert len(edits) == 4
    assert all(a["edited_at"] < b["edited_at"] for a, b in pairwise(edits))
    assert freed
    assert freed[0] < edits[1]["edited_at"]
    for e in edits:
        assert datetime.fromisoformat(e["after"]["updated_at"]) == e["edited_at"]
        assert "_transaction_id" not in e["after"]
        assert "_transaction_id" not in (e["before"] or {})


async def test_every_write_names_its_transaction(served: Served) -> None:
    """Else the feed of changes would not have it."""
    url = await created(served.editor, BOOKS, isbn="1", title="Emma")
    version = (await history_of(served.editor, url))[0]["version"]
    agree = """
        select
            _transaction_id = transaction_id as agree,
            books.xmin = _transaction_id::xid as is_last
        from curated.books, journal.edits order by clock desc limit 1
    """
    for method, path, body in (
        ("PATCH", url, {"page_count": 2}),
        ("PUT", url, {"isbn": "1", "title": "Emma"}),
        ("POST", f"{url}/revert", {"version": version}),
        ("PATCH", url, {"isbn": "2"}),
    ):
        response = await served.editor.request(method, path, json=body)
        assert response.status_code == 200
        assert "_transaction_id" not in response.text
        assert served.warehouse.query(agree) == [{"agree": True, "is_last": True}]


async def test_of_two_reverts_of_a_deleted_row_both_are_answered(served: Served) -> None:
    url = await created(served.editor, BOOKS, isbn="1", title="Emma")
    version = (await history_of(served.editor, url))[0]["version"]
    await served.editor.delete(url)
    answers = await asyncio.gather(
        *(served.editor.post(f"{url}/revert", json={"version": version}) for _ in range(5))
    )
    statuses = {a.status_code for a in answers}
    assert statuses <= {200, 409}
    written = sum(a.status_code == 200 for a in answers)
    versions = await history_of(served.reader, url)
    assert len(versions) == 2 + written
    assert all(newer["before"] == older["after"] for newer, older in pairwise(versions))


def load_books(catalog: Catalog, url: str, path: Path, *isbns: str) -> None:
    path.write_text("isbn,title,pages\n" + "".join(f"{n},Title of {n},1\n" for n in isbns))
    load_file(url, catalog.source_tables["library.books"], path, loaded_by="test")


async def test_words_of_the_api_are_no_keys(served: Served, tmp_path: Path) -> None:
    """A row that is called like the feed cannot be made; one that a load brought can be mended."""
    editor = served.editor
    for method, url in (("POST", BOOKS), ("PUT", f"{BOOKS}/1"), ("PATCH", f"{BOOKS}/1")):
        response = await editor.request(method, url, json={"isbn": "changes", "title": "x"})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "#/isbn"
    load_books(served.warehouse.catalog, served.warehouse.url, tmp_path / "b.csv", "changes")
    served.warehouse.build()
    assert set((await editor.get(f"{BOOKS}/changes")).json()) == {"items", "next", "more"}
    (version,) = await history_of(editor, f"{BOOKS}/changes")
    assert version["after"]["isbn"] == "changes"
    assert (await editor.patch(f"{BOOKS}/changes", json={"isbn": "1"})).status_code == 200
    assert (await editor.get(f"{BOOKS}/1")).json()["title"] == "Title of changes"
    missing = await editor.post(f"{BOOKS}/changes", json={})
    assert missing.status_code == 405


@pytest.mark.parametrize(
    "isbn",
    ["history", "revert", "a/history", "a/b", "a%2Fb", "100%", "%25", "a?b#c", "ü", " ", "+"],
)
async def test_any_text_is_a_key(served: Served, isbn: str) -> None:
    """Also with a slash, which in a segment of a path is written %2F."""
    editor = served.editor
    other = await created(editor, BOOKS, isbn="a", title="a")
    url = await created(editor, BOOKS, isbn=isbn, title="x")
    assert (await editor.get(url)).json()["isbn"] == isbn
    (version,) = await history_of(editor, url)
    assert (await editor.patch(url, json={"page_count": 5})).json()["page_count"] == 5
    reverted = await editor.post(f"{url}/revert", json={"version": version["version"]})
    assert (reverted.json()["isbn"], reverted.json()["page_count"]) == (isbn, 1)
    assert (await editor.delete(url)).status_code == 204
    assert len(await history_of(editor, other)) == 1


async def test_what_was_never_built_is_503(app: FastAPI, reader: httpx.AsyncClient) -> None:
    """A database from before there was history wants a build."""
    del app
    response = await reader.get(f"/api/v1/gems/{uuid4()}/history")
    assert response.status_code == 503
    assert response.json()["detail"] == "This has not been built yet: run `assay build`."


async def test_a_column_is_younger_than_the_version(served: Served, datasets: Datasets) -> None:
    """A version from before has the column's default, which a revert writes."""
    url = await created(served.editor, BOOKS, isbn="1", title="Emma", page_count=3)
    served.warehouse.query(
        """
        insert into journal.edits (entity, key, operation, before, after, edited_by, edited_at)
        select entity, key, 'update', after, after - 'page_count', 'x', clock_timestamp()
        from journal.edits returning 1
        """
    )
    newest, first = await history_of(served.reader, url)
    assert (newest["after"]["page_count"], first["after"]["page_count"]) == (1, 3)
    reverted = await served.editor.post(f"{url}/revert", json={"version": newest["version"]})
    assert reverted.json()["page_count"] == 1
    assert json.loads(reverted.text)["isbn"] == "1"
    assert datasets.catalog.entities["books"].columns_by_name["page_count"].default == "1"
