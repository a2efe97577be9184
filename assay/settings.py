"""Settings, from the environment and the project's `.env`; nothing here is a secret by default."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict
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


def _check_lake(url: str) -> str:
    if "://" in url and not url.startswith(("s3://", "file:///")):
        raise ValueError("a lake is at s3://bucket/folder, or in a folder of this machine")
    return url


_Network = Annotated[IPv4Network | IPv6Network, AfterValidator(_check_network)]
Networks = Annotated[tuple[_Network, ...], NoDecode, BeforeValidator(_split)]
_Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode, BeforeValidator(_split)
]
_Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
_LakeUrl = Annotated[str, AfterValidator(_check_lake)]
_Count = Annotated[int, Field(ge=1)]

UNSAFE_SETTINGS = 78
"""Exit code: EX_CONFIG of sysexits.h."""
_MIN_SECRET = 32
_MIN_DISTINCT = 10
"""Characters. Of 32 random hexadecimal digits, the shortest secret, 1 in 10,000 has fewer; of 64
none that anybody will see."""
_WORDS = ("your", "secret", "change", "example", "password", "default", "insecure", "123456")
_KNOWN_SECRETS = ("changethis", "changeme", "your-secret-key", "secret", "password", "admin")


class UnsafeSettingsError(Exception):
    """What keeps settings from being used in production; it repeats none of them."""


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
    env: Literal["development", "production"] = "development"
    """In production unsafe settings are refused before anything listens."""
    debug: str = ""
    """Nothing here looks for it, but libraries do; refused in production."""
    database_url: SecretStr | None = None
    """Any PostgreSQL 18; without it, the embedded one of the project. A bare `dbt` under it wants
    `PGHOST`, `PGUSER` ... too."""
    database_in_the_clear: bool = False
    """Whether connections to another machine may go without TLS, in a network that nobody else is
    in; in production it has to be said."""
    host: str = "127.0.0.1"
    """Address that the API listens on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Its port."""
    admin_username: str = "admin"
    """Of the first admin. For `assay up` another name with a password makes another admin."""
    admin_password: SecretStr | None = None
    """Of the first admin. `assay up` generates one, shows it once and keeps it in `.env`; the API
    makes the admin too, where one is set and there is no user yet. The password of an admin who
    exists is not changed."""
    assay_secret: SecretStr | None = None
    """Signs access tokens until `assay keys rotate` makes another key; at least 32 bytes. One is
    generated and kept in `.env`."""
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

    sync_url: str | None = None
    """Of the system that changes are delivered to."""
    sync_username: str | None = None
    """Of the account that logs in there."""
    sync_password: SecretStr | None = None
    """Its password."""
    sync_login: Literal["form", "json", "basic", "none"] = "form"
    """How it is logged in to: by a form (OAuth2's password login), the same fields as JSON, by the
    password with each request, or not at all."""
    sync_token_path: str = "/token"  # noqa: S105
    """Below its URL, where that login is."""
    sync_token_field: str = "access_token"  # noqa: S105
    """The field of its answer that has the token; without one a cookie does."""
    sync_interval_minutes: _Count = 10
    """How often the API looks for changes to deliver."""
    sync_timeout_seconds: float = Field(default=30, gt=0, le=3600)
    """How long a delivery of one batch may take."""
    sync_batch: int = Field(default=500, ge=1, le=10_000)
    """Changes in one request."""

    lake_url: _LakeUrl | None = None
    """Of the lake's files: `s3://bucket/folder`, or a folder; without it `.assay/lake` of the
    project."""
    lake_s3_endpoint: str | None = None
    """Of a store that speaks S3; without it, Amazon's."""
    lake_s3_region: str = "us-east-1"
    """Where its bucket is."""
    lake_s3_access_key_id: str | None = None
    """Who writes there; without it, whom the machine's own role or `AWS_...` name."""
    lake_s3_secret_access_key: SecretStr | None = None
    """Its secret."""

    open_registration: bool = False
    """Whether anybody may make himself a user."""
    registration_role: Literal["reader", "editor"] = "reader"
    """What whoever registered himself is; nobody becomes an admin so."""
    registration_scopes: _Words = ()
    """His scopes, such as `things:read things:write`; without any, all datasets that are not
    restricted."""

    @cached_property
    def keys_file(self) -> Path:
        """Keys that `assay keys rotate` made."""
        return self.project / ".assay" / "keys.json"

    @cached_property
    def lake_location(self) -> str:
        """`s3://...` or `file:///...`, with no / at its end.

        Raises:
            ValueError: Iceberg's locations would end within it.
        """
        url = self.lake_url or ".assay/lake"
        if not url.startswith("s3://"):
            url = f"file://{(self.project / url.removeprefix('file://')).resolve()}"
        if set(url) & {"#", "?"}:
            raise ValueError(f"LAKE_URL: the path of a lake has no # and no ?, as {url} has.")
        return url.rstrip("/")

    @cached_property
    def manifest(self) -> Path:
        return self.project / "target" / "manifest.json"


def read_settings(project: Path | None = None) -> Settings:
    """Settings of a project: the environment first, then its `.env`.

    Each secret may stand in a file that `<NAME>_FILE` names.

    Raises:
        ValueError: A setting has a wrong value; the message names it and does not repeat it.
    """
    project = project or find_project()
    try:
        secrets: dict[str, Any] = dict(_secrets_of_files())
        return Settings(project=project, _env_file=project / ".env", **secrets)  # type: ignore[call-arg]
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(faults)) from None


