"""What the terminal says at the end: each load's account, rejected rows, addresses."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assay.catalog import Catalog
from assay.dbt import FailedTest
from assay.settings import Settings
from loader.loads import LoadResult
from loader.report import PROPOSED, read_examples, read_report

if TYPE_CHECKING:
    from assay.scaffold import Draft
    from lake.export import Account as Export
    from sync.delivery import Account

ROWS_SHOWN = 20
"""Of the rejected rows of each rule, and of those that a test found."""
MUCH_REJECTED = 5
"""Percent of a load's rows; more are warned of."""
ACCOUNT = ("rows", "new", "changed", "unchanged", "superseded", "duplicates", "rejected")
_FAILING = "select to_jsonb(found)::text from ({}\n) as found limit {}"
UNLOADED = ("deleted", "restored", "newer")


def print_deliveries(console: Console, accounts: "list[Account]") -> None:
    table = Table("dataset", "delivered", "waiting", "dead letters", "error")
    for account in accounts:
        counts = (account.delivered, account.waiting, account.dead)
        table.add_row(account.entity, *map(str, counts), escape(account.error or ""))
    console.print(table)


def print_exports(console: Console, accounts: "list[Export]") -> None:
    table = Table("model", "rows", "of them deletions", "", "lake")
    for account in accounts:
        counts = f"{account.rows:,}", f"{account.deletions:,}"
        how = "all rows" if account.is_whole else "changes"
        table.add_row(account.model, *counts, how, escape(account.location))
    console.print(table)
    for account in accounts:
        for treatment, names in account.hidden.items():
            listed = printable(", ".join(names))
            console.print(f"  {account.model}: {treatment} {listed}", soft_wrap=True)
    if any(account.hidden for account in accounts):
        console.print(
            "  They say something of people; `config.meta.lake.pii` says what becomes of them."
        )


def print_results(console: Console, results: list[LoadResult]) -> None:
    """One line for each file: loaded, or known already."""
    for result in results:
        console.print(
            f"{printable(result.file_name)}: {result.state} as load {result.load_id},"
            f" {result.rows:,} rows into {result.source_table}"
        )
        notes = (f"{name.replace('_', ' ')} {_note(note)}" for name, note in result.notes.items())
        console.print(f"  {'; '.join(notes)}")


def print_failed_tests(
    console: Console,
    connection: psycopg.Connection,
    catalog: Catalog,
    tests: tuple[FailedTest, ...],
) -> None:
    """Rows that a test of curated tables should not have found; personal data stand nowhere."""
    shown = {entity.name for entity in catalog.entities.values() if not entity.has_personal_data}
    for test in tests:
        if shown.issuperset(test.models):
            query = _FAILING.format(test.query, ROWS_SHOWN)
            for (row,) in connection.execute(query.encode()):
                console.print(printable(f"{test.name}: {row}"), soft_wrap=True)


def print_loads(console: Console, url: str, catalog: Catalog, load_ids: set[int]) -> None:
    """The account of each load, with what was rejected, repaired and warned of."""
    with psycopg.connect(url) as connection:
        for load_id in sorted(load_ids):
            load = read_report(connection, catalog, load_id)
            for account in load["entities"]:
                console.print(_account(load, account))
                _print_counts(console, account)
            fed = catalog.fed_by(load["source_table"])
            examples = read_examples(connection, catalog, load["source_table"], load_id, ROWS_SHOWN)
            # What a terminal shows is kept as a log: rows with personal columns do not appear.
            is_personal = any(entity.has_personal_data for entity in fed)
            for account in load["entities"]:
                shown = examples.get(account["entity"], {})
                _print_rejected(console, account, shown, is_personal=is_personal)


def print_draft(console: Console, file: Path, draft: "Draft") -> None:
    """What was drafted from a file, and what to do next."""
    for path in draft.files:
        console.print(f"made {path}", soft_wrap=True)
    key = draft.key
    if draft.key_columns:
        names = ", ".join(draft.key_columns)
        key += f", computed from {names}, which tell the rows apart (`--key A,B` takes others)"
    sentence = f"{draft.name}: guessed from {draft.rows:,} rows, the key is {key}"
    console.print(sentence, soft_wrap=True)
    if order := draft.notation.dates:
        console.print(f"a day over 12 proves it: dates are {order} (`dates` of the source)")
    if sign := draft.notation.decimal:
        console.print(f"a number proves it: the decimal sign is {sign!r} (`decimal` of the source)")
    next_ = f"assay up {shlex.quote(str(file))}"
    console.print(f"next: {printable(next_)}", soft_wrap=True)


