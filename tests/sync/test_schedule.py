"""Deliveries by the API itself, its account of them, and the command."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import Response

from api.app import create_app
from api.tokens import Tokens
from api.users import add_user_statement
from assay.settings import Settings, UnsafeSettingsError, check_production
from tests.conftest import PATIENCE, ROOT, copy_files
from tests.sync.conftest import Shop
from tests.sync.receiver import PASSWORD, USERNAME, System
from tests.sync.test_delivery import POISON, check_delivered

pytestmark = pytest.mark.anyio

SECRET = "a secret of the tests, more than 32 bytes"  # noqa: S105
LONG = "correct horse battery staple"


def settings_of(shop: Shop, project: Path) -> Settings:
    (project / "target").mkdir()
    (project / "target" / "manifest.json").write_text('{"nodes": {}, "sources": {}}')
    changes = {
        "project": project,
        "database_url": SecretStr(shop.url),
        "assay_secret": SecretStr(SECRET),
    }
    return shop.settings.model_copy(update=changes)


async def test_the_api_delivers_by_itself(
    shop: Shop, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every few minutes, which are seconds here."""
    monkeypatch.setattr("sync.schedule._UNIT", "seconds")
    settings = settings_of(shop, tmp_path).model_copy(update={"sync_interval_minutes": 1})
    app = create_app(settings, shop.catalog)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(PATIENCE):
            while len(system.rows) != len(shop.rows()):  # noqa: ASYNC110 - of another system
                await asyncio.sleep(0.1)
            await shop.put("7", quantity=70)
            while system.rows["7"]["quantity"] != 70 or shop.outbox():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    check_delivered(shop, system)


async def test_the_api_tells_how_deliveries_go(shop: Shop, system: System, tmp_path: Path) -> None:
    system.poison[POISON] = 422
    await shop.deliver()
    await shop.put("1")
    await shop.deliver(sync_url="http://127.0.0.1:9")
    shop.connection.execute("update journal.outbox set is_dead = true where key = '7'")
    shop.connection.execute(*add_user_statement("admin", LONG, "admin"))
    found = shop.connection.execute("select user_id from auth.users").fetchone()
    assert found
    app = create_app(
        settings_of(shop, tmp_path).model_copy(update={"sync_url": None}), shop.catalog
    )
    token = Tokens(SECRET).issue(found["user_id"])
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {token}"},
        ) as client,
    ):
        (item,) = (await client.get("/api/v1/sync")).json()["items"]
    assert (item["entity"], item["waiting"], item["dead"]) == ("products", 1, 1)
    assert item["delivered_at"] < item["failed_at"]
    assert "ConnectError" in item["error"]
    (letter,) = item["dead_letters"]
    assert (letter["key"], letter["error"]) == (POISON, "422: this is not for me")


