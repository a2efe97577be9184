"""The API over an invented catalog: one entity with a column of every type, and one source."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import dict_row
from pydantic import SecretStr

from api import loads, uploads
from api.app import create_app
from api.tokens import Tokens
from api.users import ROLES, add_user_statement
from assay.catalog import (
    Catalog,
    Column,
    Entity,
    Rule,
    SourceColumn,
    SourceTable,
    read_catalog,
)
from assay.database import upgrade
from assay.settings import Settings
from loader.tables import create_raw_tables
from tests.conftest import PATIENCE, PLATFORM, ROOT, copy_files
from tests.warehouse import DATABASE, Invoke, Warehouse, dbt_of

SECRET = "a secret of the tests, more than 32 bytes"  # noqa: S105 - of the tests
PASSWORD = "correct horse battery staple"  # noqa: S105
GEMS = "/api/v1/gems"
NOBODYS = "0b8e5f6a-3c1d-4e7f-9a2b-5c6d7e8f9a0b"
"""A key of no row; the name of a test is the same in each of its processes."""
MANIFEST = '{"nodes": {}, "sources": {}}'
"""What a project without datasets has; the tests give the API their own."""


def column(name: str, data_type: str, **options: Any) -> Column:
    values: dict[str, Any] = {
        "title": name.replace("_", " ").capitalize(),
        "description": f"The {name.replace('_', ' ')}.",
        "is_nullable": True,
        "is_server_owned": False,
        "default": None,
        "enum": (),
        "examples": (),
    }
    return Column(name=name, data_type=data_type, **(values | options))


def check(name: str, *columns: str) -> Rule:
    return Rule(name, "check", columns, f"Broken: {name}.")


GEM = Entity(
    name="gems",
    schema="curated",
    table="gems",
    title="Gems",
    description="One row per gem.",
    path="gems",
    key=("gem_id",),
    columns=(
        column(
            "gem_id", "uuid", is_nullable=False, is_server_owned=True, default="md5(label)::uuid"
        ),
        column("label", "text", is_nullable=False, examples=("Koh-i-Noor",)),
        column("grade", "smallint", is_nullable=False, default="3", examples=(2,)),
        column("facets", "integer"),
        column("atoms", "bigint"),
        column("carat", "numeric", examples=(1.5,)),
        column("hardness", "double precision"),
        column("is_cut", "boolean"),
        column("found_date", "date"),
        column("sold_at", "timestamptz"),
        column("colours", "text[]"),
        column("extra", "jsonb"),
        column(
            "state",
            "text",
            is_nullable=False,
            default="case when carat is null then 'unweighed' else 'weighed' end",
            enum=("weighed", "unweighed"),
        ),
        column("mine", "text", references="mines"),
        column("notes", "text[]", is_nullable=False, is_server_owned=True, default="'{}'::text[]"),
        column("updated_at", "timestamptz", is_nullable=False, is_server_owned=True),
        column("updated_by", "text", is_nullable=False, is_server_owned=True),
    ),
    rules=(
        Rule("label_required", "not_null", ("label",), "A gem has a label."),
        check("label_short", "label"),
        Rule(
            "label_plain",
            "check",
            ("label",),
            "The label should be ASCII.",
            "warn",
            "label ~ '^[ -~]*$'",
        ),
        Rule("grade_first", "check", ("grade",), "The grade should be 1.", "warn", "grade = 1"),
        Rule("one_label", "unique", ("label",), "Another gem has this label."),
        Rule("grade_type", "cast", ("grade",), "The grade is a whole number."),
        Rule("grade_required", "not_null", ("grade",), "Leave the grade out to get 3."),
        check("grade_range", "grade"),
        check("weighed_has_carat", "state", "carat"),
        Rule("state_required", "not_null", ("state",), "A gem has a state."),
        Rule("known_mine", "check", ("mine",), "There is no such mine."),
        Rule("gem_id_unique", "unique", ("gem_id",), "Gem id: another row has this."),
    ),
    source_tables=("shop.gems",),
    file_sources=("shop.gems",),
)

STONE = Entity(
    name="stones",
    schema="curated",
    table="stones",
    title="Stones",
    description="One row per stone; its key is the client's, and its columns have awkward names.",
    path="stones",
    key=("code",),
    columns=(
        column("code", "integer", is_nullable=False),
        column("json", "text"),
        column("operation", "text"),
        column('Order "by" it', "text", default="'it''s'"),
        column("updated_at", "timestamptz", is_nullable=False, is_server_owned=True),
        column("updated_by", "text", is_nullable=False, is_server_owned=True),
    ),
    rules=(),
    source_tables=(),
)

MINE = Entity(
    name="mines",
    schema="curated",
    table="mines",
    title="Mines",
    description="One row per mine, to which gems refer.",
    path="mines",
    key=("mine",),
    columns=(column("mine", "text", is_nullable=False), column("country", "text")),
    rules=(),
    source_tables=(),
)

SOURCE = SourceTable(
    name="shop.gems",
    schema="raw",
    table="shop__gems",
    description="",
    columns=(
        SourceColumn("gem", "Gem", (), True, "", ()),
        SourceColumn("weight", "Weight (ct)", (), True, "", ()),
    ),
    formats=("csv",),
    sheet=None,
    delimiter=None,
    encoding=None,
    sample=None,
)

CATALOG = Catalog({"gems": GEM, "mines": MINE, "stones": STONE}, {"shop.gems": SOURCE})

TABLES = """
create table curated.mines (
    mine text primary key,
    country text,
    _transaction_id xid8 not null default pg_current_xact_id()
);
insert into curated.mines values ('Golconda', 'India');
create table curated.gems (
    gem_id uuid,
    label text constraint gems__label_required not null,
    grade smallint constraint gems__grade_required not null,
    facets integer,
    atoms bigint,
    carat numeric,
    hardness double precision,
    is_cut boolean,
    found_date date,
    sold_at timestamptz,
    colours text[],
    extra jsonb,
    state text not null,
    mine text,
    notes text[] not null,
    updated_at timestamptz not null,
    updated_by text not null,
    _transaction_id xid8 not null default pg_current_xact_id(),
    constraint gems__one_label unique (label),
    constraint gems__label_short check (octet_length(label) <= 40),
    constraint gems__grade_range check (grade between 1 and 5),
    constraint gems__weighed_has_carat check ((state = 'weighed') = (carat is not null)),
    constraint gems__known_mine
    foreign key (mine) references curated.mines deferrable initially deferred
);
-- As the build does it: PostgreSQL checks indexes in the order in which they were made.
alter table curated.gems add constraint gems__gem_id_unique primary key (gem_id);
create table curated.stones (
    code integer primary key,
    json text,
    operation text,
    "Order ""by"" it" text,
    updated_at timestamptz not null,
    updated_by text not null,
    _transaction_id xid8 not null default pg_current_xact_id()
);
"""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def database_url(create_database: Callable[..., str]) -> str:
    url = create_database()
    with psycopg.connect(url) as connection:
        connection.execute("create schema raw")
        for migration in PLATFORM:
            connection.execute(migration)
        connection.execute(TABLES)
        create_raw_tables(connection, CATALOG)
        for role in ("reader", "editor", "admin"):
            connection.execute(*add_user_statement(role, PASSWORD, role))
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection beside the API's; what the tests wrote is gone after each."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection
        connection.execute(
            "set session_replication_role = replica;"
            "delete from curated.gems; delete from curated.stones; delete from journal.edits;"
            "delete from journal.verdicts; delete from journal.accounts;"
            "delete from auth.answered_requests; delete from journal.unloads;"
            "delete from raw.loads; delete from raw.shop__gems;"
            "delete from auth.failures; delete from auth.audit_events;"
            "delete from auth.users where username not in ('reader', 'editor', 'admin')"
        )


@pytest.fixture(scope="session")
def users(database_url: str) -> dict[str, UUID]:
    with psycopg.connect(database_url) as connection:
        return dict(connection.execute("select username, user_id from auth.users").fetchall())


@pytest.fixture(scope="session")
def tokens() -> Tokens:
    return Tokens(SECRET)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "target").mkdir()
    (folder / "target" / "manifest.json").write_text(MANIFEST)
    return folder


@pytest.fixture(scope="session")
def settings(project: Path, database_url: str) -> Settings:
    return Settings(
        project=project,
        database_url=SecretStr(database_url),
        assay_secret=SecretStr(SECRET),
        # The tests ask more often than people; those of limits set their own.
        requests_per_minute=10**9,
        logins_per_minute=10**9,
        uploads_per_minute=10**9,
        exports_per_minute=10**9,
    )


@pytest.fixture(scope="session")
async def app(settings: Settings, anyio_backend: str) -> AsyncIterator[FastAPI]:  # noqa: ARG001
    app = create_app(settings, CATALOG)
    async with app.router.lifespan_context(app):
        yield app


def client_of(app: FastAPI, token: str | None = None, **options: Any) -> httpx.AsyncClient:
    # What the tests change they change as it is; those of preconditions send their own.
    headers = {"If-Match": "*"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, **options),
        base_url="http://localhost:8000",
        headers=headers,
    )


@dataclass
class Clients:
    """One per role, and one of nobody's."""

    nobody: httpx.AsyncClient
    reader: httpx.AsyncClient
    editor: httpx.AsyncClient
    admin: httpx.AsyncClient


