"""The rules of sites and groups, by every way to write them, from both ends of a link."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from api.app import create_app
from api.tokens import Tokens
from assay.catalog import read_catalog
from tests.api.conftest import Datasets, Served, client_of, upload

pytestmark = pytest.mark.anyio

SITES, GROUPS = "/api/v1/sites", "/api/v1/groups"
HEADER = [
    *("id", "name", "country", "installation_date", "max_power_megawatt", "min_power_megawatt"),
    *("useful_energy_at_1_megawatt", "efficiency"),
]
FRENCH: dict[str, Any] = {
    "name": "Dronne",
    "country": "france",
    "installation_date": "2021-01-20",
    "max_power_megawatt": 3.5,
    "min_power_megawatt": 0.5,
}
# 2021-01-23 is a Saturday, 2021-01-24 a Sunday
ITALIAN = {**FRENCH, "name": "Adige", "country": "italy", "installation_date": "2021-01-23"}
TAKEN = "2020-02-29"
BROKEN: list[tuple[str, int, dict[str, Any]]] = [
    ("name_filled", 422, {**FRENCH, "name": " Dronne"}),
    ("country_known", 422, {**FRENCH, "country": "spain"}),
    ("power_not_negative", 422, {**FRENCH, "min_power_megawatt": -0.5}),
    ("power_not_negative", 422, {**FRENCH, "max_power_megawatt": -1, "min_power_megawatt": -2}),
    ("min_power_at_most_max", 422, {**FRENCH, "min_power_megawatt": 3.6}),
    ("one_french_site_per_date", 409, {**FRENCH, "installation_date": TAKEN}),
    ("italian_sites_on_weekends", 422, {**ITALIAN, "installation_date": "2021-01-25"}),
    ("useful_energy_at_1_megawatt_only", 422, {**ITALIAN, "useful_energy_at_1_megawatt": 1}),
    ("efficiency_only", 422, {**FRENCH, "efficiency": 0.9}),
    ("name_required", 422, {k: v for k, v in FRENCH.items() if k != "name"}),
    ("country_required", 422, {k: v for k, v in FRENCH.items() if k != "country"}),
    ("installation_date_type", 422, {**FRENCH, "installation_date": "2021-02-29"}),
]
broken = pytest.mark.parametrize(
    ("rule", "status", "site"), BROKEN, ids=[f"{rule}-{n}" for n, (rule, *_) in enumerate(BROKEN)]
)


async def made(editor: httpx.AsyncClient, path: str, **document: Any) -> int:
    response = await editor.post(path, json=document)
    assert response.status_code == 201, response.text
    return int(response.json()["id"])


async def made_site(editor: httpx.AsyncClient, **fields: Any) -> int:
    return await made(editor, SITES, **{**FRENCH, **fields})


async def made_group(editor: httpx.AsyncClient, kind: str = "group1", **fields: Any) -> int:
    return await made(editor, GROUPS, name="Rhone", type=kind, **fields)


async def test_dates_are_exchanged_in_one_request(editor: httpx.AsyncClient) -> None:
    """French sites each have their day in the end; a day that two would have is refused."""
    days = ("2022-03-01", "2022-03-02", "2022-03-03")
    sites = [await made_site(editor, installation_date=day) for day in days]

    async def move(*to: str) -> int:
        moves = zip(sites, to, strict=False)
        changes = [{"id": site, "installation_date": day} for site, day in moves]
        return (await editor.patch(SITES, json=changes)).status_code

    assert await move(days[1], days[2], days[0]) == 200
    assert await move(days[2], days[1]) == 200
    assert await move(days[0], days[2]) == 409
    found = [(await editor.get(f"{SITES}/{site}")).json()["installation_date"] for site in sites]
    assert found == [days[2], days[1], days[0]]


def rules_of(response: httpx.Response) -> list[str]:
    return [error["rule"] for error in response.json()["errors"]]


def check_refused(served: Served, response: httpx.Response, rule: str, status: int) -> None:
    """By the rule's name and its message in the contract."""
    assert response.status_code == status, response.text
    assert rules_of(response) == [rule]
    rules = [r for e in served.warehouse.catalog.entities.values() for r in e.rules]
    messages = {r.message for r in rules if r.name == rule}
    assert response.json()["errors"][0]["detail"] in messages


