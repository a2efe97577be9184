"""The `assay` command: what people type. Each command is a few calls into the parts."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import FrameType
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from assay import dbt, environment, postgres, report
from assay.catalog import ENDINGS, Catalog, CatalogError, SourceTable
from assay.database import libpq_environment, start_database, upgrade
from assay.exchange import converted, form_of, write
from assay.listings import Api
from assay.settings import (
    UNSAFE_SETTINGS,
    Settings,
    UnsafeSettingsError,
    check_production,
    read_settings,
)
from assay.ways_back import ways_back
from loader.copy import load_file
from loader.errors import LoadError, UnavailableError
from loader.http.access import Access, access_to, recorded
from loader.http.extract import extract as read_api
from loader.kinds import lock_of
from loader.loads import LoadResult
from loader.readers import hash_file
from loader.report import WAITING
from loader.sources import find_source

app = typer.Typer(
    help="Raw files in; tested tables and a secured REST API out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
database_app = typer.Typer(help="The database.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys that sign access tokens.", no_args_is_help=True)
users_app = typer.Typer(help="People who may log in.", no_args_is_help=True)
app.add_typer(database_app, name="db")
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")

console = Console(highlight=False)


class Role(StrEnum):
    """What a user may do; each may do what the one before may."""

    READER = "reader"
    EDITOR = "editor"
    ADMIN = "admin"


Files = Annotated[list[Path] | None, typer.Argument(help="CSV or XLSX files to load.")]
Source = Annotated[
    str | None, typer.Option(help="Source table, such as <source>.<table>; else found by header.")
]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of text files, such as cp1252; else what the source declares, or UTF-8."),
]
Force = Annotated[bool, typer.Option("--force", help="Load bytes again that were loaded before.")]
Yes = Annotated[bool, typer.Option("--yes", help="Apply what is shown.")]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Recompute every row from raw, verdicts and journal.")
]

# docs/operations.md lists the exit codes.
FILE_REFUSED = 3
TRANSIENT_FAILURE = 5
BUILD_FAILED = 1

ADMINS = "select username from auth.users where role = 'admin' and is_active order by created_at"
USERS = "select username, role, scopes, is_active from auth.users order by username"
# Also what was taken back: somebody wanted it so.
KNOWN = "select sha256 from raw.loads where state in ('loaded', 'unloaded')"
BUILD_LOCK = "hashtextextended('assay build', 0)"
# PostgreSQL shows the two halves of an advisory lock's number.
BUILDING = f"""
select application_name, to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
from pg_locks
inner join pg_stat_activity using (pid)
where
    locktype = 'advisory' and granted
    and database = (select oid from pg_database where datname = current_database())
    and (classid::bigint << 32) | objid::bigint = {BUILD_LOCK}
