"""A row is changed by who has read it, and a request that is sent again is done once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.security import Tokens
from tests.api.conftest import GEMS, client_of
from tests.api.test_database import pool_of

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
async def client(
    app: FastAPI, users: dict[str, UUID], tokens: Tokens, database: Database
) -> httpx.AsyncClient:  # fmt: skip
    """An editor who sends no If-Match by itself."""
    assert database
    client = client_of(app, tokens.issue(users["editor"]))
    del client.headers["If-Match"]
    return client


async def created(client: httpx.AsyncClient, **document: Any) -> tuple[str, str]:
    """URL and ETag of a new row."""
    response = await client.post(GEMS, json={"label": "a", **document})
    assert response.status_code == 201, response.text
    return response.headers["location"], response.headers["etag"]


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("PUT", {"json": {"label": "b"}}),
    ("PATCH", {"json": {"grade": 1}}),
    ("DELETE", {}),
]


@pytest.mark.parametrize(("method", "body"), CHANGES)
async def test_b42_a_change_names_the_version_it_changes(
    client: httpx.AsyncClient, method: str, body: dict[str, Any]
) -> None:
    """428 without If-Match, 412 for another version, a weak tag or none that we know."""
    url, tag = await created(client)
    assert tag.startswith('"')
    response = await client.request(method, url, **body)
    assert (response.status_code, response.json()["title"]) == (428, "Precondition Required")
    for stale in (f"W/{tag}", '"1"', '"x"', tag.strip('"'), "", '"9' * 30 + '"'):
        response = await client.request(method, url, headers={"If-Match": stale}, **body)
        assert response.status_code == 412, stale
    response = await client.request(method, url, headers={"If-Match": f'"1", {tag}'}, **body)
    assert response.status_code in (200, 204)
    if method != "DELETE":
        assert response.headers["etag"] not in ("", tag)
        assert (await client.get(url)).headers["etag"] == response.headers["etag"]


CHANGED_ON_THE_WAY = [
    "W/{0}",
    "w/{0}",
    "{1}",
    '"{1}-gzip"',
    '"{1};br"',
    'W/"{1}--gzip"',
    "{1}-gzip",
]


@pytest.mark.parametrize("changed", CHANGED_ON_THE_WAY)
@pytest.mark.parametrize(("method", "body"), CHANGES)
async def test_b42_a_tag_that_a_proxy_changed_is_named_as_that(
    client: httpx.AsyncClient, method: str, body: dict[str, Any], changed: str
) -> None:
    """RFC 9110, 13.1.1 wants the strong comparison; but the row has not changed, so say why."""
    url, tag = await created(client)
    given = changed.format(tag, tag.strip('"'))
    response = await client.request(method, url, headers={"If-Match": given}, **body)
    assert response.status_code == 412
    detail = response.json()["detail"]
    assert detail.startswith(f"The ETag in If-Match is not as this API sent it, which was {tag}: ")
    assert "proxy" in detail
    assert (await client.get(url)).headers["etag"] == tag


@pytest.mark.parametrize("other", ['"x"', "", "abc", '"x819"', '"9819999999999999999999"', "819x"])
async def test_b42_what_is_no_tag_of_ours_is_named_as_that(
    client: httpx.AsyncClient, other: str
) -> None:
    url, _ = await created(client)
    response = await client.delete(url, headers={"If-Match": other})
    assert (response.status_code, response.json()["detail"]) == (
        412,
        'If-Match has no ETag of this API, such as "819": read the row, and send its ETag.',
    )


async def test_b42_proxies_are_asked_to_change_nothing(client: httpx.AsyncClient) -> None:
    """RFC 9111, 5.2.2.6: of everything that has an ETag."""
    url, tag = await created(client)
    made = await client.post(GEMS, json={"label": "b"})
    changed = await client.patch(url, json={"grade": 1}, headers={"If-Match": tag})
    for response in (await client.get(url), made, changed):
        assert "no-transform" in response.headers["cache-control"].split(", ")


@pytest.mark.parametrize(("method", "body"), CHANGES)
async def test_b42_a_star_changes_what_is_there(
    client: httpx.AsyncClient, method: str, body: dict[str, Any]
) -> None:
    url, _ = await created(client)
    response = await client.request(method, url, headers={"If-Match": "*"}, **body)
    assert response.status_code in (200, 204)
    gone = f"{GEMS}/{uuid4()}"
    for given in ("*", '"1"'):
        response = await client.request(method, gone, headers={"If-Match": given}, **body)
        assert response.status_code == 404


async def test_b42_what_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    """304 with the tag and no body, also for a weak tag (RFC 9110, 13.1.2), until it changes."""
    url, tag = await created(client)
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = await client.get(url, headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == "private, no-cache, no-transform"
    await client.patch(url, json={"grade": 1}, headers={"If-Match": tag})
    response = await client.get(url, headers={"If-None-Match": tag})
    assert (response.status_code, response.json()["grade"]) == (200, 1)


async def test_a26_of_two_changes_of_one_version_one_is_made(client: httpx.AsyncClient) -> None:
    url, tag = await created(client)
    both = await asyncio.gather(
        *(client.patch(url, json={"grade": g}, headers={"If-Match": tag}) for g in (1, 2))
    )
    assert sorted(response.status_code for response in both) == [200, 412]


@pytest.mark.parametrize("shift", ["- interval '1 hour'", "+ interval '1 hour'"])
async def test_a18_the_time_of_a_row_decides_nothing(
    app: FastAPI,
    client: httpx.AsyncClient,
    database: Database,
    database_url: str,
    shift: str,
) -> None:
    """PostgreSQL's clock moves: who has read the row changes it, who has not does not."""
    url, first = await created(client)
    database.execute(f"""
        create schema moved;
        create function moved.clock_timestamp() returns timestamptz language sql volatile as
        'select pg_catalog.clock_timestamp() {shift.replace("'", "''")}';
        grant usage on schema moved to assay_api;
    """)
    try:
        async with pool_of(app, database_url, search_path="moved, pg_catalog, public"):
            before = (await client.get(url)).json()["updated_at"]
            done = await client.patch(url, json={"grade": 1}, headers={"If-Match": first})
            assert done.status_code == 200
            assert (done.json()["updated_at"] < before) is shift.startswith("-")
            stale = await client.patch(url, json={"grade": 2}, headers={"If-Match": first})
            assert stale.status_code == 412
    finally:
        database.execute("drop schema moved cascade")
    again = {"If-Match": done.headers["etag"]}
    assert (await client.patch(url, json={"grade": 4}, headers=again)).status_code == 200
    grades = "select after ->> 'grade' as grade from journal.edits order by clock"
    assert [row["grade"] for row in database.execute(grades)] == ["3", "1", "4"]