def counts(served: Served) -> dict[str, int]:
    """Rows of each table, and entries of the journal."""
    tables = ("sites", "groups", "sites_in_groups", "groups_in_groups")
    return {
        table: served.warehouse.query(f"select count(*) from {table}")[0]["count"]
        for table in (*(f"curated.{table}" for table in tables), "journal.edits")
    }


@pytest.fixture
async def editor(served: Served) -> httpx.AsyncClient:
    await made_site(served.editor, name="Bugey", installation_date=TAKEN)
    return served.editor


# ---------- rules of sites


@broken
async def test_a_site_that_breaks_a_rule_is_refused(
    served: Served, editor: httpx.AsyncClient, rule: str, status: int, site: dict[str, Any]
) -> None:
    before = counts(served)
    check_refused(served, await editor.post(SITES, json=site), rule, status)

    many = await editor.post(SITES, json=[ITALIAN, site])
    assert rules_of(many) == [rule]
    assert many.json()["errors"][0]["pointer"].startswith("#/1")
    assert counts(served) == before


@broken
async def test_a_site_cannot_be_changed_to_break_a_rule(
    served: Served, editor: httpx.AsyncClient, rule: str, status: int, site: dict[str, Any]
) -> None:
    """By PUT, and by PATCH of one, of a list, of what a filter finds."""
    key = await made_site(editor, installation_date="2021-06-06")  # a Sunday
    change = {**site, **{name: None for name in FRENCH if name not in site}}
    before = counts(served)
    check_refused(served, await editor.put(f"{SITES}/{key}", json=site), rule, status)
    check_refused(served, await editor.patch(f"{SITES}/{key}", json=change), rule, status)
    listed = await editor.patch(SITES, json=[{"id": key, **change}])
    assert rules_of(listed) == [rule]
    filtered = await editor.patch(SITES, params={"id": key}, json=change)
    # whatever the filter finds, an enum is known before
    assert filtered.status_code == status
    assert rules_of(filtered) == [rule] if "rule" in filtered.json()["errors"][0] else True
    assert counts(served) == before


async def test_a_country_cannot_be_changed_where_its_rules_are_broken(
    served: Served, editor: httpx.AsyncClient
) -> None:
    french = await made_site(editor, useful_energy_at_1_megawatt=0.9)
    italian = await made(editor, SITES, **{**ITALIAN, "installation_date": TAKEN})  # a Saturday
    check_refused(
        served,
        await editor.patch(f"{SITES}/{italian}", json={"country": "france"}),
        *("one_french_site_per_date", 409),
    )
    change: dict[str, Any] = {"country": "italy", "installation_date": "2021-01-24"}
    check_refused(
        served,
        await editor.patch(f"{SITES}/{french}", json=change),
        *("useful_energy_at_1_megawatt_only", 422),
    )
    change["useful_energy_at_1_megawatt"] = None
    assert (await editor.patch(f"{SITES}/{french}", json=change)).status_code == 200
    # Italian sites share a day
    shared = await made(editor, SITES, **{**ITALIAN, "installation_date": "2021-01-24"})
    assert shared > french


def row_of(key: object, site: dict[str, Any]) -> list[str]:
    document = {"id": key, **site}
    return [str(document.get(name, "")) for name in HEADER]


@pytest.mark.usefixtures("editor")
async def test_uploads_are_judged_by_the_same_rules(served: Served) -> None:
    """The good rows of the file are taken, in whatever company."""
    warehouse = served.warehouse
    warehouse.excluded = ()
    twice = {**FRENCH, "installation_date": "2022-03-03"}
    good = [{**FRENCH, "installation_date": "2022-01-01"}, ITALIAN, {**ITALIAN, "efficiency": 0.9}]
    rows = [
        *(row_of(n, site) for n, (_, _, site) in enumerate(BROKEN, start=101)),
        *(row_of(n, twice) for n in (201, 202)),
        row_of("", ITALIAN),
        row_of("x1", ITALIAN),
        *(row_of(n, site) for n, site in enumerate(good, start=301)),
    ]
    path = warehouse.folder / "sites.csv"
    path.write_text("\n".join([",".join(HEADER), *(",".join(row) for row in rows)]) + "\n")
    load_id = warehouse.load_file(path, "energy.sites")
    warehouse.build("--select", "+sites")
    verdicts = {
        row["row_number"]: row["rules"]
        for row in warehouse.query("select * from journal.verdicts where load_id = %s", load_id)
    }
    # white space around a name is cleaned
    expected = {n: [rule] for n, (rule, *_) in enumerate(BROKEN, start=2) if rule != "name_filled"}
    last = len(BROKEN) + 2
    expected |= {
        last: ["one_french_site_per_date"],
        last + 1: ["one_french_site_per_date"],
        last + 2: ["id_required"],
        last + 3: ["id_type"],
    }
    assert verdicts == expected
    kept = warehouse.query("select id from curated.sites where id > 100 order by id")
    assert [row["id"] for row in kept] == [101, 301, 302, 303]