"""  # noqa: S608  the text is our own


def main() -> None:
    """Run the command; mistakes that people can mend end in a sentence, not a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        app()
    except UnavailableError as error:
        _fail(str(error), TRANSIENT_FAILURE)
    except LoadError as error:
        _fail(str(error), FILE_REFUSED)
    except psycopg.OperationalError as error:
        what = "No database" if error.sqlstate is None else "The database failed"
        _fail(f"{what}: {error}".strip(), TRANSIENT_FAILURE)
    except postgres.PostgresError as error:
        _fail(f"No database: {error}", TRANSIENT_FAILURE)
    except ConnectionError as error:
        _fail(str(error), TRANSIENT_FAILURE)
    except psycopg.Error as error:
        _fail(f"The database refused: {error.diag.message_primary or error}", BUILD_FAILED)
    except UnsafeSettingsError as error:
        _fail(str(error), UNSAFE_SETTINGS)
    except (CatalogError, dbt.BuildError, OSError, ValueError) as error:
        _fail(str(error), BUILD_FAILED)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """What runs takes back what it began; a second signal does not wait for that.

    In a container this may be process 1, which a signal without a handler does not end.
    """
    signal.signal(number, signal.SIG_DFL)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        console.print(f"assay {version('assay')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Raw files in; tested tables and a secured REST API out."""


@app.command()
def up(
    files: Files = None,
    source: Source = None,
    encoding: Encoding = None,
    serve: Annotated[bool, typer.Option(help="End serving the API.")] = True,
    folder: Annotated[
        Path | None, typer.Option(help="Load, too, what is new in this folder and below it.")
    ] = None,
) -> None:
    """Do everything: database, load, build, docs, API. An empty database gets the sample."""
    settings = read_settings()
    check_production(settings)
    if serve:
        _check_port(settings)
    url, catalog = _prepare(settings)
    admin, new_password = _first_admin(settings, url)
    is_untouched = not files and _is_untouched(url)
    results = _load(url, catalog, files or [], source, encoding, force=False)
    if is_untouched:
        results += _load_samples(settings, url, catalog)
    if folder:
        results += _load_new(settings, url, catalog, folder)
    try:
        results += _extract(settings, url, catalog, [], full=False)
    except LoadError as error:  # another system's fault: what is here is built and served
        _say(f"{error}")
    if is_untouched:
        results += _extract_recorded(settings, url, catalog)
    waiting = _build(settings, url, catalog)
    if is_untouched:
        _write_samples(url, settings, catalog)
    if not dbt.is_documented(settings):
        _document(settings, url)
    report.print_results(console, results)
    report.print_loads(console, url, catalog, {r.load_id for r in results} | waiting)
    if serve:
        report.print_addresses(console, settings, catalog)
    report.print_login(console, admin, new_password)
    if serve:
        _serve(settings)
    else:
        console.print("Nothing is served: `assay serve` does.")


@app.command()
def load(
    files: Files = None,
    source: Source = None,
    encoding: Encoding = None,
    force: Force = False,
) -> None:
    """Copy files into the raw schema. Each is loaded whole or not at all."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    results = _load(url, catalog, files or [], source, encoding, force=force)
    report.print_results(console, results)


@app.command()
def extract(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Sources to read; else all that have a URL.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read all records, not only those that changed.")
    ] = False,
) -> None:
    """Copy records of other systems' APIs into the raw schema, whole or not at all."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    if not any(access_to(api, settings) for api in catalog.listed):
        names = ", ".join(f"{api.name.upper()}_URL" for api in catalog.listed)
        console.print(f"Nothing says where an API is: {names} would.", soft_wrap=True)
    report.print_results(console, _extract(settings, url, catalog, sources or [], full=full))


@app.command()
def build(
    full_refresh: FullRefresh = False,
    select: Annotated[str | None, typer.Option(help="dbt's node selection.")] = None,
) -> None:
    """Build and test the curated tables: `dbt build` without the unit tests of the SQL."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    waiting = _build(settings, url, catalog, full_refresh=full_refresh, select=select)
    report.print_loads(console, url, catalog, waiting)


@app.command()
def enrich() -> None:
    """Ask programs about what is curated, and load their answers: `assay build` takes them."""
    from assay.enrichment import enrich as answers_of  # noqa: PLC0415  the others ask nobody

    settings = read_settings()
    url, catalog = _prepare(settings)
    asked = [table for table in catalog.source_tables.values() if table.enrichment]
    for source_table in asked:
        with _bar(source_table.name, total=None) as advance:

            def on_progress(done: int, total: int) -> None:
                advance(done, f"{done:,} of {total:,}", total)

            result = answers_of(url, catalog, source_table, _user(), on_progress)
        if result is None:
            console.print(f"{source_table.name}: all is answered")
        else:
            report.print_results(console, [result])


@app.command()
def exchange(
    model: str,
    file: Annotated[Path, typer.Argument(help="File to write; an older one is replaced.")],
    form: Annotated[str, typer.Option(help="One of those in which the model is exchanged.")],
) -> None:
    """Write all rows of a model in a form in which the field exchanges them."""
    url, catalog = _prepare(read_settings())
    if model not in catalog.entities:
        raise ValueError(f"There is no model {model}, there is {', '.join(catalog.entities)}.")
    entity = catalog.entities[model]
    source_table, chosen = form_of(catalog, entity, form)
    with _bar(report.printable(file.name), total=None) as advance:

        def on_progress(rows: int) -> None:
            advance(rows, f"{rows:,} rows")

        write(url, entity, ways_back(entity, source_table), chosen, file, on_progress)


@app.command()
def sync(
    retry_dead: Annotated[
        bool, typer.Option("--retry-dead", help="Also what the receiver did not take before.")
    ] = False,
) -> None:
    """Deliver what has changed to the system at SYNC_URL, now."""
    from sync.delivery import deliver  # noqa: PLC0415 - the other commands send nothing

    settings = read_settings()
    if not settings.sync_url:
        raise ValueError("SYNC_URL is not set: it says where changes are delivered to.")
    url, catalog = _prepare(settings)
    accounts = asyncio.run(deliver(settings, url, catalog, revive=retry_dead))
    if accounts is None:
        console.print("Another worker is delivering.")
        return
    report.print_deliveries(console, accounts)
    if any(account.error or account.waiting for account in accounts):
        raise typer.Exit(1)


@app.command()
def export(
    models: Annotated[
        list[str] | None, typer.Argument(help="Curated or staging; else all that are `lake`.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Write all rows anew, and delete what is left over.")
    ] = False,
) -> None:
    """Bring the lake at LAKE_URL up to date with what has changed."""
    from lake.export import export as export_models  # noqa: PLC0415  200 ms, 60 MB

    settings = read_settings()
    check_production(settings)
    url, catalog = _prepare(settings)
    secret, _ = environment.secret(settings, "ASSAY_SECRET", settings.assay_secret)
    with _bar("export", total=None) as advance:
        accounts = export_models(
            settings,
            url,
            catalog,
            secret,
            models or (),
            compact=compact,
            advance=lambda model, rows: advance(rows, f"{model}: {rows:,} rows"),
        )
    if accounts is None:
        console.print("Another export is running.")
        return
    report.print_exports(console, accounts)


@app.command()
def scaffold(  # noqa: PLR0913, PLR0917  # what a person can choose
    file: Annotated[Path, typer.Argument(help="CSV or XLSX file of a new kind.")],
    name: Annotated[str | None, typer.Option(help="Of the dataset; else the file's.")] = None,
    source: Annotated[str | None, typer.Option(help="Who sends it; else the dataset.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of the workbook.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the text; else UTF-8.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Columns that tell rows apart, such as a,b; else found.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier draft.")] = False,
) -> None:
    """Draft a dataset from a file: source, staging, contract, rejected view, unit test."""
    from assay.scaffold import scaffold as draft_of  # noqa: PLC0415  the others draft nothing

    settings = read_settings()
    _, catalog = _prepare(settings)
    draft = draft_of(
        settings.project,
        catalog,
        file,
        name=name,
        source=source,
        sheet=sheet,
        encoding=encoding,
        key=[name.strip() for name in key.split(",")] if key else (),
        force=force,
    )
    report.print_draft(console, file, draft)


@app.command()
def unload(load_id: int) -> None:
    """Take a load back: each row on which nothing newer stands becomes what it was before."""
    settings = read_settings()
    url, catalog = _prepare(settings)
    _operate(settings, url, "unload", load_id=load_id, user=_user(), after_pending=True)
    report.print_unload(console, url, catalog, load_id)


@app.command()
def rejudge(model: str, yes: Yes = False) -> None:
    """Judge all history of a model again under today's rules, and show what that changes."""
    settings = read_settings()
    url, _ = _prepare(settings)
    _operate(settings, url, "rejudge", model_name=model, user=_user(), apply=yes)
    if not yes:
        console.print(f"Nothing was changed: `assay rejudge {report.printable(model)} --yes` does.")


@app.command()
def docs() -> None:
    """Make the dbt docs site, served under /dbt."""
    settings = read_settings()
    url, _ = _prepare(settings)
    _document(settings, url)


@app.command()
def serve() -> None:
    """Serve the API on HOST:PORT."""
    settings = read_settings()
    check_production(settings)
    _check_port(settings)
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
    role: Annotated[Role, typer.Option()] = Role.READER,
) -> None:
    """Add a user with a generated password, shown once."""
    url, _ = _prepare(read_settings())
    password = secrets.token_urlsafe(18)
    _create_user(url, username, password, role)
    console.print(f"{report.printable(username)} ({role}): password {password}", soft_wrap=True)