async def test_a27_of_two_new_rows_with_one_natural_key_one_is_made(
    client: httpx.AsyncClient,
) -> None:
    both = await asyncio.gather(*(client.post(GEMS, json={"label": "a"}) for _ in "12"))
    assert sorted(response.status_code for response in both) == [201, 409]


def counts(database: Database) -> tuple[int, int]:
    row = database.execute(
        "select (select count(*) from curated.gems) as rows,"
        " (select count(*) from journal.edits) as edits"
    ).fetchone()
    assert row
    return row["rows"], row["edits"]


@pytest.mark.parametrize("body", [{"label": "a", "carat": 0.10}, [{"label": "a"}, {"label": "b"}]])
async def test_a28_a_request_sent_again_is_done_once(
    client: httpx.AsyncClient, database: Database, body: Any
) -> None:
    """B-43: the same status, headers and bytes; another body under the key is refused."""
    key = {"Idempotency-Key": str(uuid4())}
    first = await client.post(GEMS, json=body, headers=key)
    assert first.status_code == 201
    done = counts(database)
    again = await client.post(GEMS, json=body, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    for header in ("location", "etag"):
        assert again.headers.get(header) == first.headers.get(header)
    other = await client.post(GEMS, json={"label": "c"}, headers=key)
    assert other.status_code == 422
    assert counts(database) == done


async def test_b43_a_refused_request_is_judged_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    """It changed nothing: what it says the second time is what is true then."""
    url, _ = await created(client)
    key = {"Idempotency-Key": "mended"}
    assert (await client.post(GEMS, json={"label": "a"}, headers=key)).status_code == 409
    await client.delete(url, headers={"If-Match": "*"})
    assert (await client.post(GEMS, json={"label": "a"}, headers=key)).status_code == 201
    assert counts(database) == (1, 3)


async def test_a28_at_once_it_is_done_once(client: httpx.AsyncClient, database: Database) -> None:
    """The others get the same answer, or are told that it is being done."""
    key = {"Idempotency-Key": "at once"}
    assert (await client.post(GEMS, json={"label": "x"}, headers=key)).status_code == 422
    key = {"Idempotency-Key": "at-once"}
    responses = await asyncio.gather(
        *(client.post(GEMS, json={"label": "a"}, headers=key) for _ in range(8))
    )
    assert {response.status_code for response in responses} <= {201, 409}
    assert counts(database) == (1, 1)
    made = {response.content for response in responses if response.status_code == 201}
    assert len(made) == 1


async def test_b43_a_key_is_its_users_and_lasts_a_day(
    client: httpx.AsyncClient,
    app: FastAPI,
    users: dict[str, UUID],
    tokens: Tokens,
    database: Database,
) -> None:
    key = {"Idempotency-Key": "mine"}
    assert (await client.post(GEMS, json={"label": "a"}, headers=key)).status_code == 201
    admin = client_of(app, tokens.issue(users["admin"]))
    assert (await admin.post(GEMS, json={"label": "b"}, headers=key)).status_code == 201
    database.execute("update auth.answered_requests set answered_at = now() - interval '25 hours'")
    assert (await client.post(GEMS, json={"label": "c"}, headers=key)).status_code == 201
    left = database.execute("select count(*) as n from auth.answered_requests").fetchone()
    assert left == {"n": 1}


@pytest.mark.parametrize("given", ["", "x" * 256, "a b", "\u00fc".encode().decode("latin-1")])
async def test_b43_a_key_is_visible_ascii(client: httpx.AsyncClient, given: str) -> None:
    headers = {"Idempotency-Key": given.encode("latin-1")}
    response = await client.post(GEMS, json={"label": "a"}, headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"
