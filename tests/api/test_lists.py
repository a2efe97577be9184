"""What a list can be asked for, and what it refuses; test_lists_model.py has the filters."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest

from api.listing import document
from tests.api.conftest import GEM, GEMS

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
async def gems(editor: httpx.AsyncClient) -> list[dict[str, Any]]:
    response = await editor.post(
        GEMS,
        json=[
            {"label": "Koh-i-Noor", "carat": 105.6, "mine": "Golconda", "colours": ["white"]},
            {"label": "Hope", "carat": 45.52, "mine": "Golconda", "colours": ["blue"]},
            {"label": "Blue Moon of Josephine", "carat": 12.03, "colours": ["blue"]},
        ],
    )
    assert response.status_code == 201, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def labels(client: httpx.AsyncClient, query: str) -> list[str]:
    response = await client.get(f"{GEMS}?{query}")
    assert response.status_code == 200, response.text
    return [item["label"] for item in response.json()["items"]]


@pytest.mark.usefixtures("gems")
async def test_a_page_names_the_next_one_in_its_link(reader: httpx.AsyncClient) -> None:
    """RFC 8288; it keeps the rest of the query, and leads to the last page, which has none."""
    response = await reader.get(f"{GEMS}?limit=2&sort=-carat&carat__gt=1")
    (target, relation) = response.headers["link"].split("; ")
    assert relation == 'rel="next"'
    url = urlsplit(target.strip("<>"))
    assert url.path == GEMS
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query == {
        "limit": "2",
        "sort": "-carat",
        "carat__gt": "1",
        "cursor": response.json()["next"],
    }
    last = await reader.get(target.strip("<>"))
    assert [item["label"] for item in last.json()["items"]] == ["Blue Moon of Josephine"]
    assert "link" not in last.headers


@pytest.mark.usefixtures("gems")
async def test_a_cursor_belongs_to_its_sort(reader: httpx.AsyncClient) -> None:
    following = (await reader.get(f"{GEMS}?limit=1&sort=label")).json()["next"]
    response = await reader.get(f"{GEMS}?limit=1&sort=-label&cursor={following}")
    assert response.status_code == 422
    assert response.json()["detail"] == "The cursor is of another sort: begin with the first page."


@pytest.mark.usefixtures("gems")
async def test_a_time_has_an_offset_of_the_earth(reader: httpx.AsyncClient) -> None:
    """Less than 16 hours, as PostgreSQL reads it from files; RFC 3339 would go to 23:59."""
    assert await labels(reader, "sold_at__lt=0305-11-20T10:39:10-15:59") == []
    response = await reader.get(f"{GEMS}?sold_at__lt=2026-12-31T23:59:59-18:26")
    assert response.json()["errors"][0]["parameter"] == "sold_at__lt"


@pytest.mark.usefixtures("gems")
async def test_the_other_way_round_decides_nothing_more(reader: httpx.AsyncClient) -> None:
    """As in SQL; the schema of `sort` cannot refuse it either."""
    names = ["Blue Moon of Josephine", "Hope", "Koh-i-Noor"]
    assert await labels(reader, "sort=label,-label") == names
    assert await labels(reader, "sort=-label,label") == names[::-1]


@pytest.mark.usefixtures("gems")
async def test_words_are_searched_in_any_case(reader: httpx.AsyncClient) -> None:
    """As PostgreSQL's websearch_to_tsquery reads them."""
    assert await labels(reader, "q=HOPE") == ["Hope"]
    assert await labels(reader, "q=blue josephine&sort=label") == ["Blue Moon of Josephine"]
    assert await labels(reader, "q=hope or josephine&sort=label") == [
        "Blue Moon of Josephine",
        "Hope",
    ]
    assert await labels(reader, 'q="moon blue"') == []
    assert await labels(reader, "q=golconda -hope") == ["Koh-i-Noor"]
    assert await labels(reader, "q=golconda&carat__lt=50") == ["Hope"]