@users_app.command("list")
def list_users() -> None:
    """Show who may log in, and as what."""
    url, _ = _prepare(read_settings())
    with psycopg.connect(url) as connection:
        for username, role, scopes, is_active in connection.execute(USERS):
            rights = " ".join([role, *scopes, *([] if is_active else ["disabled"])])
            console.print(f"{report.printable(username)}: {report.printable(rights)}")


@users_app.command("password")
def set_password(username: str) -> None:
    """Give a user a generated password, shown once; it ends the user's sessions."""
    from api.users import set_password_statement  # noqa: PLC0415  hashing is only needed here

    url, _ = _prepare(read_settings())
    password = secrets.token_urlsafe(18)
    with psycopg.connect(url) as connection:
        _expect_user(connection.execute(*set_password_statement(username, password)), username)
    console.print(f"{report.printable(username)}: password {password}", soft_wrap=True)


@users_app.command("unlock")
def unlock_user(username: str) -> None:
    """Forget the failed logins of a user."""
    from api.throttle import subject_of  # noqa: PLC0415  only the API counts failures

    url, _ = _prepare(read_settings())
    with psycopg.connect(url) as connection:
        connection.execute("delete from auth.failures where subject = %s", (subject_of(username),))


@keys_app.command("rotate")
def rotate() -> None:
    """Sign access tokens with a new key; servers need no restart."""
    from api.tokens import rotate_keys  # noqa: PLC0415  only the API signs

    console.print(f"key {rotate_keys(read_settings().keys_file)} signs from now on")


