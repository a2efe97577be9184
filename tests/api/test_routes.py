"""The endpoints of an entity, as its contract makes them."""

import asyncio
import json
from hashlib import md5
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from tests.api.conftest import GEMS, NOBODYS

pytestmark = pytest.mark.anyio

Database = psycopg.Connection[dict[str, Any]]

STONES = "/api/v1/stones"
EVERYTHING = {
    "label": "Hope",
    "grade": 1,
    "facets": -2147483648,
    "atoms": 9223372036854775807,
    "carat": 45.52,
    "hardness": 10.0,
    "is_cut": True,
    "found_date": "1666-02-03",
    "sold_at": "1958-11-10T12:30:00+02:00",
    "colours": ["blue", "violet"],
    "extra": {"curse": [1, None, "yes"]},
    "state": "weighed",
    "mine": "Golconda",
}


async def created(editor: httpx.AsyncClient, **row: Any) -> dict[str, Any]:
    response = await editor.post(GEMS, json=row)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def edits(database: Database) -> list[dict[str, Any]]:
    return database.execute("select * from journal.edits order by clock").fetchall()


def rule_of(response: httpx.Response) -> str:
    rule: str = response.json()["errors"][0]["rule"]
    return rule


async def test_a_row_of_every_type_comes_back_as_it_was_given(editor: httpx.AsyncClient) -> None:
    response = await editor.post(GEMS, json=EVERYTHING)
    key = str(UUID(md5(b"Hope", usedforsecurity=False).hexdigest()))
    assert response.status_code == 201
    assert response.headers["location"] == f"{GEMS}/{key}"
    row = response.json()
    assert {name: row[name] for name in EVERYTHING} == EVERYTHING | {
        "sold_at": "1958-11-10T10:30:00+00:00"
    }
    assert (row["gem_id"], row["notes"], row["updated_by"]) == (key, [], "editor")
    assert row.pop("warnings") == []
    assert (await editor.get(response.headers["location"])).json() == row


async def test_a_get_has_no_warnings(editor: httpx.AsyncClient) -> None:
    row = await created(editor, label="x")
    assert "warnings" not in (await editor.get(f"{GEMS}/{row['gem_id']}")).json()


async def test_absent_fields_get_the_defaults_of_the_contract(editor: httpx.AsyncClient) -> None:
    plain = await created(editor, label="Plain")
    assert (plain["grade"], plain["state"], plain["carat"]) == (3, "unweighed", None)
    assert (await created(editor, label="Heavy", carat=7))["state"] == "weighed"


async def test_a_null_is_no_absence_and_meets_the_rules(editor: httpx.AsyncClient) -> None:
    response = await editor.post(GEMS, json={"label": "x", "grade": None})
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {
            "pointer": "#/grade",
            "rule": "grade_required",
            "columns": ["grade"],
            "detail": "Leave the grade out to get 3.",
        }
    ]


@pytest.mark.parametrize(
    "digits",
    ["0.016771177", "1.50", "123456789012345678901234567890.123456789", "-0.10", "5", "0"],
)
async def test_a_numeric_keeps_exactly_its_digits(editor: httpx.AsyncClient, digits: str) -> None:
    for label, carat in (("a number", digits), ("a text", f'"{digits}"')):
        response = await editor.put(
            f"{GEMS}/{(await created(editor, label=label))['gem_id']}",
            content=f'{{"label": "exact", "carat": {carat}}}',
            headers={"Content-Type": "application/json"},
        )
        assert f'"carat":{digits},' in response.text
        await editor.delete(f"{GEMS}/{response.json()['gem_id']}")


async def test_a_whole_number_may_be_written_with_a_point(editor: httpx.AsyncClient) -> None:
    assert (await created(editor, label="x", grade=2.0))["grade"] == 2


