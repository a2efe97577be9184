"""Where an API is, as the environment says."""

from pathlib import Path

import pytest

from assay.listings import Api
from assay.settings import Settings
from loader.http.access import access_to

API = Api("provider", "/login", None, 4, 5)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(project=tmp_path)


def test_without_a_url_it_is_nowhere(settings: Settings) -> None:
    assert access_to(API, settings) is None


def test_the_environment_comes_before_the_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "PROVIDER_URL=http://there\nPROVIDER_USERNAME=file\nPROVIDER_PASSWORD=kept\n"
    (settings.project / ".env").write_text(lines)
    monkeypatch.setenv("PROVIDER_USERNAME", "environment")
    access = access_to(API, settings)
    assert access
    assert (access.url, access.username) == ("http://there", "environment")
    assert access.password == "kept"  # noqa: S105
    assert "kept" not in repr(access)


def test_a_password_may_stand_in_a_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings.project / "secret"
    file.write_text("kept\n")
    monkeypatch.setenv("PROVIDER_URL", "http://there")
    monkeypatch.setenv("PROVIDER_PASSWORD_FILE", str(file))
    access = access_to(API, settings)
    assert access
    assert access.password == "kept"  # noqa: S105
    monkeypatch.setenv("PROVIDER_PASSWORD", "another")
    with pytest.raises(ValueError, match="both set: keep one"):
        access_to(API, settings)
    monkeypatch.delenv("PROVIDER_PASSWORD")
    file.unlink()
    with pytest.raises(ValueError, match="no file that can be read"):
        access_to(API, settings)


def test_no_password_travels_in_the_clear_in_production(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = settings.model_copy(update={"env": "production"})
    monkeypatch.setenv("PROVIDER_URL", "http://there")
    with pytest.raises(ValueError, match="PROVIDER_URL is not https"):
        access_to(API, production)
    monkeypatch.setenv("PROVIDER_URL", "https://there")
    assert access_to(API, production)