def _prepare(settings: Settings) -> tuple[str, Catalog]:
    with _spinner("database and catalog"):
        url = start_database(settings)
        catalog = dbt.parse(settings, libpq_environment(url))
        upgrade(url, catalog)
    return url, catalog


def _check_port(settings: Settings) -> None:
    """Before the work, not after it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ValueError(
                f"{settings.host}:{settings.port} is not free ({error.strerror}): "
                "stop what listens there, or set PORT to another."
            ) from None


def _is_untouched(url: str) -> bool:
    """Whether nobody wrote to the database."""
    with psycopg.connect(url) as connection:
        loads = "select from raw.loads where state = 'loaded' limit 1"
        edits = "select from journal.edits limit 1"
        return not any(connection.execute(query).rowcount for query in (loads, edits))


def _sampled(catalog: Catalog) -> list[SourceTable]:
    return [table for table in catalog.source_tables.values() if table.sample]


def _load_samples(settings: Settings, url: str, catalog: Catalog) -> list[LoadResult]:
    results = []
    for source_table in _sampled(catalog):
        file = settings.project / (source_table.sample or "")
        loaded = _load_one(url, source_table, file, file.name, force=False, is_sample=True)
        results.append(loaded)
    return results


def _load_new(settings: Settings, url: str, catalog: Catalog, folder: Path) -> list[LoadResult]:
    """Load the files of a folder whose bytes were never loaded; what is refused is said.

    Samples that lie there are for databases to which nobody wrote.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder.")
    with psycopg.connect(url) as connection:
        known = {digest for (digest,) in connection.execute(KNOWN)}
    results = []
    samples = {(settings.project / s.sample).resolve() for s in _sampled(catalog) if s.sample}
    for file in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        is_table = file.suffix.lower().removeprefix(".") in ENDINGS and not lock_of(file.name)
        if is_hidden or not is_table or not file.is_file() or file.resolve() in samples:
            continue
        try:
            with TemporaryDirectory(prefix="assay-load-") as made:
                found = converted(catalog, file, Path(made))
                if hash_file(found[1] if found else file) in known:
                    continue
                source_table, path = found or (find_source(catalog, file, None), file)
                results.append(_load_one(url, source_table, path, file.name, force=False))
        except LoadError as error:  # what is here is built and served
            _say(str(error))
        except OSError as error:
            _say(f"{file}: the file cannot be read ({error.strerror}).")
    return results