async def test_put_replaces_the_row_and_keeps_the_key(
    editor: httpx.AsyncClient, database: Database
) -> None:
    row = await created(editor, **EVERYTHING)
    url = f"{GEMS}/{row['gem_id']}"
    database.execute("update curated.gems set notes = '{repaired}'")
    response = await editor.put(url, json={"label": "Renamed"})
    assert response.status_code == 200
    new = response.json()
    assert new["gem_id"] == row["gem_id"]
    assert (new["label"], new["grade"], new["state"]) == ("Renamed", 3, "unweighed")
    assert (new["carat"], new["mine"], new["extra"], new["notes"]) == (None, None, None, [])


async def test_patch_changes_the_given_fields_only(
    editor: httpx.AsyncClient, database: Database
) -> None:
    row = await created(editor, **EVERYTHING)
    database.execute("update curated.gems set notes = '{repaired}'")
    response = await editor.patch(
        f"{GEMS}/{row['gem_id']}",
        content=b'{"facets": null, "label": "Other"}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert response.status_code == 200
    changed = {**row, "facets": None, "label": "Other", "notes": ["repaired"]}
    assert response.json() == {**changed, "updated_at": response.json()["updated_at"]}


async def test_an_empty_patch_is_refused(editor: httpx.AsyncClient) -> None:
    row = await created(editor, label="x")
    response = await editor.patch(f"{GEMS}/{row['gem_id']}", json={})
    assert response.status_code == 422
    assert response.json()["detail"] == "There is nothing to change."


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_absent_key_is_404(editor: httpx.AsyncClient, method: str) -> None:
    body: dict[str, Any] = {"json": {"label": "x"}} if method in ("PUT", "PATCH") else {}
    response = await editor.request(method, f"{GEMS}/{uuid4()}", **body)
    assert response.status_code == 404


async def test_delete_removes_the_row_and_answers_nothing(editor: httpx.AsyncClient) -> None:
    url = f"{GEMS}/{(await created(editor, label='x'))['gem_id']}"
    response = await editor.delete(url)
    assert (response.status_code, response.content) == (204, b"")
    assert (await editor.get(url)).status_code == 404


async def test_b47_each_write_is_journaled_with_both_images(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """The journal's images are the whole rows, to the digit."""
    row = await created(editor, label="a", carat=1)
    url = f"{GEMS}/{row['gem_id']}"
    one = database.execute(
        "select to_jsonb(g) - '_transaction_id' as row, updated_at from curated.gems as g"
    ).fetchone()
    await editor.patch(
        url, content=b'{"carat": 1.50}', headers={"Content-Type": "application/json"}
    )
    two = database.execute(
        "select to_jsonb(g) - '_transaction_id' as row, updated_at from curated.gems as g"
    ).fetchone()
    await editor.delete(url)
    assert one
    assert two
    entries = edits(database)
    assert [e["operation"] for e in entries] == ["insert", "update", "delete"]
    assert [(e["before"], e["after"]) for e in entries] == [
        (None, one["row"]),
        (one["row"], two["row"]),
        (two["row"], None),
    ]
    assert {(e["entity"], e["key"], e["edited_by"]) for e in entries} == {
        ("gems", row["gem_id"], "editor")
    }
    assert [e["edited_at"] for e in entries[:2]] == [one["updated_at"], two["updated_at"]]


async def test_a_refused_write_leaves_no_trace(
    editor: httpx.AsyncClient, database: Database
) -> None:
    row = await created(editor, label="a")
    for response in (
        await editor.post(GEMS, json={"label": "b", "grade": 9}),
        await editor.patch(f"{GEMS}/{row['gem_id']}", json={"grade": 9}),
        # This one PostgreSQL refuses only at the end of the transaction.
        await editor.post(GEMS, json={"label": "c", "mine": "El Dorado"}),
    ):
        assert response.status_code in (409, 422)
    assert len(edits(database)) == 1
    assert len((await editor.get(GEMS)).json()["items"]) == 1


async def test_the_clock_is_drawn_after_the_wait_for_a_lock(
    editor: httpx.AsyncClient, database: Database, database_url: str
) -> None:
    """An edit that waited for a build is later than what the build did."""
    row = await created(editor, label="a")
    with psycopg.connect(database_url) as build:
        build.execute("lock table curated.gems in share row exclusive mode")
        patch = asyncio.create_task(editor.patch(f"{GEMS}/{row['gem_id']}", json={"grade": 1}))
        await asyncio.sleep(0.5)
        assert not patch.done()
        assert (await editor.get(f"{GEMS}/{row['gem_id']}")).json()["grade"] == 3
        drawn = build.execute("select nextval('journal.clock')").fetchone()
    assert (await patch).status_code == 200
    assert drawn
    assert edits(database)[-1]["clock"] > drawn[0]


async def test_of_two_concurrent_posts_of_one_row_one_is_409(
    editor: httpx.AsyncClient, database: Database
) -> None:
    posts = await asyncio.gather(*(editor.post(GEMS, json={"label": "a"}) for _ in range(8)))
    assert sorted(r.status_code for r in posts) == [201] + [409] * 7
    assert len(edits(database)) == 1


async def test_concurrent_patches_are_all_in_the_journal(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """Each after image is the next one's before image."""
    url = f"{GEMS}/{(await created(editor, label='a'))['gem_id']}"
    patches = await asyncio.gather(*(editor.patch(url, json={"facets": n}) for n in range(20)))
    assert {r.status_code for r in patches} == {200}
    entries = edits(database)
    assert len(entries) == 21
    assert all(a["after"] == b["before"] for a, b in pairwise(entries))


async def test_a_broken_rule_is_named_in_the_words_of_the_contract(
    editor: httpx.AsyncClient,
) -> None:
    response = await editor.post(GEMS, json={"label": "a", "grade": 6})
    assert response.status_code == 422
    assert response.json()["detail"] == "Broken: grade_range."
    assert response.json()["errors"] == [
        {
            "pointer": "#/grade",
            "rule": "grade_range",
            "columns": ["grade"],
            "detail": "Broken: grade_range.",
        }
    ]


async def test_a_rule_of_several_columns_points_at_the_whole_body(
    editor: httpx.AsyncClient,
) -> None:
    response = await editor.post(GEMS, json={"label": "a", "state": "weighed"})
    error = response.json()["errors"][0]
    assert (error["pointer"], error["rule"]) == ("#", "weighed_has_carat")
    assert error["columns"] == ["state", "carat"]


async def test_a_taken_identifier_is_409_and_named(editor: httpx.AsyncClient) -> None:
    await created(editor, label="a")
    response = await editor.post(GEMS, json={"label": "a"})
    assert (response.status_code, rule_of(response)) == (409, "one_label")


async def test_a_key_that_a_renamed_row_kept_is_409_and_explained(
    editor: httpx.AsyncClient,
) -> None:
    row = await created(editor, label="a")
    await editor.patch(f"{GEMS}/{row['gem_id']}", json={"label": "b"})
    response = await editor.post(GEMS, json={"label": "a"})
    assert (response.status_code, rule_of(response)) == (409, "gem_id_unique")
    assert response.json()["errors"][0]["columns"] == ["label"]
    assert response.json()["detail"] == (
        "Gem id is computed from Label: a row that has the same, or had it when it was made, "
        "exists."
    )


async def test_a_broken_reference_is_409_though_it_is_deferred(editor: httpx.AsyncClient) -> None:
    response = await editor.post(GEMS, json={"label": "a", "mine": "El Dorado"})
    assert (response.status_code, rule_of(response)) == (409, "known_mine")


async def test_warnings_are_of_the_rules_that_the_new_row_breaks(
    editor: httpx.AsyncClient,
) -> None:
    row = await created(editor, label="Émeraude")
    assert row["warnings"] == [
        {"name": "label_plain", "message": "The label should be ASCII.", "columns": ["label"]},
        {"name": "grade_first", "message": "The grade should be 1.", "columns": ["grade"]},
    ]
    url = f"{GEMS}/{row['gem_id']}"
    patched = (await editor.patch(url, json={"label": "Emerald"})).json()
    assert [w["name"] for w in patched["warnings"]] == ["grade_first"]
    assert (await editor.put(url, json={"label": "E", "grade": 1})).json()["warnings"] == []


async def test_every_wrong_field_is_named_at_once(editor: httpx.AsyncClient) -> None:
    body = {"gem_id": str(uuid4()), "updated_by": "me", "shape": 1, "a/b ü": 1, "grade": "2"}
    response = await editor.post(GEMS, json=body)
    assert response.status_code == 422
    assert {(e["pointer"], e.get("rule"), e["detail"]) for e in response.json()["errors"]} == {
        ("#/gem_id", None, "The server sets this field."),
        ("#/updated_by", None, "The server sets this field."),
        ("#/shape", None, "There is no such field."),
        ("#/a~1b%20%C3%BC", None, "There is no such field."),
        ("#/grade", "grade_type", "The grade is a whole number."),
        ("#/label", "label_required", "A gem has a label."),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label", 1),
        ("grade", 32768),
        ("grade", -32769),
        ("grade", 1.5),
        ("grade", True),
        ("grade", "1"),
        ("facets", 2147483648),
        ("atoms", 9223372036854775808),
        ("atoms", 10**400),
        ("carat", "1,5"),
        ("carat", "NaN"),
        ("carat", "0x1F"),
        ("carat", "1_000"),
        ("carat", True),
        ("carat", "1e131072"),
        ("carat", "1e-99999"),
        ("hardness", "1e400"),
        ("is_cut", "true"),
        ("is_cut", 1),
        ("found_date", "03/02/1666"),
        ("found_date", "1666-02-30"),
        ("found_date", 0),
        ("sold_at", "1958-11-10T24:30:00"),
        ("sold_at", "10/11/1958"),
        ("sold_at", 0),
        ("colours", "blue"),
        ("colours", [1]),
        ("colours", [["blue"]]),
        ("colours", {}),
    ],
)
async def test_a_value_of_the_wrong_type_is_422(
    editor: httpx.AsyncClient, name: str, value: Any
) -> None:
    response = await editor.post(GEMS, json={"label": "x", name: value})
    assert response.status_code == 422
    assert [e["pointer"] for e in response.json()["errors"]] == [f"#/{name}"]


@pytest.mark.parametrize("digits", ["1e400", "1e131073", "1e999999999999999999999", "1e-20000"])
async def test_a_number_beyond_any_column_is_422(editor: httpx.AsyncClient, digits: str) -> None:
    for name in ("facets", "hardness", "extra"):
        response = await editor.post(
            GEMS,
            content=f'{{"label": "x", "{name}": {digits}}}',
            headers={"Content-Type": "application/json"},
        )
        held = (name == "extra" and digits == "1e400") or (
            name == "hardness" and digits == "1e-20000"
        )
        assert response.status_code == 422 or held


async def test_pages_follow_one_another_without_gap_or_overlap(editor: httpx.AsyncClient) -> None:
    keys = {(await created(editor, label=f"gem {n}"))["gem_id"] for n in range(7)}
    seen: list[str] = []
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        page = (await editor.get(GEMS, params={"limit": 3, "cursor": cursor})).json()
        assert set(page) == {"items", "next"}
        seen += [row["gem_id"] for row in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next"]
    assert sizes == [3, 3, 1]
    assert seen == sorted(keys)


async def test_a_last_page_that_is_full_has_no_next(editor: httpx.AsyncClient) -> None:
    for n in range(3):
        await created(editor, label=f"gem {n}")
    assert (await editor.get(GEMS, params={"limit": 3})).json()["next"] is None


async def test_an_empty_table_is_an_empty_page(editor: httpx.AsyncClient) -> None:
    assert (await editor.get(GEMS)).json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=1", "offset"),
        ("colour=a", "colour"),
        ("cursor=x", "cursor"),
        ("cursor=%C3%BC", "cursor"),
        ("cursor=e30", "cursor"),  # {}
        ("cursor=W10", "cursor"),  # []
        ("cursor=WzFd", "cursor"),  # [1]
        ("cursor=WyJhIl0", "cursor"),  # ["a"]
        ("cursor=WyInO2Ryb3AgdGFibGUiXQ", "cursor"),
    ],
)
async def test_a_wrong_parameter_is_422_and_named(
    reader: httpx.AsyncClient, query: str, parameter: str
) -> None:
    response = await reader.get(f"{GEMS}?{query}")
    assert response.status_code == 422
    assert [e["parameter"] for e in response.json()["errors"]] == [parameter]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_a_parameter_where_there_are_none_is_422(
    editor: httpx.AsyncClient, method: str
) -> None:
    body: dict[str, Any] = {"json": {"label": "x"}} if method == "PUT" else {}
    assert (await editor.request(method, f"{GEMS}/{uuid4()}?x=1", **body)).status_code == 422
    assert (await editor.post(f"{GEMS}?x=1", json={"label": "x"})).status_code == 422


@pytest.mark.parametrize("key", ["a", "1", "%00", "null", "{}", f"urn:uuid:{NOBODYS}"])
async def test_a_key_that_no_row_can_have_is_422(reader: httpx.AsyncClient, key: str) -> None:
    response = await reader.get(f"{GEMS}/{key}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "key"


async def test_awkward_names_are_only_names(editor: httpx.AsyncClient, database: Database) -> None:
    """Columns may be called like SQL words, attributes of models, or with quotes."""
    row = {"code": 1, "json": "'; drop", "operation": "o", 'Order "by" it': "x"}
    response = await editor.post(STONES, json=row)
    assert response.status_code == 201
    assert {name: response.json()[name] for name in row} == row
    assert (await editor.post(STONES, json={"code": 2})).json()['Order "by" it'] == "it's"
    assert (await editor.patch(f"{STONES}/1", json={'Order "by" it': None})).status_code == 200
    assert [e["key"] for e in edits(database)] == ["1", "2", "1"]
    page = (await editor.get(STONES, params={"limit": 1})).json()
    assert (await editor.get(STONES, params={"cursor": page["next"]})).json()["items"][0][
        "code"
    ] == 2


async def test_a_change_of_a_primary_key_is_two_journal_rows(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """To readers of the journal one row goes and another comes."""
    await editor.post(STONES, json={"code": 1})
    assert (await editor.patch(f"{STONES}/1", json={"code": 2})).json()["code"] == 2
    assert (await editor.put(f"{STONES}/2", json={"code": 2, "json": "a"})).status_code == 200
    assert (await editor.get(f"{STONES}/1")).status_code == 404
    assert [(e["operation"], e["key"]) for e in edits(database)] == [
        ("insert", "1"),
        ("delete", "1"),
        ("insert", "2"),
        ("update", "2"),
    ]


async def test_a_taken_key_without_a_rule_is_a_plain_409(editor: httpx.AsyncClient) -> None:
    await editor.post(STONES, json={"code": 1})
    response = await editor.post(STONES, json={"code": 1})
    assert response.status_code == 409
    assert response.json()["detail"] == "This contradicts another row."
    assert "stones" not in json.dumps({**response.json(), "instance": ""})


@pytest.mark.parametrize("key", ["01", "1.0", "2147483648", "x", "true", "%221%22"])
async def test_a_key_of_digits_is_read_as_a_number(reader: httpx.AsyncClient, key: str) -> None:
    assert (await reader.get(f"{STONES}/{key}")).status_code in (404, 422)


async def test_a_build_that_adds_a_column_disturbs_no_write(
    editor: httpx.AsyncClient, database: Database
) -> None:
    """The journal has the column at once; the answer when the API knows the new contract."""
    await created(editor, label="a")
    database.execute("alter table curated.gems add column hue text default 'blue'")
    try:
        rows = [await created(editor, label=f"b{n}") for n in range(3)]
        assert all("hue" not in row for row in rows)
        assert [e["after"].get("hue") for e in edits(database)] == [None] + ["blue"] * 3
    finally:
        database.execute("alter table curated.gems drop column hue")
    await created(editor, label="c")