@asynccontextmanager
async def asking(shop: Shop, settings: Settings, role: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, logged in as a user of a role."""
    shop.connection.execute(*add_user_statement(role, LONG, role))
    found = shop.connection.execute("select user_id from auth.users where username = %s", [role])
    (user,) = found.fetchall()
    app = create_app(settings, shop.catalog)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {Tokens(SECRET).issue(user['user_id'])}"},
        ) as client,
    ):
        yield client


async def test_an_admin_begins_deliveries(shop: Shop, system: System, tmp_path: Path) -> None:
    """202 at once; the state says whether they run, and what came of them."""
    system.seconds = 0.2
    async with asking(shop, settings_of(shop, tmp_path), "admin") as client:

        async def ended() -> dict[str, Any]:
            for _ in range(100):
                state: dict[str, Any] = (await client.get("/api/v1/sync")).json()
                if not state["is_running"]:
                    return state
                await asyncio.sleep(0.1)
            pytest.fail("it never ends")

        assert (await client.get("/api/v1/sync")).json()["is_running"] is False
        begun = await client.post("/api/v1/sync")
        assert (begun.status_code, begun.headers["location"]) == (202, "/api/v1/sync")
        assert begun.json()["is_running"] is True
        # asked again while it runs, it goes on until all is told that was there then
        await shop.put("70")
        assert (await client.post("/api/v1/sync")).status_code == 202
        (item,) = (await ended())["items"]
        assert (item["waiting"], item["dead"]) == (0, 0)
        assert system.rows == shop.rows()

        system.poison["7"] = 422
        await shop.put("7", quantity=55)
        await shop.put("71")
        await client.post("/api/v1/sync")
        (item,) = (await ended())["items"]
        assert (item["dead"], item["error"]) == (1, "422: this is not for me")
        system.poison.clear()
        await client.post("/api/v1/sync")
        assert (await ended())["items"][0]["dead"] == 1
        await client.post("/api/v1/sync?retry_dead=true")
        assert (await ended())["items"][0]["dead"] == 0
        assert system.rows == shop.rows()
        for query in ("retry_dead=yes", "revive=true"):
            assert (await client.post(f"/api/v1/sync?{query}")).status_code == 422


@pytest.mark.parametrize("role", ["reader", "editor"])
async def test_only_admins_begin_deliveries(shop: Shop, tmp_path: Path, role: str) -> None:
    async with asking(shop, settings_of(shop, tmp_path), role) as client:
        assert (await client.post("/api/v1/sync")).status_code == 403
        client.headers.pop("Authorization")
        assert (await client.post("/api/v1/sync")).status_code == 401


async def test_nothing_is_begun_without_a_receiver(shop: Shop, tmp_path: Path) -> None:
    settings = settings_of(shop, tmp_path).model_copy(update={"sync_url": ""})
    async with asking(shop, settings, "admin") as client:
        refused = await client.post("/api/v1/sync")
    assert refused.status_code == 409
    assert "SYNC_URL" in refused.json()["detail"]


async def test_the_command(shop: Shop, system: System, tmp_path: Path) -> None:
    """`assay sync` says what it did; it ends with 1 where something could not be delivered."""
    copy_files(tmp_path)
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
        "DATABASE_URL": shop.url,
        "SYNC_USERNAME": USERNAME,
        "SYNC_PASSWORD": PASSWORD,
    }

    def assay_sync(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "assay", "sync", *options],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    unset = await asyncio.to_thread(assay_sync)
    assert unset.returncode != 0
    assert "SYNC_URL" in unset.stderr + unset.stdout
    done = await asyncio.to_thread(assay_sync, SYNC_URL=system.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "products" in done.stdout
    check_delivered(shop, system)
    away = await asyncio.to_thread(assay_sync, SYNC_URL=system.url, SYNC_TOKEN_PATH="/nowhere")  # noqa: S106
    assert away.returncode == 0  # nothing was to be delivered
    await shop.put("9")
    away = await asyncio.to_thread(assay_sync, SYNC_URL=system.url, SYNC_TOKEN_PATH="/nowhere")  # noqa: S106
    assert away.returncode == 1
    assert "the login was answered 404" in away.stdout
    assert PASSWORD not in away.stdout + away.stderr
    for status in (500, 422):
        system.always = Response("out of order", status)
        failed = await asyncio.to_thread(assay_sync, SYNC_URL=system.url)
        assert failed.returncode == 1, failed.stdout
        assert f"{status}: out of order" in failed.stdout
    system.always = None
    assert (await asyncio.to_thread(assay_sync, SYNC_URL=system.url)).returncode == 1
    done = await asyncio.to_thread(assay_sync, "--retry-dead", SYNC_URL=system.url)
    assert done.returncode == 0, done.stdout + done.stderr
    check_delivered(shop, system)


def test_production_wants_https() -> None:
    settings = Settings(
        project=ROOT,
        env="production",
        assay_secret=SecretStr("k" * 8 + "9f3cbb17a6e2d4805c1b7e6a4d2f90ab"),
        sync_url="http://example.org",
    )
    with pytest.raises(UnsafeSettingsError, match="SYNC_URL is not https"):
        check_production(settings)