def _extract_recorded(settings: Settings, url: str, catalog: Catalog) -> list[LoadResult]:
    """The recorded answers of the APIs that are nowhere."""
    results = []
    for api in catalog.listed:
        access = recorded(api, settings.project)
        if access and access_to(api, settings) is None:
            results += _extract_one(url, catalog, api, access)
    return results


def _write_samples(url: str, settings: Settings, catalog: Catalog) -> None:
    from api.samples import write_samples  # noqa: PLC0415 - loads do without the API

    asyncio.run(write_samples(url, settings.project, catalog))


def _load(  # noqa: PLR0913  # what a person can choose
    url: str,
    catalog: Catalog,
    files: list[Path],
    source: str | None,
    encoding: str | None = None,
    *,
    force: bool,
) -> list[LoadResult]:
    """Load each file that can be; where one of several cannot, say so and end with 1."""
    results: list[LoadResult] = []
    is_refused = False
    with TemporaryDirectory(prefix="assay-load-") as folder:
        for file in files:
            if lock := lock_of(file.name):
                _say(f"{file.name} is passed over: {lock}.")
                continue
            try:
                source_table, path = converted(catalog, file, Path(mkdtemp(dir=folder))) or (
                    find_source(catalog, file, source, encoding),
                    file,
                )
                results.append(_load_one(url, source_table, path, file.name, force=force))
            except LoadError as error:
                if len(files) == 1 or isinstance(error, UnavailableError):
                    raise
                _complain(str(error))
                is_refused = True
    if is_refused:
        report.print_results(console, results)
        raise typer.Exit(BUILD_FAILED)
    return results


def _extract(
    settings: Settings, url: str, catalog: Catalog, sources: list[str], *, full: bool
) -> list[LoadResult]:
    """Read the APIs of the named sources, or of all whose URL is set."""
    apis = {api.name: api for api in catalog.listed}
    for name in sources:
        if name not in apis:
            raise ValueError(f"{name} is no source with an API: {', '.join(apis) or 'none is'}.")
        if access_to(apis[name], settings) is None:
            raise ValueError(f"{name.upper()}_URL is not set: it says where {name} is.")
    results, errors = [], []
    for name in sources or apis:
        if access := access_to(apis[name], settings):
            try:
                results += _extract_one(url, catalog, apis[name], access, full=full)
            except LoadError as error:  # the others are read all the same
                errors.append(error)
    if errors:
        report.print_results(console, results)
        raise errors[0]
    return results


def _extract_one(
    url: str, catalog: Catalog, api: Api, access: Access, *, full: bool = False
) -> list[LoadResult]:
    with _bar(api.name, total=None) as advance:
        results = asyncio.run(
            read_api(
                url,
                api,
                catalog.listed[api],
                access,
                loaded_by=_user(),
                full=full,
                progress=lambda table, requests, records: advance(
                    requests, f"{table}: {records:,} records, {requests:,} requests"
                ),
            )
        )
        advance(1, f"{sum(result.rows for result in results or ()):,} records", 1)
    if results is None:
        console.print(f"Another process is reading {api.name}.")
    return results or []


def _load_one(  # noqa: PLR0913  # a load has these parts
    url: str,
    source_table: SourceTable,
    file: Path,
    name: str,
    *,
    force: bool,
    is_sample: bool = False,
) -> LoadResult:
    total = file.stat().st_size if file.is_file() else None
    with _bar(report.printable(name), total=total) as advance:
        return load_file(
            url,
            source_table,
            file,
            loaded_by=_user(),
            force=force,
            is_sample=is_sample,
            file_name=name,
            progress=lambda size, rows: advance(size, f"{rows:,} rows"),
        )


