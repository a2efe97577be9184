"""The `assay` command: what people type. Each command is a few calls into the parts."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from assay import dbt, environment, postgres, report
from assay.catalog import Catalog, CatalogError, SourceTable
from assay.database import libpq_environment, start_database, upgrade
from assay.settings import Settings, read_settings
from loader.copy import LoadResult, load_file
from loader.errors import LoadError
from loader.report import WAITING
from loader.sources import find_source

app = typer.Typer(
    help="Raw files in; tested tables and a secured REST API out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
database_app = typer.Typer(help="The database.", no_args_is_help=True)
users_app = typer.Typer(help="People who may log in.", no_args_is_help=True)
app.add_typer(database_app, name="db")
app.add_typer(users_app, name="users")

console = Console(highlight=False)

Files = Annotated[list[Path] | None, typer.Argument(help="CSV or XLSX files to load.")]
Source = Annotated[
    str | None, typer.Option(help="Source table, such as <source>.<table>; else found by header.")
]
Force = Annotated[bool, typer.Option("--force", help="Load bytes again that were loaded before.")]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Recompute every row from raw, verdicts and journal.")
]

# Exit codes: ROBUSTNESS of the loader; `sysexits.h` for a wrong configuration.
FILE_REFUSED = 3
TRANSIENT_FAILURE = 5
BUILD_FAILED = 1


def main() -> None:
    """Run the command; mistakes that people can mend end in a sentence, not a traceback."""
    try:
        app()
    except LoadError as error:
        _fail(str(error), FILE_REFUSED)
    except (postgres.PostgresError, psycopg.OperationalError) as error:
        _fail(f"No database: {error}".strip(), TRANSIENT_FAILURE)
    except (CatalogError, dbt.BuildError, FileNotFoundError, ValueError) as error:
        _fail(str(error), BUILD_FAILED)


@app.command()
def up(
    files: Files = None,
    source: Source = None,
    serve: Annotated[bool, typer.Option(help="End serving the API.")] = True,
) -> None:
    """Do everything: database, load, build, docs, API. An empty database gets the sample."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    new_password = _first_admin(settings, url)
    results = _load(url, catalog, files or _samples(settings, url, catalog), source, force=False)
    waiting = _build(settings, url)
    with _spinner("dbt docs"):
        dbt.run(settings, libpq_environment(url), "docs", "generate", "--static")
    report.print_results(console, results)
    report.print_loads(console, url, catalog, {r.load_id for r in results} | waiting)
    report.print_addresses(console, settings, catalog, new_password)
    if serve:
        _serve(settings)


@app.command()
def load(files: Files = None, source: Source = None, force: Force = False) -> None:
    """Copy files into the raw schema. Each is loaded whole or not at all."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    results = _load(url, catalog, files or [], source, force=force)
    report.print_results(console, results)


@app.command()
def build(
    full_refresh: FullRefresh = False,
    select: Annotated[str | None, typer.Option(help="dbt's node selection.")] = None,
) -> None:
    """Build and test the curated tables: `dbt build` without the unit tests of the SQL."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    waiting = _build(settings, url, full_refresh=full_refresh, select=select)
    report.print_loads(console, url, catalog, waiting)


@app.command()
def docs() -> None:
    """Make the dbt docs site, served under /dbt."""
    settings = read_settings()
    url, _ = _prepare(settings)
    with _spinner("dbt docs"):
        dbt.run(settings, libpq_environment(url), "docs", "generate", "--static")


@app.command()
def serve() -> None:
    """Serve the API on HOST:PORT."""
    settings = read_settings()
    start_database(settings)
    _serve(settings)


@database_app.command("start")
def start_server() -> None:
    """Start the embedded PostgreSQL and prepare it. `dbt` works on its own from then on."""
    url, _ = _prepare(read_settings())
    console.print(url, soft_wrap=True)


@database_app.command("stop")
def stop_server() -> None:
    """Stop the embedded PostgreSQL."""
    stopped = postgres.stop(read_settings().project)
    console.print("stopped" if stopped else "was not running")