@pytest.fixture
async def clients(app: FastAPI, users: dict[str, UUID], tokens: Tokens) -> Clients:
    return Clients(
        client_of(app),
        *(client_of(app, tokens.issue(users[role])) for role in ("reader", "editor", "admin")),
    )


@pytest.fixture
async def nobody(clients: Clients) -> httpx.AsyncClient:
    return clients.nobody


@pytest.fixture
async def reader(clients: Clients) -> httpx.AsyncClient:
    return clients.reader


@pytest.fixture
async def editor(
    clients: Clients,
    database: psycopg.Connection[dict[str, Any]],  # noqa: ARG001 - cleans up
) -> httpx.AsyncClient:
    return clients.editor


@dataclass
class Served:
    """Datasets that dbt built, and the API over them."""

    warehouse: Warehouse
    app: FastAPI
    reader: httpx.AsyncClient
    editor: httpx.AsyncClient


@dataclass
class Datasets:
    """A project with two datasets, and a database where they are built, to be copied.

    The platform computes the key of one; the key of the other is a text of the client's.
    """

    folder: Path
    dbt: Invoke
    catalog: Catalog
    template: str


@pytest.fixture(scope="session")
def datasets(
    tmp_path_factory: pytest.TempPathFactory, create_database: Callable[..., str]
) -> Iterator[Datasets]:
    folder = tmp_path_factory.mktemp("datasets")
    copy_files(folder)
    dataset = ROOT / "tests" / "e2e" / "dataset"
    shutil.copytree(dataset, folder / "dbt_project", dirs_exist_ok=True)
    with dbt_of(folder, folder / "target") as dbt:
        assert dbt(create_database(name=DATABASE), "parse").success
        read = read_catalog(folder / "target" / "manifest.json")
        catalog = Catalog(read.entities, dict(sorted(read.source_tables.items())))
        url = create_database(name=DATABASE)
        upgrade(url, catalog)
        warehouse = Warehouse(url, catalog, folder, dbt, create_database, excluded=())
        for role in ("reader", "editor"):
            warehouse.connection.execute(*add_user_statement(role, PASSWORD, role))
        warehouse.build()
        yield Datasets(folder, dbt, catalog, warehouse.save_as("datasets"))