async def test_a_search_uses_the_index_of_its_words(database: Database) -> None:
    """The expression of the query is that of an index over the same columns."""
    words = document(GEM, "target")
    index = words.replace("target.", "")
    with database.transaction(force_rollback=True):
        database.execute(f"create index on curated.gems using gin (({index}))")
        database.execute("set local enable_seqscan = off")
        plan = database.execute(
            f"explain select from curated.gems as target where {words} @@ 'hope'::tsquery"
        ).fetchall()
    assert "Bitmap Index Scan" in json.dumps(plan)


@pytest.mark.usefixtures("gems")
async def test_rows_that_rows_refer_to_come_with_them(reader: httpx.AsyncClient) -> None:
    """One level, in one query; null where there is no reference."""
    response = await reader.get(f"{GEMS}?expand=mine&fields=label&sort=label")
    assert response.json()["items"] == [
        {"label": "Blue Moon of Josephine", "_expanded": {"mine": None}},
        {"label": "Hope", "_expanded": {"mine": {"mine": "Golconda", "country": "India"}}},
        {"label": "Koh-i-Noor", "_expanded": {"mine": {"mine": "Golconda", "country": "India"}}},
    ]


@pytest.mark.usefixtures("gems")
async def test_rows_are_counted_or_estimated(reader: httpx.AsyncClient, database: Database) -> None:
    page = (await reader.get(f"{GEMS}?count=exact&carat__gt=40&limit=1")).json()
    assert page["count"] == 2
    database.execute("analyze curated.gems")
    assert (await reader.get(f"{GEMS}?count=estimated")).json()["count"] == 3
    assert "count" not in (await reader.get(GEMS)).json()


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("sort=password_hash", "sort"),
        ("sort=label;drop table gems", "sort"),
        ("sort=label,label", "sort"),
        ("sort=label,", "sort"),
        ("sort=colours", "sort"),
        ("sort=extra", "sort"),
        ("sort=label,grade,facets,atoms,carat,hardness", "sort"),
        ("fields=", "fields"),
        ("fields=label,label", "fields"),
        ("fields=_transaction_id", "fields"),
        ("expand=label", "expand"),
        ("count=yes", "count"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("label__like=a", "label__like"),
        ("carat__contains=1", "carat__contains"),
        ("extra=1", "extra"),
        ("colours__in=a", "colours__in"),
        ("grade=high", "grade"),
        ("grade=99999", "grade"),
        ("grade__in=1,,2", "grade__in"),
        ("label__in=", "label__in"),
        ("label__in=a,,b", "label__in"),
        ('label__in="a', "label__in"),
        ("carat=NaN", "carat"),
        ("carat=Infinity", "carat"),
        ("is_cut=yes", "is_cut"),
        ("is_cut__isnull=1", "is_cut__isnull"),
        ("found_date=2026-02-30", "found_date"),
        ("sold_at=31/01/2026", "sold_at"),
        ("gem_id=x' or 1=1", "gem_id"),
        ("label=%00", "label"),
        ("state=unknown", "state"),
        ("or[nothing]=1", "or[nothing]"),
        ("or[label]=a&or[label]=b", "or[label]"),
        ("or3[label]=a", "or3[label]"),
        ("filter[x'or true]=a", "filter[x'or true]"),
    ],
)
async def test_b28_only_what_is_known_can_be_asked(
    reader: httpx.AsyncClient, query: str, parameter: str
) -> None:
    """Names come from the contract, values fit their type; the fault names the parameter."""
    response = await reader.get(f"{GEMS}?{query}")
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == [parameter]


@pytest.mark.usefixtures("gems")
async def test_b29_pages_are_bounded_and_cursors_judged(reader: httpx.AsyncClient) -> None:
    """1 to 200 rows, 50 if not said; a cursor that no page gave is refused, whatever it holds."""
    for limit, status in (("0", 422), ("1", 200), ("200", 200), ("201", 422), ("-1", 422)):
        assert (await reader.get(f"{GEMS}?limit={limit}")).status_code == status
    cursor = (await reader.get(f"{GEMS}?limit=1&sort=carat")).json()["next"]
    for tampered in (cursor[:-4], cursor[4:], f"{cursor}AAAA", cursor.swapcase(), "bnVsbA"):
        response = await reader.get(f"{GEMS}?limit=1&sort=carat&cursor={tampered}")
        assert response.status_code == 422, tampered
        assert response.json()["errors"][0]["parameter"] == "cursor"
