"""Settings, the project's folder, secrets."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from assay.environment import secret
from assay.settings import find_project, read_settings


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
