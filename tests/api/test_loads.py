"""Load reports and rejected rows."""

from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]
LOADS = "/api/v1/loads"


def add_load(database: Database, rows: int = 0, source: str = "shop.gems") -> int:
    row = database.execute(
        "insert into raw.loads (source_table, file_name, sha256, size_bytes, row_count, state,"
        " clock, loaded_by, started_at) values (%s, 'gems.csv', 'ab', 10, %s, 'loaded',"
        " nextval('journal.clock'), 'ada', '2026-01-01 00:00Z') returning load_id",
        [source, rows],
    ).fetchone()
    assert row
    load_id: int = row["load_id"]
    return load_id


def add_account(database: Database, load_id: int, rejected: int, **counts: Any) -> None:
    counts = {"rules": {}, "repairs": {}, "warnings": {}} | counts
    database.execute(
        "insert into journal.accounts (entity, load_id, rows, new, changed, unchanged, superseded,"
        " duplicates, rejected, rules, repairs, warnings)"
        " values ('gems', %s, %s, 5, 0, 0, 0, 0, %s, %s, %s, %s)",
        [
            load_id,
            5 + rejected,
            rejected,
            *(Jsonb(counts[n]) for n in ("rules", "repairs", "warnings")),
        ],
    )


def add_rejected(
    database: Database, load_id: int, row_number: int, *rules: str, **raw: Any
) -> None:
    database.execute(
        "insert into raw.shop__gems (gem, weight, _malformed, _load_id, _row_number)"
        " values (%s, %s, %s, %s, %s)",
        [raw.get("gem"), raw.get("weight"), raw.get("malformed"), load_id, row_number],
    )
    database.execute(
        "insert into journal.verdicts (entity, load_id, row_number, rules, proposals)"
        " values ('gems', %s, %s, %s, %s)",
        [load_id, row_number, list(rules), raw.get("proposals", [])],
    )


async def test_loads_are_listed_from_the_newest(
    reader: httpx.AsyncClient, database: Database
) -> None:
    ids = [add_load(database) for _ in range(5)]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await reader.get(LOADS, params={"limit": 2, "cursor": cursor})).json()
        seen += [load["load_id"] for load in page["items"]]
        cursor = page["next"]
    assert seen == ids[::-1]


async def test_a_load_has_what_is_known_of_its_file(
    reader: httpx.AsyncClient, database: Database
) -> None:
    load_id = add_load(database, 7)
    load = (await reader.get(LOADS)).json()["items"][0]
    assert load.pop("finished_at")
    assert load == {
        "load_id": load_id,
        "source_table": "shop.gems",
        "file_name": "gems.csv",
        "sha256": "ab",
        "size_bytes": 10,
        "row_count": 7,
        "state": "loaded",
        "notes": {},
        "error": None,
        "loaded_by": "ada",
        "started_at": "2026-01-01T00:00:00+00:00",
    }


async def test_a_report_counts_rows_and_names_rules_with_their_messages(
    reader: httpx.AsyncClient, database: Database
) -> None:
    """A rule that the contract no longer has is still counted, by its name."""
    load_id = add_load(database, 8)
    add_account(
        database,
        load_id,
        3,
        rules={"grade_range": 2, "retired_rule": 1},
        repairs={"label": 4},
        warnings={"label_plain": 1},
    )
    report = (await reader.get(f"{LOADS}/{load_id}")).json()
    assert report["pending"] == []
    account = report["entities"][0]
    assert account.pop("done_at")
    assert account == {
        "entity": "gems",
        "rows": 8,
        "new": 5,
        "changed": 0,
        "unchanged": 0,
        "superseded": 0,
        "duplicates": 0,
        "rejected": 3,
        "rules": {
            "grade_range": {"count": 2, "message": "Broken: grade_range."},
            "retired_rule": {"count": 1, "message": "retired_rule"},
        },
        "repairs": {"label": 4},
        "warnings": {"label_plain": {"count": 1, "message": "The label should be ASCII."}},
    }


async def test_a_load_that_no_build_has_taken_is_pending(
    reader: httpx.AsyncClient, database: Database
) -> None:
    report = (await reader.get(f"{LOADS}/{add_load(database)}")).json()
    assert (report["entities"], report["pending"]) == ([], ["gems"])


async def test_a_failed_load_says_why_and_waits_for_nothing(
    reader: httpx.AsyncClient, database: Database
) -> None:
    database.execute(
        "insert into raw.loads (source_table, file_name, state, error, loaded_by, started_at)"
        " values ('shop.gems', 'a.csv', 'failed', 'No header.', 'ada', now())"
    )
    load = (await reader.get(LOADS)).json()["items"][0]
    report = (await reader.get(f"{LOADS}/{load['load_id']}")).json()
    assert (report["error"], report["entities"], report["pending"]) == ("No header.", [], [])