async def test_a_file_is_sent(editor: httpx.AsyncClient) -> None:
    """A row that people made since keeps its number: the sequence passes by those of files."""
    rows = [row_of(n, {**ITALIAN, "name": f"Site {n}"}) for n in (2, 3, 5)]
    content = "\n".join([",".join(HEADER), *(",".join(row) for row in rows)])
    response = await upload(editor, SITES, content.encode(), "sites.csv")
    assert response.status_code == 200, response.text
    assert [await made(editor, SITES, **ITALIAN) for _ in range(3)] == [4, 6, 7]


async def test_fifty_writers_and_one_date(served: Served, editor: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(editor.post(SITES, json=FRENCH) for _ in range(50)))
    assert sorted(r.status_code for r in responses) == [201] + [409] * 49
    refused = next(r for r in responses if r.status_code == 409)
    check_refused(served, refused, "one_french_site_per_date", 409)


# ---------- links

Way = Callable[[httpx.AsyncClient, int, int], Any]
LINKING: dict[str, Way] = {
    "PUT from the site": lambda c, site, group: c.put(f"{SITES}/{site}/groups/{group}"),
    "POST from the site": lambda c, site, group: c.post(f"{SITES}/{site}/groups/{group}"),
    "PUT from the group": lambda c, site, group: c.put(f"{GROUPS}/{group}/sites/{site}"),
    "POST from the group": lambda c, site, group: c.post(f"{GROUPS}/{group}/sites/{site}"),
    "PATCH the site": lambda c, site, group: c.patch(
        f"{SITES}/{site}", json={"group_ids": [group]}
    ),
    "PATCH sites": lambda c, site, group: c.patch(SITES, json=[{"id": site, "group_ids": [group]}]),
    "PATCH found sites": lambda c, site, group: c.patch(
        SITES, params={"id": site}, json={"group_ids": [group]}
    ),
    "PATCH the group": lambda c, site, group: c.patch(
        f"{GROUPS}/{group}", json={"site_ids": [site]}
    ),
    "PATCH groups": lambda c, site, group: c.patch(
        GROUPS, json=[{"id": group, "site_ids": [site]}]
    ),
    "POST a link": lambda c, site, group: c.post(
        "/api/v1/sites-in-groups", json={"site_id": site, "group_id": group}
    ),
    "POST links": lambda c, site, group: c.post(
        "/api/v1/sites-in-groups", json=[{"site_id": site, "group_id": group}]
    ),
}
linking = pytest.mark.parametrize("way", LINKING.values(), ids=LINKING.keys())


@linking
async def test_a_site_is_linked_by_any_way(editor: httpx.AsyncClient, way: Way) -> None:
    """Both ends show it, and have another version."""
    site, group = await made_site(editor), await made_group(editor)
    urls = f"{SITES}/{site}", f"{GROUPS}/{group}"
    tags = [(await editor.get(url)).headers["etag"] for url in urls]
    assert (await way(editor, site, group)).status_code in (200, 201, 204)
    shown = [await editor.get(url) for url in urls]
    assert shown[0].json()["group_ids"] == [group]
    assert shown[1].json()["site_ids"] == [site]
    assert all(now.headers["etag"] != tag for now, tag in zip(shown, tags, strict=True))
    history = await editor.get(f"/api/v1/sites-in-groups/{site}-{group}/history")
    assert [item["operation"] for item in history.json()["items"]] == ["insert"]


