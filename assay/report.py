"""What the terminal says at the end: each load's account, rejected rows, addresses."""

from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assay.catalog import Catalog
from assay.settings import Settings
from loader.copy import LoadResult
from loader.report import read_rejected, read_report

REJECTED_SHOWN = 20
ACCOUNT = ("rows", "new", "changed", "unchanged", "superseded", "duplicates", "rejected")


def print_results(console: Console, results: list[LoadResult]) -> None:
    """One line for each file: loaded, or known already."""
    for result in results:
        console.print(
            f"{escape(result.file_name)}: {result.state} as load {result.load_id},"
            f" {result.rows:,} rows into {result.source_table}"
        )


def print_loads(console: Console, url: str, catalog: Catalog, load_ids: set[int]) -> None:
    """The account of each load, with what was rejected, repaired and warned of."""
    with psycopg.connect(url) as connection:
        for load_id in sorted(load_ids):
            load = read_report(connection, catalog, load_id)
            for account in load["entities"]:
                console.print(_account(load, account))
                _print_counts(console, account)
            rejected = read_rejected(
                connection, catalog, load["source_table"], load_id, REJECTED_SHOWN
            )
            if rejected:
                total = sum(account["rejected"] for account in load["entities"])
                console.print(_rejected(rejected, total))


def print_addresses(
    console: Console, settings: Settings, catalog: Catalog, new_password: str | None
) -> None:
    """Where everything is, and how to log in."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    root = f"http://{host}:{settings.port}"
    table = Table.grid(padding=(0, 2))
    table.add_row("API", ", ".join(f"{root}/api/v1/{entity.path}" for entity in catalog.served))
    table.add_row("Swagger UI", f"{root}/docs")
    table.add_row("dbt docs", f"{root}/dbt")
    table.add_row("log in", f"POST {root}/api/v1/auth/login as {settings.admin_username}")
    if new_password:
        table.add_row("password", f"{new_password}  (shown once; it is in .env)")
    else:
        table.add_row("password", "ADMIN_PASSWORD of the environment or .env")
    console.print(table)


def _account(load: dict[str, Any], account: dict[str, Any]) -> Table:
    title = f"{account['entity']}: load {load['load_id']}, {escape(load['file_name'])}"
    table = Table(title=title, title_justify="left")
    for name in ACCOUNT:
        table.add_column(name, justify="right")
    table.add_row(*(f"{account[name]:,}" for name in ACCOUNT))
    return table


def _print_counts(console: Console, account: dict[str, Any]) -> None:
    for column, count in account["repairs"].items():
        console.print(f"  repaired {column}: {count:,} rows")
    for name, warning in account["warnings"].items():
        console.print(f"  warning {name}: {warning['count']:,} rows. {escape(warning['message'])}")


def _rejected(rejected: list[dict[str, Any]], total: int) -> Table:
    shown = f"the first {len(rejected)} of {total:,}" if total > len(rejected) else f"{total:,}"
    table = Table(title=f"rejected rows: {shown}", title_justify="left")
    table.add_column("row", justify="right")
    table.add_column("rule")
    table.add_column("reason")
    table.add_column("as it came", overflow="ellipsis", no_wrap=True, max_width=48)
    for row in rejected:
        came = row["malformed"] or ", ".join(value or "" for value in row["row"].values())
        for number, rule in enumerate(row["rules"]):
            first = number == 0
            table.add_row(
                str(row["row_number"]) if first else "",
                rule["name"],
                escape(rule["message"]),
                escape(came) if first else "",
            )
    return table
