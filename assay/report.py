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
from loader.report import PROPOSED, read_rejected, read_report

if TYPE_CHECKING:
    from assay.scaffold import Draft
    from lake.export import Account as Export
    from sync.delivery import Account

ROWS_SHOWN = 20
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


def print_results(console: Console, results: list[LoadResult]) -> None:
    """One line for each file: loaded, or known already."""
    for result in results:
        console.print(
            f"{printable(result.file_name)}: {result.state} as load {result.load_id},"
            f" {result.rows:,} rows into {result.source_table}"
        )


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
            rejected = read_rejected(connection, catalog, load["source_table"], load_id, ROWS_SHOWN)
            if rejected:
                total = sum(account["rejected"] for account in load["entities"])
                fed = catalog.fed_by(load["source_table"])
                is_personal = any(entity.has_personal_data for entity in fed)
                console.print(_rejected(rejected, total, is_personal=is_personal))


def print_draft(console: Console, file: Path, draft: "Draft") -> None:
    """What was drafted from a file, and what to do next."""
    for path in draft.files:
        console.print(f"made {path}", soft_wrap=True)
    console.print(f"{draft.name}: guessed from {draft.rows:,} rows, the key is {draft.key}")
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


def print_addresses(
    console: Console, settings: Settings, catalog: Catalog, admin: str, new_password: str | None
) -> None:
    """Where everything is, and how to log in."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    root = f"http://{host}:{settings.port}"
    lines = {
        "API": ", ".join(f"{root}/api/v1/{entity.path}" for entity in catalog.served),
        "Swagger UI": f"{root}/docs",
        "dbt docs": f"{root}/dbt",
        "log in": f"POST {root}/api/v1/auth/login as {admin}",
        "password": new_password or "the one that this user was made with",
    }
    for name, value in lines.items():
        console.print(f"{name:<11} {printable(value)}", soft_wrap=True)
    if new_password:
        console.print("            shown once; it is kept in .env")


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


def _rejected(rejected: list[dict[str, Any]], total: int, *, is_personal: bool) -> Table:
    shown = f"the first {len(rejected)} of {total:,}" if total > len(rejected) else f"{total:,}"
    # What a terminal shows is kept as a log: rows with personal columns are not shown there.
    heading = "why" if is_personal else "why, and the row as it came"
    table = Table("row", heading, title=f"rejected rows: {shown}")
    table.title_justify = "left"
    for row in rejected:
        lines = [f"[bold]{rule['name']}[/]: {printable(rule['message'])}" for rule in row["rules"]]
        if not is_personal:
            lines += [f"{PROPOSED} {printable(proposal)}" for proposal in row["proposals"]]
            came = row["malformed"] or ", ".join(value or "" for value in row["row"].values())
            lines.append(f"[dim]{printable(came)}[/]")
        table.add_row(str(row["row_number"]), "\n".join(lines))
    return table
