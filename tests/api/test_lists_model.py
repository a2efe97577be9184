"""Lists against a model in plain Python over the same rows, for every type of a column."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from api.app import create_app
from api.filters import operators_of
from api.parameters import is_sortable
from api.security import Tokens
from assay.settings import Settings
from tests.api.conftest import CATALOG, GEM, GEMS, SECRET, client_of

Row = dict[str, Any]
COLUMNS = {column.name: column for column in GEM.columns}
READ: dict[str, Callable[[Any], Any]] = {
    "found_date": date.fromisoformat,
    "sold_at": datetime.fromisoformat,
    "updated_at": datetime.fromisoformat,
}
"""How the model reads a value in JSON; the others compare as they are."""

LABELS = ["a", "A", "b%", "b_", "ab", "é", "", "x,y", 'q"q', "10", "9"]
POOLS: dict[str, list[Any]] = {
    "grade": [1, 2, 3, 4, 5],
    "facets": [None, -1, 0, 7],
    "atoms": [None, 0, 9_007_199_254_740_993, 9_007_199_254_740_992],
    "carat": [None, Decimal("0.1"), Decimal("0.10000000000000000000001"), Decimal(2)],
    "hardness": [None, Decimal("0.1"), Decimal("1e300"), Decimal("-7.5")],
    "is_cut": [None, True, False],
    "found_date": [None, "1905-01-26", "2026-01-31"],
    "sold_at": [None, "2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00.000001+00:00"],
    "colours": [None, [], ["red"], ["red", "deep blue"]],
    "extra": [None, {"a": 1}],
    "mine": [None, "Golconda"],
}


def value_of(row: Row, name: str) -> Any:
    value = row[name]
    return READ[name](value) if value is not None and name in READ else value


HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, asked: value == asked,
    "ne": lambda value, asked: value != asked,
    "lt": lambda value, asked: value < asked,
    "lte": lambda value, asked: value <= asked,
    "gt": lambda value, asked: value > asked,
    "gte": lambda value, asked: value >= asked,
    "in": lambda value, asked: value in asked,
    "contains": lambda value, asked: asked in value,
    "icontains": lambda value, asked: asked.casefold() in value.casefold(),
    "startswith": lambda value, asked: value.startswith(asked),
}


def holds(row: Row, name: str, operator: str, asked: Any) -> bool:
    value = value_of(row, name)
    if operator == "isnull":
        return (value is None) == asked
    if value is None:
        return operator == "ne"
    return HOLDS[operator](value, asked)


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def rows(database_url: str) -> Iterator[list[Row]]:
    """Some sixty rows, each column by itself at random; gone after the module."""
    choose = random.Random(4)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for n in range(60):
            row = {name: choose.choice(pool) for name, pool in POOLS.items()}
            label = LABELS[n] if n < len(LABELS) else f"gem {n * 7919 % 60}"
            connection.execute(
                "insert into curated.gems (gem_id, label, state, notes, updated_at, updated_by, "
                f"{', '.join(row)}) values (md5(%s)::uuid, %s, %s, '{{}}', now(), %s, "
                f"{', '.join('%s' for _ in row)})",
                [
                    label,
                    label,
                    "unweighed" if row["carat"] is None else "weighed",
                    choose.choice(["ann", "load 1 row 2"]),
                    *(Jsonb(v) if k == "extra" and v else v for k, v in row.items()),
                ],
            )
        (made,) = connection.execute(
            "select json_agg(row_to_json(g)::jsonb - '_transaction_id')::text from curated.gems g"
        ).fetchone() or ("",)
        yield json.loads(made, parse_float=Decimal)
        connection.execute("delete from curated.gems")


@st.composite
def conditions(draw: st.DrawFn, rows: list[Row]) -> tuple[str, str, str, Any]:
    """A parameter, its text, and for the model the column, operator and value."""
    column = draw(st.sampled_from([c for c in GEM.columns if operators_of(c)]))
    operator = draw(st.sampled_from(operators_of(column)))
    there = [v for r in rows if (v := value_of(r, column.name)) is not None]
    parameter = f"{column.name}__{operator}"
    if operator == "eq" and draw(st.booleans()):
        parameter = column.name
    if operator == "isnull":
        asked = draw(st.booleans())
        return parameter, text_of(asked), column.name, (operator, asked)
    if column.data_type.endswith("[]"):
        asked = draw(st.sampled_from(["red", "deep blue", "deep", "green"]))
        return parameter, asked, column.name, (operator, asked)
    if operator == "in":
        # an empty text cannot be told from a missing one there
        there = [value for value in there if value != ""]
        asked = draw(st.lists(st.sampled_from(there), min_size=1, max_size=4))
        texts = [text_of(value) for value in asked]
        plain = ",".join(quoted(t) if set(t) & set(',"') else t for t in texts)
        return parameter, plain, column.name, (operator, asked)
    asked = draw(st.sampled_from(there))
    if operator in ("contains", "icontains", "startswith"):
        asked = asked[: draw(st.integers(0, len(asked)))]
    if operator == "icontains":
        asked = draw(st.sampled_from([asked.upper(), asked.lower(), asked.swapcase()]))
    return parameter, text_of(asked), column.name, (operator, asked)


Query = list[tuple[str, str]]
Pages = Callable[[Query, int], tuple[list[Row], set[int]]]


@pytest.fixture(scope="module")
def pages(
    database_url: str, project: Path, users: dict[str, UUID], tokens: Tokens
) -> Iterator[Pages]:
    """The items of all pages of a list, and what these say how many there are."""
    own = Settings(
        project=project, database_url=SecretStr(database_url), assay_secret=SecretStr(SECRET)
    )
    app = create_app(own, CATALOG)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        client = client_of(app, tokens.issue(users["reader"]))

        def read(query: Query, limit: int) -> tuple[list[Row], set[int]]:
            items: list[Row] = []
            counts: set[int] = set()
            cursor = ""
            while True:
                pairs = [*query, ("limit", str(limit)), ("count", "exact"), ("cursor", cursor)]
                url = f"{GEMS}?{urlencode(pairs)}"
                response = portal.call(client.get, url)
                assert response.status_code == 200, (url, response.text)
                page = json.loads(response.text, parse_float=Decimal)
                items += page["items"]
                counts.add(page["count"])
                assert len(page["items"]) <= limit
                if page["next"] is None:
                    return items, counts
                assert len(page["items"]) == limit
                cursor = page["next"]

        yield read


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_pages_are_those_of_a_model(rows: list[Row], pages: Pages, data: st.DataObject) -> None:
    """Random filters, groups, sorts, columns and lengths of pages."""
    some = st.lists(conditions(rows), max_size=2, unique_by=lambda c: c[0])
    query: Query = []
    wanted = list(rows)
    for parameter, text, name, condition in data.draw(some):
        as_value = ("filter", f"{parameter}={text}")
        query.append(data.draw(st.sampled_from([(parameter, text), as_value])))
        wanted = [row for row in wanted if holds(row, name, *condition)]
    for group in ("or", "or2", "any_of", "any_of2"):
        if alternatives := data.draw(some):
            query += [
                (group, f"{parameter}={text}")
                if group.startswith("any")
                else (f"{group}[{parameter}]", text)
                for parameter, text, _, _ in alternatives
            ]
            wanted = [
                row
                for row in wanted
                if any(holds(row, name, *condition) for _, _, name, condition in alternatives)
            ]
    sortable = [column.name for column in GEM.columns if is_sortable(column)]
    by = st.tuples(st.sampled_from(sortable), st.booleans())
    sorts = data.draw(st.lists(by, max_size=3, unique_by=lambda s: s[0]))
    if sorts:
        query.append(("sort", ",".join("-" * down + name for name, down in sorts)))
    # Stable sorts, the last one first. Nulls come last whatever the direction.
    for name, down in [("gem_id", False), *reversed(sorts)]:
        there = [row for row in wanted if row[name] is not None]
        there.sort(key=lambda row: value_of(row, name), reverse=down)
        wanted = there + [row for row in wanted if row[name] is None]
    fields = data.draw(st.lists(st.sampled_from(list(COLUMNS)), max_size=3, unique=True))
    if fields:
        query.append(("fields", ",".join(fields)))
        wanted = [{name: row[name] for name in fields} for row in wanted]
    items, counts = pages(query, data.draw(st.integers(5, 40)))
    assert (items, counts) == (wanted, {len(wanted)})
