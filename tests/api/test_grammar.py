"""A value of each type is written alike in files, bodies, filters, keys and `as_of`.

The expected values are those of ISO 8601, RFC 3339, RFC 9562 and IEEE 754.
"""

import unicodedata
from typing import Any

import httpx
import psycopg
import pytest

from assay import grammar
from tests.api.conftest import GEMS
from tests.warehouse import DATABASE, Invoke

pytestmark = pytest.mark.anyio

NOON = "2026-01-31T12:00:00+00:00"
# type, column of gems, text, the value as the API tells it (None where it is none)
TABLE: list[tuple[str, str, str, Any]] = [
    ("date", "found_date", "2026-01-31", "2026-01-31"),
    ("date", "found_date", "2026-01-31 00:00:00", "2026-01-31"),
    ("date", "found_date", "2026-01-31T00:00:00.000", "2026-01-31"),
    ("date", "found_date", "2026-01-31T00:00Z", "2026-01-31"),
    ("date", "found_date", "2026-01-31 00:00:00+0000", "2026-01-31"),
    ("date", "found_date", "2026-01-31 00:00:01", None),
    ("date", "found_date", "2026-01-31T00:00:00+01:00", None),
    ("date", "found_date", "2026-02-30", None),
    ("date", "found_date", "31/01/2026", None),
    ("date", "found_date", "20260131", None),
    ("date", "found_date", "today", None),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00Z", NOON),
    ("timestamptz", "sold_at", "2026-01-31t12:00:00z", NOON),
    ("timestamptz", "sold_at", "2026-01-31 12:00:00", NOON),
    ("timestamptz", "sold_at", "2026-01-31T12:00", NOON),
    ("timestamptz", "sold_at", "2026-01-31 12:00:00.0000000", NOON),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00.000000000Z", NOON),
    ("timestamptz", "sold_at", "2026-01-31 13:00:00.0000000 +01:00", NOON),
    ("timestamptz", "sold_at", "2026-01-31T13:00:00+0100", NOON),
    ("timestamptz", "sold_at", "2026-01-31T13:00:00+01", NOON),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00+00", NOON),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00+0000", NOON),
    ("timestamptz", "sold_at", "2026-01-31T06:30:00-05:30", NOON),
    ("timestamptz", "sold_at", "2026-01-31", "2026-01-31T00:00:00+00:00"),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00.123456+00:00"),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00.999999999", "2026-01-31T12:00:00.999999+00:00"),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00.1234567890Z", None),
    ("timestamptz", "sold_at", "2026-01-31T24:00:00Z", None),
    ("timestamptz", "sold_at", "2026-01-31T12:00:60Z", None),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00+16:00", None),
    ("timestamptz", "sold_at", "2026-01-31T12:00:00 Europe/Paris", None),
    ("timestamptz", "sold_at", "2026-02-30T12:00:00Z", None),
    ("timestamptz", "sold_at", "2026-01-31T12", None),
    ("timestamptz", "sold_at", "now", None),
    ("numeric", "carat", "4.95", 4.95),
    ("numeric", "carat", "+1.50", 1.5),
    ("numeric", "carat", ".5", 0.5),
    ("numeric", "carat", "1.2E-3", 0.0012),
    ("numeric", "carat", "4,95", None),
    ("numeric", "carat", "1_000", None),
    ("numeric", "carat", "0x1F", None),
    ("numeric", "carat", "NaN", None),
    ("numeric", "carat", "Infinity", None),
    ("numeric", "carat", "١٢", None),
    ("integer", "facets", "58", 58),
    ("integer", "facets", "58.0", 58),
    ("integer", "facets", "+58", 58),
    ("integer", "facets", "2147483648", None),
    ("integer", "facets", "58.5", None),
    ("integer", "facets", "many", None),
    ("boolean", "is_cut", "true", True),
    ("boolean", "is_cut", "FALSE", False),
    ("boolean", "is_cut", "yes", None),
    ("boolean", "is_cut", "1", None),
]
IN_QUOTES = ("date", "timestamptz")


def test_python_takes_what_staging_takes(invoke: Invoke, catalog: object, server: Any) -> None:
    """The macros and `assay.grammar` give the same values, which PostgreSQL reads."""
    del catalog
    url = server.url.replace("/assay?", f"/{DATABASE}?")
    kinds = sorted({kind for kind, *_ in TABLE})
    columns = ", ".join(
        "{{ value_of('(' ~ text_of('given', '" + kind + "') ~ ')', '" + kind + "') }} as " + kind
        for kind in kinds
    )
    compiled = invoke(
        url, "compile", "--inline", f"select given, {columns} from (select %s::text as given) as t"
    )
    sql = compiled.result.results[0].node.compiled_code
    with psycopg.connect(url) as connection:
        for kind, _, text, expected in TABLE:
            place = kinds.index(kind) + 1
            staged = connection.execute(escaped(sql), [text]).fetchone()
            assert staged is not None
            try:
                told = grammar.read(kind, text).text
            except ValueError:
                told = None
            assert (told is None) is (expected is None), text
            read = connection.execute(f"select %s::text::{kind}", [told]).fetchone()
            assert read is not None
            assert staged[place] == read[0], text
            assert (read[0] is None) is (expected is None), text


def escaped(sql: str) -> str:
    """For psycopg, with one placeholder."""
    return sql.replace("%", "%%").replace("%%s", "%s")