def check_production(settings: Settings) -> None:
    """Raises `UnsafeSettingsError` with all faults, one a line, where ENV is production."""
    faults = list(_faults(settings)) if settings.env == "production" else []
    if faults:
        raise UnsafeSettingsError("\n".join(["These settings are not for production.", *faults]))


def _faults(settings: Settings) -> Iterator[str]:
    secret = settings.assay_secret.get_secret_value() if settings.assay_secret else ""
    yield from _faults_of_secret(secret)
    yield from _faults_of_database(settings, secret)
    admin = settings.admin_password.get_secret_value() if settings.admin_password else ""
    if admin and _is_known(admin):
        yield "ADMIN_PASSWORD is one that everybody knows."
    if settings.open_registration:
        may = "read" if settings.registration_role == "reader" else "read and write"
        yield f"OPEN_REGISTRATION lets anybody {may}."
    yield from _in_the_open(settings)
    if settings.debug.lower() not in ("", "0", "false", "no", "off"):
        yield "DEBUG is on."


def _faults_of_secret(secret: str) -> Iterator[str]:
    if not secret:
        yield "ASSAY_SECRET is not set: make one with `openssl rand -hex 32`."
    else:
        if len(secret.encode()) < _MIN_SECRET:
            yield f"ASSAY_SECRET has less than {_MIN_SECRET} bytes."
        if _is_known(secret):
            yield "ASSAY_SECRET is one that everybody knows."
        elif len(set(secret)) < _MIN_DISTINCT or any(word in secret.lower() for word in _WORDS):
            yield "ASSAY_SECRET is not random: make one with `openssl rand -hex 32`."


def _faults_of_database(settings: Settings, secret: str) -> Iterator[str]:
    database = _database_of(settings)
    password = str(database.get("password") or "")
    if password and password == secret:
        yield "ASSAY_SECRET is also the password of the database."
    if password and _is_known(password):
        yield "The password of the database is one that everybody knows."
    if password and password == database.get("user"):
        yield "The password of the database is the name of its user."
    if _is_in_the_clear(database) and not settings.database_in_the_clear:
        yield (
            "DATABASE_URL leads to another machine without TLS: add `sslmode=verify-full` (or "
            "`require`), or set DATABASE_IN_THE_CLEAR where nobody else is in that network."
        )


def _in_the_open(settings: Settings) -> Iterator[str]:
    for name, url, what in (
        ("SYNC_URL", settings.sync_url, "its password"),
        ("LAKE_S3_ENDPOINT", settings.lake_s3_endpoint, "what is written"),
    ):
        if url and not url.startswith("https://"):
            yield f"{name} is not https: {what} could be read on the way."


def _is_known(secret: str) -> bool:
    """Also where it was made longer with itself, digits and dashes."""
    lower = secret.lower()
    return any(not lower.replace(known, "").strip("-_ 0123456789.!") for known in _KNOWN_SECRETS)


def _database_of(settings: Settings) -> Mapping[str, object]:
    """The parts of DATABASE_URL; none where it is none."""
    if settings.database_url is None:
        return {}
    try:
        return conninfo_to_dict(settings.database_url.get_secret_value())
    except OperationalError:
        return {}


def _is_in_the_clear(database: Mapping[str, object]) -> bool:
    hosts = str(database.get("hostaddr") or database.get("host") or "").split(",")
    is_here = all(
        host.startswith(("/", "@", "127.")) or host in ("", "localhost", "::1") for host in hosts
    )
    return not is_here and database.get("sslmode") not in ("require", "verify-ca", "verify-full")


def _secrets_of_files() -> Iterator[tuple[str, SecretStr]]:
    secrets = [n for n, f in Settings.model_fields.items() if f.annotation == SecretStr | None]
    for name in secrets:
        if os.environ.get(f"{name.upper()}_FILE"):
            yield name, SecretStr(secret_of(os.environ, name.upper()) or "")


def secret_of(said: Mapping[str, str | None], name: str) -> str | None:
    """What a variable says, or the file that `<NAME>_FILE` names.

    Raises:
        ValueError: Both are set, or the file cannot be read.
    """
    value, file = said.get(name), said.get(f"{name}_FILE")
    if not file:
        return value
    if value:
        raise ValueError(f"{name} and {name}_FILE are both set: keep one.")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"{name}_FILE names no file that can be read.") from None