@database_app.command("upgrade")
def upgrade_database() -> None:
    """Bring the platform's tables up to date and make the raw tables."""
    _prepare(read_settings())


@users_app.command("add")
def add_user(
    username: str,
    role: Annotated[str, typer.Option(help="reader, editor or admin")] = "reader",
) -> None:
    """Add a user with a generated password, shown once."""
    settings = read_settings()
    url, _ = _prepare(settings)
    password = secrets.token_urlsafe(18)
    _create_user(url, username, password, role)
    console.print(f"{username} ({role}): password [bold]{password}[/]")


def _prepare(settings: Settings) -> tuple[str, Catalog]:
    with _spinner("database and catalog"):
        url = start_database(settings)
        catalog = dbt.parse(settings)
        upgrade(url, catalog)
    return url, catalog


def _samples(settings: Settings, url: str, catalog: Catalog) -> list[Path]:
    """The bundled samples, for a database that has no loads; nothing for any other."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select exists (select from raw.loads)").fetchone()
    if row and row[0]:
        return []
    return [settings.project / s.sample for s in catalog.source_tables.values() if s.sample]


def _load(
    url: str, catalog: Catalog, files: list[Path], source: str | None, *, force: bool
) -> list[LoadResult]:
    return [_load_one(url, find_source(catalog, file, source), file, force=force) for file in files]


def _load_one(url: str, source_table: SourceTable, file: Path, *, force: bool) -> LoadResult:
    with _bar(file.name, total=file.stat().st_size) as advance:
        return load_file(
            url,
            source_table,
            file,
            loaded_by=os.environ.get("USER", "assay"),
            force=force,
            progress=lambda size, rows: advance(size, f"{rows:,} rows"),
        )


def _build(
    settings: Settings, url: str, *, full_refresh: bool = False, select: str | None = None
) -> set[int]:
    """Build, and say which loads were waiting for it."""
    with psycopg.connect(url) as connection:
        waiting = {load_id for (load_id,) in connection.execute(WAITING)}
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    arguments += ["--full-refresh"] if full_refresh else []
    arguments += ["--select", select] if select else []
    with _bar("build", total=None) as advance:

        def on_progress(begun: int, total: int, name: str) -> None:
            advance(begun, name, total)

        dbt.run(
            settings,
            libpq_environment(url),
            *arguments,
            on_progress=on_progress,
            on_message=lambda sentence: console.print(escape(sentence)),
        )
    return waiting


def _serve(settings: Settings) -> None:
    import uvicorn  # noqa: PLC0415  the other commands do not serve

    os.environ["ASSAY_SECRET"] = environment.secret(
        settings, "ASSAY_SECRET", settings.assay_secret
    )[0]
    os.chdir(settings.project)
    uvicorn.run(
        "api.app:app",
        host=settings.host,
        port=settings.port,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
        log_level="warning",
    )


def _first_admin(settings: Settings, url: str) -> str | None:
    """Make the first admin where there is none; the password, if it was generated just now."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select exists (select from auth.users where role = 'admin' and is_active)"
        ).fetchone()
    if row and row[0]:
        return None
    password, is_new = environment.secret(settings, "ADMIN_PASSWORD", settings.admin_password)
    _create_user(url, settings.admin_username, password, "admin")
    return password if is_new else None


def _create_user(url: str, username: str, password: str, role: str) -> None:
    from api.users import add_user_statement  # noqa: PLC0415  hashing is only needed here

    with psycopg.connect(url) as connection:
        connection.execute(*add_user_statement(username, password, role))


@contextmanager
def _spinner(what: str) -> Iterator[None]:
    with console.status(what):
        yield


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Any]:
    """A progress bar; yields a function of (done, what is being done, new total)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(done: int, note: str, new_total: int | None = total) -> None:
            progress.update(task, completed=done, note=note, total=new_total)

        yield advance


def _fail(sentence: str, code: int) -> None:
    Console(stderr=True, highlight=False).print(f"[bold red]assay:[/] {escape(sentence)}")
    sys.exit(code)