@pytest.fixture
async def served(
    datasets: Datasets, create_database: Callable[..., str], tokens: Tokens, tmp_path: Path
) -> AsyncIterator[Served]:
    url = create_database(datasets.template, DATABASE)
    warehouse = Warehouse(url, datasets.catalog, tmp_path, datasets.dbt, create_database)
    settings = Settings(
        project=datasets.folder, database_url=SecretStr(url), assay_secret=SecretStr(SECRET)
    )
    app = create_app(settings, datasets.catalog)
    ids = {u["username"]: u["user_id"] for u in warehouse.query("select * from auth.users")}
    async with (
        app.router.lifespan_context(app),
        client_of(app, tokens.issue(ids["reader"])) as reader,
        client_of(app, tokens.issue(ids["editor"])) as editor,
    ):
        with warehouse.connection:
            yield Served(warehouse, app, reader, editor)


@pytest.fixture(scope="module")
def project_url(built: tuple[Path, str], create_database: Callable[..., str]) -> str:
    """A database of the project's own datasets, with a user of each role."""
    url = create_database(built[1])
    with psycopg.connect(url) as connection:
        for role in ROLES:
            connection.execute(*add_user_statement(role, PASSWORD, role))
    return url


@pytest.fixture(scope="module")
async def project_app(
    built: tuple[Path, str],
    project_url: str,
    anyio_backend: str,  # noqa: ARG001
) -> AsyncIterator[FastAPI]:
    """The API of the project's own datasets, with a real build worker."""
    settings = Settings(
        project=built[0],
        database_url=SecretStr(project_url),
        assay_secret=SecretStr(SECRET),
        max_upload_mb=1,
        uploads_per_minute=10**9,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts while other tests run may take longer than people are to wait."""
    for module in (loads, uploads):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", PATIENCE)


async def upload(client: httpx.AsyncClient, path: str, content: bytes, name: str) -> httpx.Response:
    """Send a file; the report of its load, also where the build takes longer than an answer may."""
    response = await client.put(path, files={"file": (name, content)}, timeout=60)
    if response.status_code != 202:
        return response
    async with asyncio.timeout(60):
        while (report := await client.get(response.headers["location"])).json()["pending"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return report
