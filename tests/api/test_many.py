"""Many rows in one request: whole or not at all, and each fault names its item."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.api.conftest import GEMS

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
STONES = "/api/v1/stones"


def count(database: Database, table: str = "curated.gems") -> int:
    row = database.execute(f"select count(*) as count from {table}").fetchone()
    assert row
    number: int = row["count"]
    return number


async def made(editor: httpx.AsyncClient, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    response = await editor.post(GEMS, json=documents)
    assert response.status_code == 201, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


def faults(response: httpx.Response) -> dict[str, str]:
    return {error["pointer"]: error["detail"] for error in response.json()["errors"]}


async def test_ten_thousand_rows_are_one_statement(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """One transaction wrote them and their journal; they come back in the order they had."""
    documents = [{"label": f"gem {n}", "carat": n / 8} for n in range(10_000)]
    items = await made(editor, *documents)
    assert [(item["label"], item["carat"]) for item in items] == [
        (document["label"], document["carat"]) for document in documents
    ]
    for table, column in (("curated.gems", "_transaction_id"), ("journal.edits", "transaction_id")):
        row = database.execute(f"select count(distinct {column}) as n from {table}").fetchone()
        assert row == {"n": 1}
        assert count(database, table) == 10_000


async def test_one_more_is_too_many(editor: httpx.AsyncClient) -> None:
    for documents in ([{"label": str(n)} for n in range(10_001)], []):
        response = await editor.post(GEMS, json=documents)
        assert response.status_code == 422
        assert response.json()["detail"] == "A list has 1 to 10,000 items."


async def test_each_item_that_does_not_fit_is_named(
    editor: httpx.AsyncClient, database: Database
) -> None:
    documents = [{"label": "a"}, {}, {"label": "c", "grade": "x"}, {"label": "d", "odd": 1}, 5]
    response = await editor.post(GEMS, json=documents)
    assert response.status_code == 422
    assert faults(response) == {
        "#/1/label": "A gem has a label.",
        "#/2/grade": "The grade is a whole number.",
        "#/3/odd": "There is no such field.",
        "#/4": "This is not a JSON object.",
    }
    assert count(database) == 0


async def test_each_item_that_breaks_a_rule_is_named(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """Rules of the row, of the list in itself, of what is there, of another table."""
    await made(editor, {"label": "there"})
    documents = [
        {"label": "good"},
        {"label": "x" * 41},
        {"label": "good"},
        {"label": "there"},
        {"label": "y", "grade": 6},
        {"label": "z", "mine": "nowhere"},
    ]
    response = await editor.post(GEMS, json=documents)
    assert faults(response) == {
        "#/1/label": "Broken: label_short.",
        "#/2/label": "Another gem has this label.",
        "#/3/label": "Another gem has this label.",
        "#/4/grade": "Broken: grade_range.",
        "#/5/mine": "There is no such mine.",
    }
    assert response.status_code == 422
    assert response.json()["detail"] == "Nothing was written: 5 of the items are refused."
    assert count(database) == 1
    assert count(database, "journal.edits") == 1


async def test_few_faults_among_ten_thousand_are_found_in_time(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """Well within the time that a statement has; a hundred of them are told."""
    documents = [{"label": f"gem {n}"} for n in range(10_000)]
    documents[9_998] = {"label": "gem 17"}
    documents[5_000] = {"label": "x" * 41}
    response = await editor.post(GEMS, json=documents)
    assert faults(response) == {
        "#/5000/label": "Broken: label_short.",
        "#/9998/label": "Another gem has this label.",
    }
    response = await editor.post(GEMS, json=[{"label": "same"} for _ in range(500)])
    assert list(faults(response)) == [f"#/{n}/label" for n in range(1, 101)]
    assert count(database) == 0


async def test_many_rows_are_changed_each_in_its_way(editor: httpx.AsyncClient) -> None:
    a, b, c = await made(editor, {"label": "a"}, {"label": "b", "carat": 2}, {"label": "c"})
    response = await editor.patch(
        GEMS,
        json=[
            {"gem_id": c["gem_id"], "grade": 1},
            {"gem_id": b["gem_id"].upper(), "carat": None, "state": "unweighed"},
        ],
    )
    assert response.status_code == 200, response.text
    changed = {item["label"]: item for item in response.json()["items"]}
    assert (changed["c"]["grade"], changed["c"]["warnings"]) == (1, [])
    assert (changed["b"]["carat"], changed["b"]["grade"]) == (None, 3)
    assert (await editor.get(f"{GEMS}/{a['gem_id']}")).json()["updated_at"] == a["updated_at"]


async def test_a_change_of_a_row_that_is_not_there_changes_none(
    editor: httpx.AsyncClient, database: Database
) -> None:
    (a,) = await made(editor, {"label": "a"})
    for documents in (
        [{"gem_id": a["gem_id"], "grade": 1}, {"gem_id": str(uuid4()), "grade": 1}],
        [{"gem_id": str(uuid4()), "grade": 1}],
    ):
        response = await editor.patch(GEMS, json=documents)
        assert response.status_code == 404
        assert list(faults(response)) == [f"#/{len(documents) - 1}"]
    assert count(database, "journal.edits") == 1


async def test_a_key_stands_in_a_list_once(editor: httpx.AsyncClient) -> None:
    (a,) = await made(editor, {"label": "a"})
    key = a["gem_id"]
    twice = [{"gem_id": key, "grade": 1}, {"gem_id": key.upper(), "grade": 2}]
    response = await editor.patch(GEMS, json=twice)
    assert (response.status_code, faults(response)) == (
        422,
        {"#/1/gem_id": "Item 0 has this key too."},
    )
    response = await editor.request("DELETE", GEMS, json=[key, key])
    assert (response.status_code, faults(response)) == (422, {"#/1": "Item 0 has this key too."})


async def test_a_change_needs_its_key_and_something_to_change(editor: httpx.AsyncClient) -> None:
    response = await editor.patch(GEMS, json=[{"grade": 1}, {"gem_id": str(uuid4())}])
    assert (response.status_code, faults(response)) == (
        422,
        {
            "#/0/gem_id": "Gem id: give a UUID, such as 1d604da9-9a81-4ba9-80c2-de3375d59b40.",
            "#/1": "There is nothing to change.",
        },
    )


async def test_what_a_filter_finds_is_changed(
    editor: httpx.AsyncClient, database: Database
) -> None:
    await made(editor, *({"label": f"gem {n}", "grade": 1 + n % 2} for n in range(10)))
    response = await editor.patch(f"{GEMS}?grade=2&label__ne=gem 1", json={"facets": 8})
    assert (response.status_code, response.json()) == (200, {"count": 4})
    rows = database.execute("select label from curated.gems where facets = 8").fetchall()
    assert {row["label"] for row in rows} == {f"gem {n}" for n in (3, 5, 7, 9)}
    journal = "select count(*) as n from journal.edits where operation = 'update'"
    assert database.execute(journal).fetchone() == {"n": 4}


async def test_a_word_that_is_no_option_is_refused_where_no_row_is_found(
    editor: httpx.AsyncClient,
) -> None:
    response = await editor.patch(f"{GEMS}?label=nowhere", json={"state": "heavy"})
    assert response.status_code == 422
    (fault,) = response.json()["errors"]
    assert fault == {"detail": "State is one of weighed, unweighed.", "pointer": "#/state"}


async def test_a_filter_whose_rows_break_a_rule_changes_none(
    editor: httpx.AsyncClient, database: Database
) -> None:
    await made(editor, {"label": "a"}, {"label": "b", "carat": 1})
    response = await editor.patch(f"{GEMS}?label__in=a,b", json={"state": "weighed"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["rule"] == "weighed_has_carat"
    assert count(database, "journal.edits") == 2


async def test_what_a_filter_finds_is_deleted(
    editor: httpx.AsyncClient, database: Database
) -> None:
    await made(editor, *({"label": f"gem {n}"} for n in range(10)))
    response = await editor.delete(f"{GEMS}?or[label]=gem 1&or[label__startswith]=gem 2")
    assert (response.status_code, response.json()) == (200, {"count": 2})
    assert count(database) == 8


async def test_many_rows_are_deleted_by_their_keys(
    editor: httpx.AsyncClient, database: Database
) -> None:
    a, b, _ = await made(editor, {"label": "a"}, {"label": "b"}, {"label": "c"})
    response = await editor.request("DELETE", GEMS, json=[a["gem_id"], str(uuid4())])
    assert (response.status_code, list(faults(response))) == (404, ["#/1"])
    assert count(database) == 3
    response = await editor.request("DELETE", GEMS, json=[a["gem_id"], b["gem_id"]])
    assert (response.status_code, response.json()) == (200, {"count": 2})
    assert count(database) == 1


async def test_keys_of_the_client_name_rows_too(
    editor: httpx.AsyncClient, database: Database
) -> None:
    response = await editor.post(STONES, json=[{"code": 2}, {"code": 1, "json": "x"}])
    assert [item["code"] for item in response.json()["items"]] == [2, 1]
    response = await editor.patch(STONES, json=[{"code": 1, "json": "y"}])
    assert response.json()["items"][0]["json"] == "y"
    response = await editor.request("DELETE", STONES, json=[2, "1"])
    assert (response.status_code, list(faults(response))) == (422, ["#/1"])
    assert count(database, "curated.stones") == 2


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_all_rows_are_never_meant(editor: httpx.AsyncClient, method: str) -> None:
    """Without a filter it would be the whole table; a list and a filter contradict each other."""
    body: dict[str, Any] = {"json": {"grade": 1}} if method == "PATCH" else {}
    response = await editor.request(method, GEMS, **body)
    assert response.status_code == 422
    assert "filter" in response.json()["detail"]
    items = [{"gem_id": str(uuid4()), "grade": 1}] if method == "PATCH" else [str(uuid4())]
    response = await editor.request(method, f"{GEMS}?grade=1", json=items)
    assert response.status_code == 422
    assert response.json()["detail"] == "Send a list or a filter, not both."


async def test_b31_a_list_may_be_longer_than_a_row(editor: httpx.AsyncClient) -> None:
    """16 MiB against 1 MiB, counted while it streams."""
    row = {"label": "a", "extra": "x" * (1 << 20)}
    assert (await editor.post(GEMS, json=row)).status_code == 413
    assert (await editor.post(GEMS, json=[row])).status_code == 201
    rows = [row | {"label": str(n)} for n in range(16)]
    assert (await editor.post(GEMS, json=rows)).status_code == 413
