"""Rules for the code of the API; each names its reason and its remedy."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from assay.catalog import PROVENANCE

API = Path(__file__).resolve().parents[2] / "api"
MODULES = sorted(API.glob("*.py"))
ALL_MODULES = sorted(
    path for package in ("api", "sync", "lake") for path in (API.parent / package).glob("*.py")
)
SQL_MODULES = {
    "database.py",
    "idempotency.py",
    "journal.py",
    "linking.py",
    "cells.py",
    "listing.py",
    "proposal.py",
    "query.py",
    "users.py",
    "versions.py",
    "audit.py",
    "refresh.py",
    "throttle.py",
}
SQL = re.compile(r"^\s*(select|insert into|update|delete from|with)\s", re.IGNORECASE)

modules = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
all_modules = pytest.mark.parametrize(
    "module", ALL_MODULES, ids=lambda path: f"{path.parent.name}/{path.name}"
)


def constants(module: Path) -> Iterator[str]:
    """All texts but docstrings."""
    tree = ast.parse(module.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


@modules
def test_transactions_are_opened_in_one_module_and_not_by_databases(module: Path) -> None:
    """Reason: `databases` 0.9 loses a pool slot for good when its commit or rollback raises.

    Remedy: `raw_connection.transaction()`, in database.py.
    """
    code = re.sub(r'""".*?"""', "", module.read_text(), flags=re.DOTALL)
    calls = re.findall(r"(\w+)\.transaction\(", code)
    assert calls == [] or (module.name == "database.py" and set(calls) == {"raw_connection"})


@modules
def test_sql_stands_in_few_modules(module: Path) -> None:
    """Reason: one place to look for what is sent. Remedy: move it to query.py or its like."""
    found = [text for text in constants(module) if SQL.match(text) and "select 1" not in text]
    assert not found or module.name in SQL_MODULES


@all_modules
def test_nothing_names_a_dataset(module: Path) -> None:
    """Reason: a new dataset is SQL and YAML only. Remedy: read it from the catalog."""
    models = API.parent / "dbt_project" / "models" / "marts"
    # English words that a program needs too
    names = {path.stem for path in models.glob("*/*.sql")} - {"conditions"}
    columns = {
        name
        for path in models.glob("*/_*__models.yml")
        for name in re.findall(r"^      - name: (\w+)$", path.read_text(), flags=re.MULTILINE)
        if "_" in name
    } - set(PROVENANCE)
    assert names
    assert columns
    words = set(re.findall(r"\w+", module.read_text()))
    assert not words & (names | columns)


@all_modules
def test_a_module_is_small(module: Path) -> None:
    """Reason: it is one noun. Remedy: split it."""
    assert len(module.read_text().splitlines()) <= 300


def calls(dependant: Dependant) -> Iterator[object]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from calls(dependency)


async def test_no_dependency_takes_a_thread(app: FastAPI) -> None:
    """Reason: FastAPI runs a plain function in a thread, at each request. Remedy: `async def`."""
    routes = [context.original_route for context in iter_route_contexts(app.routes)]
    found = {
        call
        for route in routes
        if isinstance(route, APIRoute)
        for call in calls(route.dependant)
        if not inspect.iscoroutinefunction(call)
        and not inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    }
    assert any(isinstance(route, APIRoute) and route.dependant.dependencies for route in routes)
    assert found == set()