async def test_a_rejected_row_is_as_it_came_with_the_rules_it_breaks(
    reader: httpx.AsyncClient, database: Database
) -> None:
    load_id, other = add_load(database), add_load(database)
    add_rejected(
        database,
        load_id,
        2,
        "label_required",
        "grade_range",
        gem=" x ",
        weight="1,5",
        proposals=["weight: 1,5 -> 1.5"],
    )
    add_rejected(database, load_id, 1, "field_count", malformed="a;b;c")
    add_rejected(database, other, 2, "grade_range", gem="y")
    page = (await reader.get(f"{LOADS}/{load_id}/rejected")).json()
    assert page == {
        "items": [
            {
                "entity": "gems",
                "row_number": 1,
                "rules": [{"name": "field_count", "message": "field_count", "columns": []}],
                "proposals": [],
                "row": None,
                "malformed": "a;b;c",
            },
            {
                "entity": "gems",
                "row_number": 2,
                "rules": [
                    {
                        "name": "grade_range",
                        "message": "Broken: grade_range.",
                        "columns": ["grade"],
                    },
                    {
                        "name": "label_required",
                        "message": "A gem has a label.",
                        "columns": ["label"],
                    },
                ],
                "proposals": ["weight: 1,5 -> 1.5"],
                "row": {"gem": " x ", "weight": "1,5"},
                "malformed": None,
            },
        ],
        "next": None,
    }


async def test_rejected_rows_come_in_pages(reader: httpx.AsyncClient, database: Database) -> None:
    load_id = add_load(database)
    for number in (9, 10, 11, 100, 2):
        add_rejected(database, load_id, number, "grade_range", gem="x")
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        url = f"{LOADS}/{load_id}/rejected"
        page = (await reader.get(url, params={"limit": 2, "cursor": cursor})).json()
        seen += [item["row_number"] for item in page["items"]]
        cursor = page["next"]
    assert seen == [2, 9, 10, 11, 100]


async def test_a_load_that_was_taken_back_says_what_that_did(
    reader: httpx.AsyncClient, database: Database
) -> None:
    load_id = add_load(database, 9)
    add_account(database, load_id, 4)
    database.execute("update raw.loads set state = 'unloaded' where load_id = %s", [load_id])
    database.execute(
        "insert into journal.unloads values"
        """ ('gems', %s, 'ada', '2026-01-01 00:00Z', 3, 1, 2, '{"grade_range": 1}')""",
        [load_id],
    )
    report = (await reader.get(f"{LOADS}/{load_id}")).json()
    assert (report["state"], report["pending"]) == ("unloaded", [])
    assert report["unloads"] == [
        {
            "entity": "gems",
            "unloaded_by": "ada",
            "unloaded_at": "2026-01-01T00:00:00+00:00",
            "deleted": 3,
            "restored": 1,
            "newer": 2,
            "refused": {"grade_range": {"count": 1, "message": "Broken: grade_range."}},
        }
    ]


async def test_a_rehearsal_is_not_there(reader: httpx.AsyncClient, database: Database) -> None:
    load_id = add_load(database)
    database.execute("update raw.loads set state = 'rehearsal' where load_id = %s", [load_id])
    assert (await reader.get(LOADS)).json()["items"] == []
    for url in (f"{LOADS}/{load_id}", f"{LOADS}/{load_id}/rejected"):
        assert (await reader.get(url)).status_code == 404


@pytest.mark.parametrize("load_id", ["x", "1.5", "9223372036854775808", "true", "-"])
async def test_a_load_id_is_a_whole_number(reader: httpx.AsyncClient, load_id: str) -> None:
    for url in (f"{LOADS}/{load_id}", f"{LOADS}/{load_id}/rejected"):
        assert (await reader.get(url)).status_code == 422


@pytest.mark.parametrize("url", ["/1", "/1/rejected", "/-1", "/1e3"])
async def test_an_absent_load_is_404(reader: httpx.AsyncClient, url: str) -> None:
    assert (await reader.get(LOADS + url)).status_code in (404, 422)
    assert (await reader.get(f"{LOADS}/1")).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "cursor=W10", "cursor=WyJhIl0", "state=loaded"])
async def test_a_wrong_parameter_is_422(reader: httpx.AsyncClient, query: str) -> None:
    for url in (LOADS, f"{LOADS}/1/rejected"):
        assert (await reader.get(f"{url}?{query}")).status_code == 422


async def test_rejected_rows_of_a_source_that_is_gone_are_404(
    reader: httpx.AsyncClient, database: Database
) -> None:
    load_id = add_load(database, source="shop.gone")
    response = await reader.get(f"{LOADS}/{load_id}/rejected")
    assert response.status_code == 404
    assert "no longer part of the project" in response.json()["detail"]
    assert (await reader.get(f"{LOADS}/{load_id}")).json()["pending"] == []