def print_unload(console: Console, url: str, catalog: Catalog, load_id: int) -> None:
    """What taking a load back did."""
    with psycopg.connect(url) as connection:
        load = read_report(connection, catalog, load_id)
    console.print(f"load {load_id}, {printable(load['file_name'])}: {load['state']}")
    for done in load["unloads"]:
        counts = ", ".join(f"{name} {done[name]:,}" for name in UNLOADED)
        console.print(f"  {done['entity']}: {counts} rows")
        for name, rule in done["refused"].items():
            message = printable(rule["message"])
            console.print(f"  left as they are by {name}: {rule['count']:,} rows. {message}")


def print_addresses(console: Console, settings: Settings, catalog: Catalog) -> None:
    """Where everything is."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    root = f"http://{host}:{settings.port}"
    _print_named(
        console,
        {
            "API": ", ".join(f"{root}/api/v1/{entity.path}" for entity in catalog.served),
            "Swagger UI": f"{root}/docs",
            "dbt docs": f"{root}/dbt",
            "log in": f"POST {root}/api/v1/auth/login",
        },
    )


def print_login(console: Console, admin: str, new_password: str | None) -> None:
    """Who may log in; a password is shown when it is made."""
    password = new_password or "the one that this user was made with"
    _print_named(console, {"user": admin, "password": password})
    if new_password:
        console.print("            shown once; it is kept in .env")


def _print_named(console: Console, lines: dict[str, str]) -> None:
    for name, value in lines.items():
        console.print(f"{name:<11} {printable(value)}", soft_wrap=True)


def printable(text: str) -> str:
    """Text of people's files, without what a terminal or rich's markup would obey."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _account(load: dict[str, Any], account: dict[str, Any]) -> Table:
    title = f"{account['entity']}: load {load['load_id']}, {printable(load['file_name'])}"
    table = Table(title=title, title_justify="left")
    for name in ACCOUNT:
        table.add_column(name, justify="right")
    table.add_row(*(f"{account[name]:,}" for name in ACCOUNT))
    return table


def _print_counts(console: Console, account: dict[str, Any]) -> None:
    for column, count in account["repairs"].items():
        console.print(f"  repaired {column}: {count:,} rows")
    for name, warning in account["warnings"].items():
        message = printable(warning["message"])
        console.print(f"  warning {name}: {warning['count']:,} rows. {message}")


def _print_rejected(
    console: Console,
    account: dict[str, Any],
    examples: dict[str, list[dict[str, Any]]],
    *,
    is_personal: bool,
) -> None:
    """How many rows each rule rejected, and the first of them as they came."""
    if account["rejected"] * 100 > account["rows"] * MUCH_REJECTED:
        share = account["rejected"] / account["rows"]
        console.print(f"  warning: {share:.0%} of the rows of {account['entity']} are rejected")
    for name, rule in account["rules"].items():
        shown = examples.get(name, [])
        console.print(f"  [bold]{name}[/]: {rule['count']:,} rows. {printable(rule['message'])}")
        if is_personal:
            console.print(f"    rows {', '.join(str(row['row_number']) for row in shown)}")
            continue
        for row in shown:
            came = row["malformed"] or ", ".join(
                value or "" for value in (row["row"] or {}).values()
            )
            console.print(f"    row {row['row_number']}: [dim]{printable(came)}[/]")
            for proposal in row["proposals"]:
                console.print(f"      {PROPOSED} {printable(proposal)}")


def _note(note: object) -> str:
    match note:
        case dict():
            return ", ".join(f"{printable(key)} -> {_note(value)}" for key, value in note.items())
        case list():
            return ", ".join(map(_note, note))
        case _:
            return printable(repr(note) if isinstance(note, str) else str(note))