@linking
async def test_no_site_is_put_into_a_group_of_type_group3(
    served: Served, editor: httpx.AsyncClient, way: Way
) -> None:
    site, group = await made_site(editor), await made_group(editor, "group3")
    before = counts(served)
    check_refused(served, await way(editor, site, group), "no_site_in_group3", 409)
    assert counts(served) == before


@linking
async def test_who_is_not_there_is_not_linked(
    served: Served, editor: httpx.AsyncClient, way: Way
) -> None:
    site, group = await made_site(editor), await made_group(editor)
    before = counts(served)
    for ends in ((site, 999), (999, group)):
        response = await way(editor, *ends)
        # a filter finds nothing to change
        if not (response.status_code == 200 and response.json() == {"count": 0}):
            assert response.status_code in (404, 409), response.text
    assert counts(served) == before


async def test_a_group_with_sites_does_not_become_of_type_group3(
    served: Served, editor: httpx.AsyncClient
) -> None:
    site, was_third = await made_site(editor), await made_group(editor, "group3")
    group = await made_group(editor, site_ids=[site])
    change = {"type": "group3"}
    document = {"name": "Rhone", "type": "group3", "site_ids": [site]}
    await editor.patch(f"{GROUPS}/{was_third}", json={"type": "group1", "site_ids": [site]})
    versions = (await editor.get(f"{GROUPS}/{was_third}/history")).json()["items"]
    before = counts(served)
    for response in (
        await editor.patch(f"{GROUPS}/{group}", json=change),
        await editor.patch(GROUPS, params={"id": group}, json=change),
        await editor.put(f"{GROUPS}/{group}", json=document),
        await editor.post(GROUPS, json=document),
        await editor.post(
            f"{GROUPS}/{was_third}/revert", json={"version": versions[-1]["version"]}
        ),
    ):
        check_refused(served, response, "no_site_in_group3", 409)
    bulk = await editor.patch(GROUPS, json=[{"id": group, **change}])
    assert rules_of(bulk) == ["no_site_in_group3"]
    assert counts(served) == before
    # without its sites it may
    both = await editor.patch(f"{GROUPS}/{group}", json={**change, "site_ids": []})
    assert both.status_code == 200
    assert both.json()["site_ids"] == []


async def test_no_group_is_in_itself(served: Served, editor: httpx.AsyncClient) -> None:
    """Nor in one that is in it, over any number of groups."""
    a, b, c = [await made_group(editor) for _ in range(3)]
    for parent, child in ((a, b), (b, c)):
        url = f"{GROUPS}/{parent}/groups/{child}"
        assert (await editor.put(url)).status_code == 204
    before = counts(served)
    for parent, child in ((a, a), (b, a), (c, a)):
        for response in (
            await editor.put(f"{GROUPS}/{parent}/groups/{child}"),
            await editor.post(f"{GROUPS}/{parent}/groups/{child}"),
            await editor.patch(f"{GROUPS}/{parent}", json={"child_group_ids": [child]}),
            await editor.post(
                "/api/v1/groups-in-groups", json={"parent_id": parent, "child_id": child}
            ),
        ):
            check_refused(served, response, "no_cycles", 409)
    d = await made_group(editor)
    bulk = await editor.patch(
        GROUPS, json=[{"id": c, "child_group_ids": [d]}, {"id": d, "child_group_ids": [a]}]
    )
    assert rules_of(bulk) == ["no_cycles"]
    assert bulk.json()["errors"][0]["pointer"] == "#/1"
    assert counts(served) == {
        **before,
        "curated.groups": before["curated.groups"] + 1,
        "journal.edits": before["journal.edits"] + 1,
    }


async def test_links_are_taken_away(editor: httpx.AsyncClient) -> None:
    site, group = await made_site(editor), await made_group(editor)
    url = f"{SITES}/{site}/groups/{group}"
    takings: list[tuple[str, str, Any]] = [
        ("DELETE", url, None),
        ("DELETE", f"{GROUPS}/{group}/sites/{site}", None),
        ("PATCH", f"{SITES}/{site}", {"group_ids": []}),
        ("PATCH", f"{GROUPS}/{group}", {"site_ids": []}),
    ]
    for method, path, body in takings:
        assert (await editor.put(url)).status_code == 204
        tag = (await editor.get(f"{SITES}/{site}")).headers["etag"]
        assert (await editor.request(method, path, json=body)).status_code in (200, 204)
        shown = await editor.get(f"{SITES}/{site}")
        assert shown.json()["group_ids"] == []
        assert shown.headers["etag"] != tag
    assert (await editor.delete(url)).status_code == 404
    history = (await editor.get(f"/api/v1/sites-in-groups/{site}-{group}/history")).json()
    assert [i["operation"] for i in history["items"]] == ["delete", "insert"] * 4
    # what a body does not name stays
    await editor.put(url)
    replaced = await editor.put(f"{SITES}/{site}", json=FRENCH)
    assert replaced.json()["group_ids"] == [group]


