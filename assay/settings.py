"""Settings, from the environment and the project's `.env`; nothing here is a secret by default."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


def find_project(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: here) that holds a `dbt_project.yml`.

    Raises:
        FileNotFoundError: There is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise FileNotFoundError(f"No dbt_project.yml in {here} or above it: go to an Assay project.")


class Settings(BaseSettings):
    """What the environment says. Names are upper case there: `DATABASE_URL`, `PORT` ..."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", extra="ignore", use_attribute_docstrings=True
    )

    project: Path = Field(default_factory=find_project)
    database_url: SecretStr | None = None
    """Any PostgreSQL 18; without it, the embedded one of the project. A bare `dbt` under it wants
    `PGHOST`, `PGUSER` ... too."""
    host: str = "127.0.0.1"
    """Address that the API listens on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Its port."""
    admin_username: str = "admin"
    """Of the first admin. Another name with a password makes another admin."""
    admin_password: SecretStr | None = None
    """Of the first admin; one is generated, shown once and kept in `.env`. The password of an
    admin who exists is not changed."""
    assay_secret: SecretStr | None = None
    """Signs access tokens; at least 32 bytes. One is generated and kept in `.env`."""
    max_upload_mb: int = Field(default=1024, ge=1)
    """What is sent to the API may be as large, in units of 1,048,576 bytes; else it is 413."""

    @cached_property
    def manifest(self) -> Path:
        return self.project / "target" / "manifest.json"


def read_settings(project: Path | None = None) -> Settings:
    """Settings of a project: the environment first, then its `.env`.

    Raises:
        ValueError: A setting has a wrong value; the message names it and does not repeat it.
    """
    project = project or find_project()
    try:
        return Settings(project=project, _env_file=project / ".env")  # type: ignore[call-arg]
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(faults)) from None