async def test_bodies_take_the_same(editor: httpx.AsyncClient) -> None:
    """In texts; numbers and booleans are JSON's own."""
    for place, (kind, name, text, expected) in enumerate(TABLE):
        if kind not in (*IN_QUOTES, "numeric"):
            continue
        response = await editor.post(GEMS, json={"label": f"gem {place}", name: text})
        if expected is None:
            assert response.status_code == 422, text
            (error,) = response.json()["errors"]
            assert error["columns"] == [name]
            assert "such as" in error["detail"]
        else:
            assert response.status_code == 201, (text, response.text)
            assert response.json()[name] == expected, text


async def test_filters_take_the_same(editor: httpx.AsyncClient) -> None:
    """And find the row that has the value."""
    for place, (_, name, text, expected) in enumerate(TABLE):
        if expected is not None:
            body = {"label": f"gem {place}", name: expected}
            assert (await editor.post(GEMS, json=body)).status_code == 201, body
        found = await editor.get(GEMS, params={name: text, "label": f"gem {place}"})
        if expected is None:
            assert found.status_code == 422, text
            assert "wrong value" not in found.text
            assert "give " in found.json()["detail"]
        else:
            assert [row[name] for row in found.json()["items"]] == [expected], text


async def test_as_of_takes_the_same(editor: httpx.AsyncClient) -> None:
    """A time of another form is refused, before anything is looked up."""
    made = (await editor.post(GEMS, json={"label": "Hope"})).json()
    for kind, _, text, expected in TABLE:
        if kind == "timestamptz":
            answer = await editor.get(f"{GEMS}/{made['gem_id']}", params={"as_of": text})
            assert (answer.status_code == 422) is (expected is None), text


async def test_what_is_left_out_of_a_value_is_told(editor: httpx.AsyncClient) -> None:
    """Digits that PostgreSQL cannot keep, and a time behind a date, as warnings of their row."""
    fine = {"label": "fine", "sold_at": "2026-01-31T12:00:00.123456789Z"}
    plain = {"label": "plain", "sold_at": "2026-01-31T12:00:00.1230000Z"}
    day = {"label": "day", "found_date": "2026-01-31T00:00:00"}
    listed = (await editor.post(GEMS, json=[plain, fine, day])).json()["items"]
    assert [read_notes(row) for row in listed] == [[], ["sold_at"], ["found_date"]]
    changes = [
        {"gem_id": row["gem_id"], **change}
        for row, change in zip(
            reversed(listed), ({}, {"sold_at": fine["sold_at"]}, {}), strict=True
        )
    ]
    for change in changes:
        change.setdefault("facets", 58)
    changed = (await editor.patch(GEMS, json=changes)).json()["items"]
    told = {row["label"]: read_notes(row) for row in changed}
    assert told == {"plain": [], "fine": ["sold_at"], "day": []}
    key = {"Idempotency-Key": "the-same"}
    answers = [await editor.post(GEMS, json=fine | {"label": "once"}, headers=key) for _ in "12"]
    assert answers[0].content == answers[1].content
    assert read_notes(answers[0].json()) == ["sold_at"]


def read_notes(row: dict[str, Any]) -> list[str]:
    """The columns of which something was left out."""
    found = [w["columns"] for w in row["warnings"] if w["name"].endswith("_read")]
    return [name for columns in found for name in columns]


async def test_texts_are_composed(editor: httpx.AsyncClient) -> None:
    """In bodies, one or many, lists and JSON inside, and in filters: one spelling finds another."""
    name = unicodedata.normalize("NFC", "Étoile bleuâtre")
    apart = unicodedata.normalize("NFD", name)
    assert name != apart
    body = {"label": apart, "colours": [apart], "extra": {"deep": [{"x": apart}]}, "carat": "1.50"}
    made = (await editor.post(GEMS, json=[body])).json()["items"][0]
    assert (made["label"], made["colours"]) == (name, [name])
    assert made["extra"] == {"deep": [{"x": name}]}
    asked = [
        *({"label": apart}, {"label__contains": apart[2:]}, {"label__in": f"x, {apart}"}),
        *({"colours__contains": apart}, {"label__startswith": apart[:2]}, {"q": apart}),
    ]
    for parameters in asked:
        found = (await editor.get(GEMS, params=parameters)).json()["items"]
        assert [row["label"] for row in found] == [name], parameters
    raw = '{"label": "e\\u0301"}'
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    changed = await editor.patch(f"{GEMS}/{made['gem_id']}", content=raw, headers=headers)
    assert changed.json()["label"] == "\u00e9"


async def test_items_of_a_list_may_have_a_blank_before_them(editor: httpx.AsyncClient) -> None:
    for label in ("red", "green, dark", "blue"):
        await editor.post(GEMS, json={"label": label, "facets": len(label)})
    for asked in ("red, blue", "red,  blue", 'red, "blue"'):
        found = (await editor.get(GEMS, params={"label__in": asked, "sort": "label"})).json()
        assert [row["label"] for row in found["items"]] == ["blue", "red"], asked
    found = (await editor.get(GEMS, params={"label__in": 'red, "green, dark"'})).json()
    assert len(found["items"]) == 2
    found = (await editor.get(GEMS, params={"facets__in": "3, 4"})).json()
    assert len(found["items"]) == 2