async def test_a_deleted_group_takes_its_links_and_nothing_else(
    served: Served, editor: httpx.AsyncClient
) -> None:
    site = await made_site(editor)
    child = await made_group(editor)
    group = await made_group(editor, site_ids=[site], child_group_ids=[child])
    parent = await made_group(editor, child_group_ids=[group])
    before = counts(served)
    assert (await editor.delete(f"{GROUPS}/{group}")).status_code == 204
    after = counts(served)
    assert after == {
        **before,
        "curated.groups": before["curated.groups"] - 1,
        "curated.sites_in_groups": before["curated.sites_in_groups"] - 1,
        "curated.groups_in_groups": before["curated.groups_in_groups"] - 2,
        "journal.edits": before["journal.edits"] + 4,
    }
    assert (await editor.get(f"{SITES}/{site}")).json()["group_ids"] == []
    assert (await editor.get(f"{GROUPS}/{parent}")).json()["child_group_ids"] == []
    assert (await editor.get(f"{GROUPS}/{child}")).status_code == 200
    await editor.put(f"{GROUPS}/{parent}/groups/{child}")
    listed = await editor.request("DELETE", GROUPS, json=[child])
    assert listed.json() == {"count": 1}
    await made_group(editor, child_group_ids=[parent])
    found = await editor.delete(GROUPS, params={"type": "group1"})
    assert found.json() == {"count": 2}
    assert counts(served)["curated.groups_in_groups"] == 0


# ---------- two writers


async def test_a_site_comes_in_while_the_type_changes(editor: httpx.AsyncClient) -> None:
    """One of the two, never both."""
    site = await made_site(editor)
    for _ in range(10):
        group = await made_group(editor)
        linked, changed = await asyncio.gather(
            editor.put(f"{SITES}/{site}/groups/{group}"),
            editor.patch(f"{GROUPS}/{group}", json={"type": "group3"}),
        )
        assert {linked.status_code, changed.status_code} in ({204, 409}, {200, 409})


async def test_two_groups_go_into_each_other(editor: httpx.AsyncClient) -> None:
    for _ in range(10):
        a, b, c = [await made_group(editor) for _ in range(3)]
        responses = await asyncio.gather(
            editor.put(f"{GROUPS}/{a}/groups/{b}"),
            editor.put(f"{GROUPS}/{b}/groups/{c}"),
            editor.put(f"{GROUPS}/{c}/groups/{a}"),
        )
        assert sorted(r.status_code for r in responses) == [204, 204, 409]


async def test_a_group_goes_while_a_site_comes_in(editor: httpx.AsyncClient) -> None:
    site = await made_site(editor)
    for _ in range(10):
        group = await made_group(editor)
        linked, deleted = await asyncio.gather(
            editor.put(f"{SITES}/{site}/groups/{group}"), editor.delete(f"{GROUPS}/{group}")
        )
        assert linked.status_code in (204, 404)
        assert deleted.status_code in (204, 409)
        groups = (await editor.get(f"{SITES}/{site}")).json()["group_ids"]
        assert groups == ([group] if deleted.status_code == 409 else [])
        if groups:
            assert (await editor.delete(f"{GROUPS}/{group}")).status_code == 204


# ---------- reading


