"""Settings, the project's folder, secrets."""

import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from assay.environment import secret
from assay.settings import (
    Settings,
    UnsafeSettingsError,
    check_production,
    find_project,
    read_settings,
)
from tests.conftest import ROOT

GOOD = "0f9b2c7d4e6a8135" * 4


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dbt_project.yml").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    return tmp_path


def test_project_is_found_from_a_folder_within(project: Path) -> None:
    """As dbt does, the nearest folder above with a dbt_project.yml."""
    assert find_project(project / "deep" / "er") == project


def test_no_project(tmp_path: Path) -> None:
    """The error says what is looked for and where."""
    with pytest.raises(FileNotFoundError, match=r"No dbt_project\.yml"):
        find_project(tmp_path)


def test_environment_comes_before_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` says what the environment leaves out."""
    (project / ".env").write_text("PORT=8001\nHOST=0.0.0.0\n")
    monkeypatch.setenv("PORT", "8002")
    settings = read_settings(project)
    assert (settings.host, settings.port) == ("0.0.0.0", 8002)  # noqa: S104


def test_secrets_do_not_show(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the password of the database nor any other secret is in what a log would print."""
    for name in ("DATABASE_URL", "ADMIN_PASSWORD", "ASSAY_SECRET"):
        monkeypatch.setenv(name, "postgresql://u:hidden-word@h/d")
    assert "hidden-word" not in repr(read_settings(project))


def test_secret_is_made_once_and_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that nobody gave is random, in a file that only its owner reads."""
    monkeypatch.delenv("ASSAY_SECRET", raising=False)
    (project / ".env").write_text("PORT=8001")
    (project / ".env").chmod(0o600)
    value, is_new = secret(read_settings(project), "ASSAY_SECRET", None)
    assert is_new
    assert len(value) >= 32
    settings = read_settings(project)
    assert settings.port == 8001
    assert secret(settings, "ASSAY_SECRET", settings.assay_secret) == (value, False)
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600


def test_given_secret_is_not_written(project: Path) -> None:
    """What the environment gives stays there."""
    settings = read_settings(project)
    assert secret(settings, "ADMIN_PASSWORD", SecretStr("given")) == ("given", False)
    assert not (project / ".env").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "file://{project}/.assay/lake"),
        ("lake", "file://{project}/lake"),
        ("/a folder/lake/", "file:///a folder/lake"),
        ("file:///lake", "file:///lake"),
        ("s3://bucket/lake/", "s3://bucket/lake"),
    ],
)
def test_where_the_lake_is(project: Path, given: str | None, expected: str) -> None:
    """Below the project where it is not said from where, whatever folder a command is typed in."""
    settings = Settings(project=project, lake_url=given)
    assert settings.lake_location == expected.format(project=project.resolve())


@pytest.mark.parametrize("url", ["gs://bucket/lake", "file://lake", "http://example.org"])
def test_where_no_lake_is(project: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LAKE_URL", url)
    with pytest.raises(ValueError, match=r"LAKE_URL: .* s3://bucket/folder"):
        read_settings(project)


def test_a_folder_that_no_lake_is_in(tmp_path: Path) -> None:
    """Iceberg's locations are URLs, in which these end the path: files would be elsewhere."""
    with pytest.raises(ValueError, match="no # and no"):
        _ = Settings(project=tmp_path / "c#").lake_location


def production(project: Path, **settings: Any) -> Settings:
    values: dict[str, Any] = {
        "env": "production",
        "assay_secret": SecretStr(GOOD),
        "database_url": SecretStr("postgresql://assay:long-and-random@db/assay?sslmode=require"),
    }
    return Settings(project=project, **(values | settings))


def test_b19_good_settings_do_for_production(project: Path) -> None:
    """And any do for development."""
    check_production(production(project))
    check_production(production(project, env="development", assay_secret=None, debug="1"))
    for url in ("postgresql://a:b@localhost/a", "postgresql://a@/a?host=/tmp", "host=::1 user=a"):
        check_production(production(project, database_url=SecretStr(url)))
    clear = SecretStr("postgresql://a:b@db/a")
    check_production(production(project, database_url=clear, database_in_the_clear=True))


def test_b19_random_secrets_are_random(project: Path) -> None:
    """As `openssl rand -hex` and Python's own make them."""
    for made in (secrets.token_hex(32), secrets.token_urlsafe(32)):
        check_production(production(project, assay_secret=SecretStr(made)))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"assay_secret": None}, "ASSAY_SECRET is not set"),
        ({"assay_secret": SecretStr("")}, "ASSAY_SECRET is not set"),
        ({"assay_secret": SecretStr(GOOD[:31])}, "less than 32 bytes"),
        ({"assay_secret": SecretStr("changethis")}, "everybody knows"),
        ({"assay_secret": SecretStr("your-secret-key" * 3)}, "everybody knows"),
        ({"assay_secret": SecretStr("SECRET-secret-secret-secret-secret")}, "everybody knows"),
        (
            {"database_url": SecretStr(f"postgresql://assay:{GOOD}@db/assay")},
            "also the password of the database",
        ),
        ({"database_url": SecretStr("postgresql://a:changethis@db/a")}, "password of the database"),
        ({"admin_password": SecretStr("admin")}, "ADMIN_PASSWORD is one that everybody knows"),
        ({"assay_secret": SecretStr("a" * 64)}, "ASSAY_SECRET is not random"),
        ({"assay_secret": SecretStr("abcabcabd" * 8)}, "ASSAY_SECRET is not random"),
        ({"assay_secret": SecretStr("your-256-bit-secret-goes-in-here!")}, "is not random"),
        ({"assay_secret": SecretStr("ThisIsTheDefaultKeyOfTheTutorial01")}, "is not random"),
        ({"database_url": SecretStr("postgresql://assay:assay@localhost/a")}, "name of its user"),
        ({"database_url": SecretStr("postgresql://a:b@db/a")}, "without TLS"),
        ({"database_url": SecretStr("postgresql://a:b@db/a?sslmode=prefer")}, "without TLS"),
        ({"database_url": SecretStr("postgresql://a:b@127.0.0.1,db/a")}, "without TLS"),
        ({"database_url": SecretStr("postgresql://a:b@/a?hostaddr=10.0.0.1")}, "without TLS"),
        ({"open_registration": True}, "OPEN_REGISTRATION"),
        ({"lake_s3_endpoint": "http://example.org"}, "LAKE_S3_ENDPOINT is not https"),
        ({"debug": "true"}, "DEBUG"),
    ],
)
def test_b19_production_refuses_unsafe_settings(
    project: Path, settings: dict[str, Any], fault: str
) -> None:
    """Each by its name, and never with its value."""
    with pytest.raises(UnsafeSettingsError, match=fault) as raised:
        check_production(production(project, **settings))
    assert GOOD not in str(raised.value)
    assert len(str(raised.value).splitlines()) >= 2


@pytest.mark.parametrize(
    "command",
    [["-m", "assay", "serve"], ["-m", "assay", "up"], ["-m", "uvicorn", "api.app:app"]],
    ids=["serve", "up", "uvicorn"],
)
def test_b19_nothing_starts_with_unsafe_settings(project: Path, command: list[str]) -> None:
    """Exit code 78 and all faults at once; no secret is made up instead."""
    python = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(project)}
    unsafe = {"ENV": "production", "DEBUG": "1", "OPEN_REGISTRATION": "true"}
    run = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=python | unsafe,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 78, run.stderr
    for fault in ("ASSAY_SECRET is not set", "OPEN_REGISTRATION", "DEBUG"):
        assert fault in run.stderr
    assert not (project / ".env").exists()


def test_b21_secrets_come_from_files_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the end of line that editors leave; before `.env`."""
    file = project / "secret"
    file.write_text(f"{GOOD}\n")
    (project / ".env").write_text("ASSAY_SECRET=of the file .env\n")
    monkeypatch.delenv("ASSAY_SECRET", raising=False)
    monkeypatch.setenv("ASSAY_SECRET_FILE", str(file))
    settings = read_settings(project)
    assert settings.assay_secret
    assert settings.assay_secret.get_secret_value() == GOOD
    assert GOOD not in repr(settings) + str(settings.model_dump())


def test_b21_a_secret_has_one_place(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two, or a file that is not there, are refused without being repeated."""
    monkeypatch.setenv("ADMIN_PASSWORD_FILE", str(project / "none"))
    with pytest.raises(ValueError, match="ADMIN_PASSWORD_FILE names no file"):
        read_settings(project)
    monkeypatch.setenv("ADMIN_PASSWORD", GOOD)
    with pytest.raises(ValueError, match="both set") as raised:
        read_settings(project)
    assert GOOD not in str(raised.value)
