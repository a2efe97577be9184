"""Whoever starts the API, the settings' admin is there, unless somebody else is."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.users import add_user_statement
from assay.settings import Settings
from tests.api.conftest import CATALOG, MANIFEST, PASSWORD, SECRET, client_of
from tests.conftest import PLATFORM

pytestmark = pytest.mark.anyio


def prepare(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create schema raw")
        for migration in PLATFORM:
            connection.execute(migration)


@pytest.fixture
def settings(create_database: Callable[..., str], tmp_path: Path) -> Settings:
    """Of a database that nobody prepared yet."""
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text(MANIFEST)
    return Settings(
        project=tmp_path,
        database_url=SecretStr(create_database()),
        assay_secret=SecretStr(SECRET),
        admin_username="Root",
        admin_password=SecretStr(PASSWORD),
    )


def url_of(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url.get_secret_value()


def users(settings: Settings) -> list[tuple[str, str]]:
    with psycopg.connect(url_of(settings)) as connection:
        return connection.execute("select username, role from auth.users").fetchall()


async def log_in(settings: Settings, *, tries: int = 100) -> int:
    """The status of the last login."""
    app = create_app(settings, CATALOG)
    status = 0
    async with app.router.lifespan_context(app), client_of(app) as client:
        for _ in range(tries):
            form = {"username": "root", "password": PASSWORD}
            status = (await client.post("/api/v1/auth/login", data=form)).status_code
            if status == 200:
                break
            app.state.limits = type(app.state.limits)(settings)  # for each try a budget of its own
            await asyncio.sleep(0.1)
    return status


async def test_the_admin_of_the_settings(settings: Settings) -> None:
    """Of two processes that start at once, one makes him; later ones change nothing."""
    prepare(url_of(settings))
    assert await asyncio.gather(log_in(settings), log_in(settings)) == [200, 200]
    assert users(settings) == [("root", "admin")]
    other = settings.model_copy(update={"admin_username": "another"})
    await log_in(other, tries=1)
    assert users(settings) == [("root", "admin")]


async def test_a_database_that_comes_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.first_admin._ASK_AGAIN", 0.05)
    asked = asyncio.create_task(log_in(settings))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(prepare, url_of(settings))
    assert await asked == 200


async def test_where_somebody_is_nobody_is_made(settings: Settings) -> None:
    """Not even where it is no admin."""
    prepare(url_of(settings))
    with psycopg.connect(url_of(settings)) as connection:
        connection.execute(*add_user_statement("reader", PASSWORD, "reader"))
    assert await log_in(settings, tries=5) == 401
    assert users(settings) == [("reader", "reader")]


@pytest.mark.parametrize(
    ("name", "password"), [("root", "short"), ("root", "rootrootrootroot"), (" ", PASSWORD)]
)
async def test_settings_that_do_not_do(
    settings: Settings, name: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, and does not repeat the password."""
    prepare(url_of(settings))
    wrong = {"admin_username": name, "admin_password": SecretStr(password)}
    await log_in(settings.model_copy(update=wrong), tries=5)
    assert users(settings) == []
    assert "ADMIN_USERNAME or ADMIN_PASSWORD" in caplog.text
    assert password not in caplog.text