async def test_a_list_shows_links_and_their_rows(
    served: Served, editor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one query, beside that for the user."""
    site = await made_site(editor)
    groups = [await made_group(editor, site_ids=[site]) for _ in range(2)]
    sent: list[str] = []
    database = served.app.state.database
    fetch = database.fetch

    async def recorded(sql: str, *values: object) -> list[Any]:
        sent.append(sql)
        return list(await fetch(sql, *values))

    with monkeypatch.context() as patch:
        patch.setattr(database, "fetch", recorded)
        listed = await editor.get(SITES, params={"id": site, "expand": "groups"})
    assert len([sql for sql in sent if "curated" in sql]) == 1
    (item,) = listed.json()["items"]
    assert item["group_ids"] == groups
    assert [group["id"] for group in item["_expanded"]["groups"]] == groups
    assert item["_expanded"]["groups"][0]["name"] == "Rhone"
    fields = await editor.get(SITES, params={"id": site, "fields": "group_ids"})
    assert fields.json()["items"] == [{"group_ids": groups}]
    named = await editor.get(SITES, params={"id": site, "fields": "name"})
    assert named.json()["items"] == [{"name": FRENCH["name"]}]
    file = await editor.get(SITES, params={"format": "csv", "fields": "group_ids"})
    assert file.status_code == 422


async def test_a_deleted_row_comes_back_without_links(editor: httpx.AsyncClient) -> None:
    site = await made_site(editor)
    group = await made_group(editor, site_ids=[site])
    assert (await editor.delete(f"{GROUPS}/{group}")).status_code == 204
    versions = (await editor.get(f"{GROUPS}/{group}/history")).json()["items"]
    back = await editor.post(f"{GROUPS}/{group}/revert", json={"version": versions[-1]["version"]})
    assert back.status_code == 200, back.text
    assert back.json()["site_ids"] == []


# ---------- what a review found


async def test_who_waited_for_another_writer_of_the_row_sees_its_links(
    editor: httpx.AsyncClient,
) -> None:
    """The last one's links are the row's, and one ETag has one body."""
    sites = [await made_site(editor, installation_date=f"2021-02-0{day}") for day in range(1, 5)]
    for _ in range(5):
        group = await made_group(editor)
        url = f"{GROUPS}/{group}"
        said = [editor.patch(url, json={"site_ids": [site]}) for site in sites]
        named = [editor.patch(url, json={"name": f"Group {n}"}) for n in range(2)]
        linked = editor.put(f"{SITES}/{sites[0]}/groups/{group}")
        answers = await asyncio.gather(*said, *named, linked)
        assert {answer.status_code for answer in answers} <= {200, 204}
        now = await editor.get(url)
        for answer in answers:
            if answer.headers.get("etag") == now.headers["etag"]:
                assert answer.json()["site_ids"] == now.json()["site_ids"]
        assert set(now.json()["site_ids"]) - {sites[0]} in [set(), *({s} for s in sites[1:])]


async def test_many_links_in_one_statement(editor: httpx.AsyncClient) -> None:
    """A rule is judged once, not for each; a bad one among them is named."""
    sites = [{**ITALIAN, "name": f"Site {n}", "group_ids": []} for n in range(1000)]
    made = (await editor.post(SITES, json=sites)).json()["items"]
    good, third = await made_group(editor), await made_group(editor, "group3")
    links = [{"site_id": site["id"], "group_id": good} for site in made]
    bad = await editor.post(
        "/api/v1/sites-in-groups", json=[*links[:500], {**links[0], "group_id": third}]
    )
    assert bad.status_code == 409
    assert bad.json()["errors"][0]["pointer"] == "#/500"
    assert (await editor.post("/api/v1/sites-in-groups", json=links)).status_code == 201
    shown = (await editor.get(f"{GROUPS}/{good}")).json()
    assert len(shown["site_ids"]) == 1000
    back = await editor.patch(f"{GROUPS}/{good}", json={"site_ids": shown["site_ids"]})
    assert back.status_code == 200
    assert (await editor.delete("/api/v1/sites-in-groups", params={"group_id": good})).json() == {
        "count": 1000
    }


async def test_a_trigger_that_is_lost_comes_back(served: Served, editor: httpx.AsyncClient) -> None:
    site = await made_site(editor)
    group = await made_group(editor, site_ids=[site])
    warehouse = served.warehouse
    warehouse.excluded = ()
    warehouse.connection.execute(
        "drop trigger sites_in_groups__no_site_in_group3 on curated.groups"
    )
    await asyncio.to_thread(warehouse.build, "--select", "sites_in_groups")
    refused = await editor.patch(f"{GROUPS}/{group}", json={"type": "group3"})
    check_refused(served, refused, "no_site_in_group3", 409)
    with psycopg.connect(warehouse.url) as connection:
        connection.execute("begin isolation level repeatable read")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("update curated.groups set type = 'group2'")


async def test_a_table_that_is_made_anew_gives_no_known_number(
    served: Served, editor: httpx.AsyncClient
) -> None:
    """Nor one that a deleted row had."""
    numbers = [await made_group(editor) for _ in range(3)]
    assert (await editor.delete(f"{GROUPS}/{numbers[2]}")).status_code == 204
    warehouse = served.warehouse
    warehouse.excluded = ()
    warehouse.connection.execute("drop table curated.groups cascade")
    await asyncio.to_thread(warehouse.build, "--select", "marts.energy")
    assert await made_group(editor) == numbers[2] + 1
    shown = (await editor.get(GROUPS)).json()["items"]
    assert [group["id"] for group in shown] == [*numbers[:2], numbers[2] + 1]


@pytest.mark.parametrize("name", ["sites_in_groups", "groups"])
async def test_links_are_as_restricted_as_their_rows(
    datasets: Datasets, served: Served, tokens: Tokens, name: str
) -> None:
    """Neither shown nor written without a scope."""
    site = await made_site(served.editor)
    group = await made_group(served.editor, site_ids=[site])
    manifest = served.warehouse.folder / "manifest.json"
    text = json.loads((datasets.folder / "target" / "manifest.json").read_text())
    text["nodes"][f"model.assay.{name}"]["config"]["meta"]["api"]["restricted"] = True
    manifest.write_text(json.dumps(text))
    settings = served.app.state.settings
    app = create_app(settings, read_catalog(manifest))
    (user,) = served.warehouse.query("select * from auth.users where username = 'editor'")
    async with app.router.lifespan_context(app), client_of(app, tokens.issue(user["user_id"])) as c:
        assert "group_ids" not in (await c.get(f"{SITES}/{site}")).json()
        assert "group_ids" not in (await c.get(SITES)).json()["items"][0]
        for params in ({"fields": "group_ids"}, {"expand": "groups"}):
            assert (await c.get(SITES, params=params)).status_code in (403, 404)
        for change in ({"group_ids": []}, {"name": "Adige", "group_ids": [group]}):
            assert (await c.patch(f"{SITES}/{site}", json=change)).status_code == 403
        assert (await c.put(f"{SITES}/{site}/groups/{group}")).status_code == 403
        assert (await c.patch(f"{SITES}/{site}", json={"name": "Adige"})).status_code == 200


async def test_lists_are_filtered_by_links(editor: httpx.AsyncClient) -> None:
    """From both ends, in groups of conditions, and where rows are changed by a filter."""
    first, second = [await made_site(editor, installation_date=f"2023-05-0{n}") for n in (1, 2)]
    both, one = [await made_group(editor) for _ in range(2)]
    await editor.patch(f"{GROUPS}/{both}", json={"site_ids": [first, second]})
    await editor.patch(f"{GROUPS}/{one}", json={"site_ids": [second]})

    async def ids(path: str, *query: tuple[str, str]) -> list[int]:
        response = await editor.get(path, params=[*query, ("sort", "id")])
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert await ids(SITES, ("group_ids__contains", str(both))) == [first, second]
    assert await ids(SITES, ("filter", f"group_ids__contains={one}")) == [second]
    assert await ids(GROUPS, ("site_ids__contains", str(second))) == [both, one]
    twice = [("filter", f"site_ids__contains={site}") for site in (first, second)]
    assert await ids(GROUPS, *twice) == [both]
    either = [("any_of", f"site_ids__contains={first}"), ("any_of", f"id={one}")]
    assert await ids(GROUPS, *either) == [both, one]
    assert await ids(SITES, ("group_ids__contains", "999999")) == []
    for wrong in ("group_ids__contains=x", "group_ids=1", "group_ids__eq=1"):
        assert (await editor.get(f"{SITES}?{wrong}")).status_code == 422
    changed = await editor.patch(SITES, params={"group_ids__contains": one}, json={"name": "Isle"})
    assert changed.json() == {"count": 1}
    assert (await editor.get(f"{SITES}/{second}")).json()["name"] == "Isle"
    gone = await editor.delete(GROUPS, params={"site_ids__contains": first})
    assert gone.json() == {"count": 1}
    assert await ids(GROUPS, ("site_ids__contains", str(second))) == [one]


async def test_a_key_that_leads_nowhere_is_named(editor: httpx.AsyncClient) -> None:
    """Each with its place, from both ends, in one document and in many."""
    site, group = await made_site(editor, installation_date="2023-06-01"), await made_group(editor)
    many = [{"id": group, "site_ids": [site]}, {"id": group + 1, "site_ids": [999_998.0]}]
    await made_group(editor)
    new = {"name": "Rhone", "type": "group1"}
    for response, expected in (
        (
            await editor.patch(f"{GROUPS}/{group}", json={"site_ids": [site, 999_999, 999_998]}),
            [("#/site_ids/1", "999999", "sites"), ("#/site_ids/2", "999998", "sites")],
        ),
        (
            await editor.post(GROUPS, json={**new, "child_group_ids": [999_997]}),
            [("#/child_group_ids/0", "999997", "groups")],
        ),
        (
            await editor.patch(f"{SITES}/{site}", json={"group_ids": [999_996, group]}),
            [("#/group_ids/0", "999996", "groups")],
        ),
        (await editor.patch(GROUPS, json=many), [("#/1/site_ids/0", "999998", "sites")]),
    ):
        assert response.status_code == 409, response.text
        errors = response.json()["errors"]
        assert [error["pointer"] for error in errors] == [pointer for pointer, _, _ in expected]
        for error, (_, key, path) in zip(errors, expected, strict=True):
            assert error["detail"].removesuffix(f" There is no {key} among the {path}.")
            assert f"There is no {key}" in error["detail"]
            assert error["rule"]
    assert (await editor.get(f"{GROUPS}/{group}")).json()["site_ids"] == []


async def test_the_members_of_a_link_are_a_list(served: Served, editor: httpx.AsyncClient) -> None:
    """With what a list takes; a row that is not there has none, not even an empty one."""
    sites = [
        await made_site(editor, installation_date=f"2023-07-0{n}", name=f"Site {n}")
        for n in range(1, 6)
    ]
    parent, child, other = [await made_group(editor) for _ in range(3)]
    change = {"site_ids": sites[:4], "child_group_ids": [child]}
    assert (await editor.patch(f"{GROUPS}/{parent}", json=change)).status_code == 200
    await editor.patch(f"{GROUPS}/{other}", json={"site_ids": sites[3:]})

    async def ids(url: str) -> list[int]:
        response = await served.reader.get(url)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert await ids(f"{GROUPS}/{parent}/sites?sort=id") == sites[:4]
    assert await ids(f"{GROUPS}/{parent}/sites?sort=-id&name__ne=Site 2") == [
        sites[3],
        sites[2],
        sites[0],
    ]
    assert await ids(f"{GROUPS}/{parent}/sites?group_ids__contains={other}") == [sites[3]]
    assert await ids(f"{SITES}/{sites[3]}/groups?sort=id") == [parent, other]
    assert await ids(f"{GROUPS}/{parent}/groups") == [child]
    assert await ids(f"{GROUPS}/{child}/groups") == []
    first = (await served.reader.get(f"{GROUPS}/{parent}/sites?limit=3&sort=id&count=exact")).json()
    assert ([item["id"] for item in first["items"]], first["count"]) == (sites[:3], 4)
    assert await ids(f"{GROUPS}/{parent}/sites?limit=3&sort=id&cursor={first['next']}") == [
        sites[3]
    ]
    whole = (await served.reader.get(f"{SITES}/{sites[0]}")).json()
    (shown,) = (await served.reader.get(f"{GROUPS}/{parent}/sites?id={sites[0]}")).json()["items"]
    assert shown == whole
    file = await served.reader.get(f"{GROUPS}/{parent}/sites?format=csv&fields=id&sort=id")
    assert file.text.split() == ["id", *map(str, sites[:4])]
    for url, status in (
        (f"{GROUPS}/999999/sites", 404),
        (f"{GROUPS}/x/sites", 422),
        (f"{GROUPS}/{parent}/sites?nothing=1", 422),
    ):
        assert (await served.reader.get(url)).status_code == status
