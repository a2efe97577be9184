"""Whether it lives and is ready, and the pages for this machine."""

import asyncio
import json
import re
import threading
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.document import Document
from assay.catalog import CatalogError
from assay.settings import Settings
from tests.api.conftest import CATALOG, GEMS, MANIFEST, SECRET, client_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """A project whose database is not there."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text(MANIFEST)
    url = SecretStr(f"postgresql://assay@/assay?host={tmp_path}")
    return Settings(project=tmp_path, database_url=url, assay_secret=SecretStr(SECRET))


async def test_the_api_starts_without_a_database(away: Settings) -> None:
    app = create_app(away, CATALOG)
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.get("/live")).json() == {"status": "live"}
        response = await client.get("/ready")
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        form = {"username": "admin", "password": "x"}
        assert (await client.post("/api/v1/auth/login", data=form)).status_code == 503
        assert (await client.get(GEMS)).status_code == 401


async def test_the_document_is_made_once_and_beside_the_event_loop() -> None:
    app = FastAPI()
    threads: list[int] = []

    def openapi() -> dict[str, str]:
        threads.append(threading.get_ident())
        return {"openapi": "3.1.0"}

    app.openapi = openapi  # type: ignore[method-assign]
    document = Document(app)
    answers = await asyncio.gather(*(document.read() for _ in range(3)))
    assert answers == [b'{"openapi":"3.1.0"}'] * 3
    (thread,) = threads
    assert thread != threading.get_ident()


async def test_who_is_ready_has_its_document(app: FastAPI, nobody: httpx.AsyncClient) -> None:
    """The first who asks for it does not wait for it, nor do others for him."""
    assert (await nobody.get("/ready")).status_code == 200
    made, app.openapi = app.openapi, None  # type: ignore[method-assign, assignment]
    try:
        answer = await nobody.get("/openapi.json")
    finally:
        app.openapi = made  # type: ignore[method-assign]
    assert answer.json()["openapi"] == "3.1.0"


async def test_ready(nobody: httpx.AsyncClient) -> None:
    assert (await nobody.get("/ready")).json() == {"status": "ready"}


async def test_other_datasets_in_the_manifest_ask_for_a_restart(
    nobody: httpx.AsyncClient, settings: Settings
) -> None:
    """Every build writes the manifest; while it says the same of the datasets all is well."""
    manifest = settings.manifest
    source = {
        "config": {"meta": {"load": {}}},
        "schema": "raw",
        "identifier": "shop__gems",
        "source_name": "shop",
        "name": "gems",
        "description": "",
        "columns": {},
    }
    try:
        manifest.write_text('{"nodes": {}, "sources": {}, "metadata": {"invocation_id": 2}}')
        assert (await nobody.get("/ready")).status_code == 200
        manifest.write_text(json.dumps({"nodes": {}, "sources": {"source.shop.gems": source}}))
        for _ in range(2):
            response = await nobody.get("/ready")
            assert response.status_code == 503
            assert response.json()["detail"] == (
                "The datasets have changed since the API started: restart it."
            )
        for torn in ('{"nodes": {', "{}", ""):
            manifest.write_text(torn)
            assert (await nobody.get("/ready")).status_code == 503
        manifest.unlink()
        assert (await nobody.get("/ready")).status_code == 503
    finally:
        manifest.write_text(MANIFEST)
    assert (await nobody.get("/ready")).status_code == 200


def test_there_is_no_api_without_a_secret(away: Settings) -> None:
    away.assay_secret = None
    with pytest.raises(ValueError, match="ASSAY_SECRET is not set"):
        create_app(away, CATALOG)


def test_there_is_no_api_without_a_manifest(away: Settings) -> None:
    away.manifest.unlink()
    with pytest.raises(CatalogError, match="run `dbt parse`"):
        create_app(away)


async def test_the_docs_need_nothing_from_elsewhere(nobody: httpx.AsyncClient) -> None:
    """No other host, no inline script: the page works offline and under its own policy."""
    page = await nobody.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert not re.search(r"https?:", page.text)
    assert not re.search(r"<script>|<style>| on\w+=", page.text)
    for url in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        response = await nobody.get(url)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/")
        assert len(response.content) > 50


@pytest.mark.parametrize("name", ["app.py", "index.html", "..%2f..%2fpyproject.toml", "%2fetc"])
async def test_only_the_files_of_the_page_are_served(nobody: httpx.AsyncClient, name: str) -> None:
    assert (await nobody.get(f"/docs/{name}")).status_code == 404


async def test_the_datas_documentation_is_served_once_it_is_made(
    nobody: httpx.AsyncClient, settings: Settings
) -> None:
    missing = await nobody.get("/dbt")
    assert missing.status_code == 404
    assert "assay docs" in missing.json()["detail"]
    page = settings.project / "target" / "static_index.html"
    page.write_text("<html>lineage</html>")
    response = await nobody.get("/dbt")
    page.unlink()
    assert (response.status_code, response.text) == (200, "<html>lineage</html>")
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_health_needs_no_token_and_tells_nothing(app: FastAPI) -> None:
    async with client_of(app, client=("10.0.0.7", 1)) as client:
        for url in ("/live", "/ready"):
            response = await client.get(url, headers={"Host": "example.org"})
            assert list(response.json()) == ["status"]