def _build(
    settings: Settings,
    url: str,
    catalog: Catalog,
    *,
    full_refresh: bool = False,
    select: str | None = None,
) -> set[int]:
    """Build, and say which loads were waiting for it."""
    with psycopg.connect(url) as connection:
        waiting = {load_id for (load_id,) in connection.execute(WAITING)}
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    arguments += ["--full-refresh"] if full_refresh else []
    arguments += ["--select", select] if select else []
    with _only_build(url) as turn, _bar("build", total=None) as advance:

        def on_progress(begun: int, total: int, name: str) -> None:
            advance(begun, name, total)

        try:
            dbt.run(
                settings,
                libpq_environment(url),
                *arguments,
                on_progress=on_progress,
                on_message=_say,
            )
        except dbt.BuildError as error:
            # Where the server went away this fails too: as no fault of the build.
            turn.execute("select")
            report.print_failed_tests(console, turn, catalog, error.failed_tests)
            raise
    return waiting


def _operate(settings: Settings, url: str, macro: str, **arguments: object) -> None:
    with _spinner(macro):
        dbt.run(
            settings,
            libpq_environment(url),
            *dbt.operation(macro, **arguments),
            on_message=_say,
        )


def _say(sentence: str) -> None:
    console.print(report.printable(sentence), soft_wrap=True)


def _user() -> str:
    return os.environ.get("USER", "assay")


def _document(settings: Settings, url: str) -> None:
    with _spinner("dbt docs"):
        dbt.document(settings, libpq_environment(url))


def _serve(settings: Settings) -> None:
    from api.server import serve_project  # noqa: PLC0415  the other commands do not serve

    os.environ["ASSAY_SECRET"] = environment.secret(
        settings, "ASSAY_SECRET", settings.assay_secret
    )[0]
    os.chdir(settings.project)
    serve_project(read_settings())


def _first_admin(settings: Settings, url: str) -> tuple[str, str | None]:
    """An admin who can log in, and the password if it was generated just now.

    One is made where there is none, and where the settings name a new one with a password.
    """
    from api.users import normal_username  # noqa: PLC0415  only here are users looked for

    with psycopg.connect(url) as connection:
        admins = [name for (name,) in connection.execute(ADMINS)]
    name = normal_username(settings.admin_username)
    if name in admins or (admins and settings.admin_password is None):
        return (name if name in admins else admins[0]), None
    password, is_new = environment.secret(settings, "ADMIN_PASSWORD", settings.admin_password)
    try:
        _create_user(url, name, password, Role.ADMIN)
    except ValueError as error:
        raise ValueError(f"ADMIN_USERNAME or ADMIN_PASSWORD: {error}") from None
    return name, password if is_new else None


def _expect_user(cursor: psycopg.Cursor[Any], username: str) -> None:
    if cursor.rowcount == 0:
        raise ValueError(f"There is no user {username}.")


def _create_user(url: str, username: str, password: str, role: Role) -> None:
    from api.users import add_user_statement  # noqa: PLC0415  hashing is only needed here

    with psycopg.connect(url) as connection:
        try:
            connection.execute(*add_user_statement(username, password, role))
        except psycopg.errors.UniqueViolation:
            raise ValueError(f"There is a user {username} already.") from None


@contextmanager
def _only_build(url: str) -> Iterator[psycopg.Connection]:
    """Builds run one after another; who waits is told for whom."""
    name = f"assay build of {_user()}, process {os.getpid()}"
    with psycopg.connect(url, autocommit=True, application_name=name) as connection:
        row = connection.execute(f"select pg_try_advisory_lock({BUILD_LOCK})").fetchone()
        if not (row and row[0]):
            for builder, since in connection.execute(BUILDING):
                sentence = f"Waiting for another build to end: {builder}, since {since} UTC."
                console.print(report.printable(sentence), soft_wrap=True)
            connection.execute(f"select pg_advisory_lock({BUILD_LOCK})")
        yield connection


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
    _complain(sentence)
    sys.exit(code)


def _complain(sentence: str) -> None:
    text = "\n".join(map(report.printable, sentence.splitlines()))
    Console(stderr=True, highlight=False).print(f"[bold red]assay:[/] {text}", soft_wrap=True)
