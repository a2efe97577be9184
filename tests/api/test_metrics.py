"""What Prometheus reads."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI, Response
from prometheus_client.parser import text_string_to_metric_families

from api.router import Router
from api.security import Tokens
from assay.settings import Settings
from tests.api.conftest import GEMS, client_of
from tests.api.test_envelope import served, until_waiting
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def numbers(client: httpx.AsyncClient) -> Numbers:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def number(of: Numbers, name: str, **labels: str) -> float:
    return of.get((name, frozenset(labels.items())), 0)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with served(settings) as app:
        yield app


async def test_requests_are_counted_by_the_template_of_their_route(
    app: FastAPI, users: dict[str, UUID], tokens: Tokens
) -> None:
    """What a client can invent, paths and methods, makes no series of its own."""
    async with client_of(app, tokens.issue(users["reader"])) as client:
        for _ in range(3):
            await client.get(f"{GEMS}/{uuid4()}")
        await client.get(f"{GEMS}?limit=1")
        await client.get(f"/{uuid4()}")
        await client.request("INVENTED", GEMS)
        found = await numbers(client)
    count = "assay_request_seconds_count"
    key = f"{GEMS}/{{key}}"
    assert number(found, count, method="GET", route=key, status="404") == 3
    assert number(found, count, method="GET", route=GEMS, status="200") == 1
    assert number(found, count, method="GET", route="none", status="404") == 1
    assert number(found, count, method="other", route=GEMS, status="405") == 1
    total = sum(value for (name, _), value in found.items() if name == count)
    assert total == 6
    assert number(found, "assay_build_jobs_waiting") == 0
    assert number(found, "process_resident_memory_bytes") > 1_000_000


async def test_what_goes_on_is_seen(
    app: FastAPI, users: dict[str, UUID], tokens: Tokens, database_url: str
) -> None:
    """The requests that wait for a lock, their connections, and the question itself."""
    async with client_of(app, tokens.issue(users["reader"])) as client:
        with psycopg.connect(database_url) as lock:
            lock.execute("lock table curated.gems in access exclusive mode")
            waiting = [asyncio.create_task(client.get(GEMS)) for _ in range(2)]
            await until_waiting(database_url, 2)
            found = await numbers(client)
        await asyncio.gather(*waiting)
        later = await numbers(client)
    connections = "assay_database_connections"
    assert number(found, "assay_requests_in_flight") == 3
    assert number(found, connections, pool="readers", state="used") == 2
    assert number(found, connections, pool="writers", state="used") == 0
    assert number(later, "assay_requests_in_flight") == 1
    assert number(later, connections, pool="readers", state="used") == 0
    assert number(later, connections, pool="readers", state="idle") >= 2


async def test_every_metric_is_in_the_documentation(app: FastAPI) -> None:
    """And nothing else is."""
    async with client_of(app) as client:
        await client.get("/live")
        page = (await client.get("/metrics")).text
    found = set(re.findall(r"^# TYPE (assay_\w+) ", page, flags=re.MULTILINE))
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(assay_\w+)`", text, flags=re.MULTILINE))
    assert documented == found


async def test_files_are_counted_by_their_type(app: FastAPI) -> None:
    """Answers in JSON and pages for people are none; who asks for such a type is answered."""
    router = Router()

    @router.get("/rows.csv", responses={200: {"content": {"text/csv": {}}}})
    async def rows() -> Response:
        return Response("a,b", media_type="text/csv")

    app.include_router(router)
    async with client_of(app) as client:
        for accept, status in (("text/csv", 200), ("*/*", 200), ("text/html", 406)):
            answer = await client.get("/rows.csv", headers={"Accept": accept})
            assert answer.status_code == status
        chosen = await client.get("/rows.csv?format=csv", headers={"Accept": "text/html"})
        assert chosen.status_code == 200
        await client.get("/docs")
        await client.get("/live")
        found = await numbers(client)
    name = "assay_exports_total"
    assert {labels: value for (other, labels), value in found.items() if other == name} == {
        frozenset({("media_type", "text/csv")}): 3
    }
