"""Settings, from the environment and the project's `.env`; nothing here is a secret by default."""

import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# Scheme, host, port: what a browser sends (RFC 6454, 6.2).
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?")


def _split(text: object) -> object:
    return text.replace(",", " ").split() if isinstance(text, str) else text


def _check_origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("an origin is like https://example.org:8443, in lower case; * is refused")
    return origin


def _check_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if network.prefixlen == 0:
        raise ValueError("this would be everybody")
    return network


_Network = Annotated[IPv4Network | IPv6Network, AfterValidator(_check_network)]
Networks = Annotated[tuple[_Network, ...], NoDecode, BeforeValidator(_split)]
_Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode, BeforeValidator(_split)
]
_Count = Annotated[int, Field(ge=1)]


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
    requests_per_minute: _Count = 6000
    """Of each user, and of each address that sends no valid token."""
    logins_per_minute: _Count = 30
    """Of each address."""
    uploads_per_minute: _Count = 60
    """Of each user."""
    exports_per_minute: _Count = 30
    """Of each user."""
    max_requests: _Count = 200
    """So many are answered at once; one more is answered 503."""
    cors_origins: _Origins = ()
    """Pages of these origins may ask the API from a browser."""
    trusted_proxies: Networks = ()
    """Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    operator_addresses: Networks = ()
    """Clients that may read `/docs`, `/openapi.json`, `/dbt` and `/metrics` from elsewhere."""
    log_format: Literal["json", "text"] | None = None
    """Without one: text on a terminal, JSON elsewhere."""

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
