"""Whatever people do to sites and groups, all rules are true and history says what there is.

`make test` plays five sequences of five operations, always the same; `make test-long` as many as
SEQUENCES says (100), of a SEED that it prints.
"""

import asyncio
import itertools
import os
import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from tests.api.conftest import Served
from tests.api.test_sites_and_groups import GROUPS, HEADER, SITES, row_of

pytestmark = pytest.mark.anyio

LENGTH = 5
# few days, most of them weekends, and few rows: so that they get into each other's way
DAYS = [date(2021, 1, 2) + timedelta(weeks=n) for n in range(6)] + [date(2021, 1, 5)]
COUNTRIES = ("france", "italy")
TYPES = ("group1", "group2", "group3")
FIRST = 4
"""Sites and groups to begin with."""
TABLES = {
    "sites": "id",
    "groups": "id",
    "sites_in_groups": "site_in_group",
    "groups_in_groups": "group_in_group",
}
Row = dict[str, Any]


class Player:
    """Plays random operations through the API, and files."""

    def __init__(self, served: Served, dice: random.Random) -> None:
        self.served = served
        self.dice = dice
        self.files = itertools.count(1)
        self.played: Counter[str] = Counter()

    async def play(self) -> None:
        operations = [self.write] * 4 + [self.link] * 4 + [self.delete] * 2
        operations += [self.revert, self.send]
        await self.dice.choice(operations)()

    async def write(self) -> None:
        """A new row, or other fields of one: alone, in a list, or by a filter."""
        path = self.dice.choice((SITES, GROUPS))
        document = self.site() if path == SITES else self.group()
        key = self.key(path)
        if self.dice.random() < 0.4:
            await self.ask("POST", path, self.dice.choice((document, [document])))
        elif self.dice.random() < 0.6:
            kept = self.dice.sample(list(document), self.dice.randint(1, len(document)))
            await self.ask("PATCH", f"{path}/{key}", {name: document[name] for name in kept})
        elif path == GROUPS:
            await self.ask("PATCH", f"{path}?type={self.dice.choice(TYPES)}", document)
        else:
            await self.ask("PATCH", path, [{"id": key, **document}])

    def site(self) -> Row:
        country = self.dice.choice(COUNTRIES)
        own = dict(zip(COUNTRIES, ("useful_energy_at_1_megawatt", "efficiency"), strict=True))
        return {
            "name": self.dice.choice(("Adige", "Bugey")),
            "country": country,
            "installation_date": str(self.dice.choice(DAYS)),
            "max_power_megawatt": self.dice.randint(1, 9),
            "min_power_megawatt": self.dice.choice((-1, 0, 0, 0, 1, 2)),
            own[self.dice.choice((country, country, *COUNTRIES))]: self.dice.choice((None, 0.5)),
            "group_ids": self.keys(GROUPS),
        }

    def group(self) -> Row:
        return {
            "name": self.dice.choice(("Alps", "Rhone")),
            "type": self.dice.choice(TYPES),
            "site_ids": self.keys(SITES),
            "child_group_ids": self.keys(GROUPS),
        }

    async def link(self) -> None:
        path, other = self.dice.choice(((SITES, GROUPS), (GROUPS, SITES), (GROUPS, GROUPS)))
        method = self.dice.choice(("PUT", "POST", "DELETE"))
        segment = other.rsplit("/", 1)[1]
        await self.ask(method, f"{path}/{self.key(path)}/{segment}/{self.key(other)}")

    async def delete(self) -> None:
        path = self.dice.choice((SITES, GROUPS))
        if self.dice.random() < 0.5:
            await self.ask("DELETE", f"{path}/{self.key(path)}")
        else:
            await self.ask("DELETE", path, [self.key(path)])

    async def revert(self) -> None:
        path = self.dice.choice((SITES, GROUPS))
        url = f"{path}/{self.key(path)}"
        history = await self.served.editor.get(f"{url}/history")
        versions = history.json().get("items", [])
        if versions:
            version = self.dice.choice(versions)["version"]
            await self.ask("POST", f"{url}/revert", {"version": version})

    async def send(self) -> None:
        """A file of sites, new ones and others."""
        warehouse = self.served.warehouse
        rows = [row_of(self.dice.randint(1, 12), self.site()) for _ in range(3)]
        path = warehouse.folder / f"{next(self.files)}.csv"
        path.write_text("\n".join([",".join(HEADER), *(",".join(row) for row in rows)]) + "\n")
        await asyncio.to_thread(warehouse.load_file, path, "energy.sites")
        await asyncio.to_thread(warehouse.build, "--select", "sites")
        self.played["file"] += 1

    def key(self, path: str) -> int:
        """Of a row that is there, mostly."""
        table = path.rsplit("/", 1)[1]
        there = [
            row["id"] for row in self.served.warehouse.query(f"select id from curated.{table}")
        ]
        return int(self.dice.choice([*there * 5, 1]))

    def keys(self, path: str) -> list[int]:
        return [self.key(path) for _ in range(self.dice.choice((0, 0, 1, 2)))]

    async def ask(self, method: str, url: str, body: object = None) -> httpx.Response:
        response = await self.served.editor.request(method, url, json=body)
        assert response.status_code in (200, 201, 204, 404, 409, 422), response.text
        self.played[f"{method} {response.status_code // 100}xx"] += 1
        return response


def tables(served: Served) -> dict[str, list[Row]]:
    return {
        table: served.warehouse.query(f"select * from curated.{table} order by {key}")
        for table, key in TABLES.items()
    }


def check_rules(rows: dict[str, list[Row]]) -> None:
    """As the specification says them, over all rows."""
    french = [site["installation_date"] for site in rows["sites"] if site["country"] == "france"]
    assert len(french) == len(set(french))
    for site in rows["sites"]:
        assert site["country"] in COUNTRIES
        assert 0 <= site["min_power_megawatt"] <= site["max_power_megawatt"]
        assert site["country"] == "france" or site["useful_energy_at_1_megawatt"] is None
        assert site["country"] == "italy" or site["efficiency"] is None
        assert site["country"] != "italy" or site["installation_date"].isoweekday() in (6, 7)
    types = {group["id"]: group["type"] for group in rows["groups"]}
    sites = {site["id"] for site in rows["sites"]}
    assert set(types.values()) <= set(TYPES)
    for link in rows["sites_in_groups"]:
        assert link["site_id"] in sites
        assert types[link["group_id"]] != "group3"
    children: dict[int, set[int]] = {group: set() for group in types}
    for link in rows["groups_in_groups"]:
        assert link["child_id"] in types
        children[link["parent_id"]].add(link["child_id"])
    while children:  # what has no children is in no cycle
        leaves = {group for group, below in children.items() if not below}
        assert leaves, children
        children = {
            group: below - leaves for group, below in children.items() if group not in leaves
        }


def check_journal(served: Served, rows: dict[str, list[Row]]) -> None:
    """What is born in the API stands in the journal, each link and deletion too."""
    for table, key in TABLES.items():
        if table != "sites":
            replayed: dict[str, Row] = {}
            for edit in served.warehouse.query(
                "select * from journal.edits where entity = %s order by clock", table
            ):
                assert (edit["before"] is not None) == (edit["key"] in replayed)
                replayed.pop(edit["key"], None)
                if edit["operation"] != "delete":
                    replayed[edit["key"]] = edit["after"]
            now = {str(row[key]): row for row in rows[table]}
            assert set(replayed) == set(now)
            for name in ("type", "group_id", "parent_id"):
                assert {k: row.get(name) for k, row in replayed.items()} == {
                    k: row.get(name) for k, row in now.items()
                }


async def play(served: Served, dice: random.Random, sequences: int) -> Counter[str]:
    served.warehouse.excluded = ()
    player = Player(served, dice)
    while any(len(tables(served)[table]) < FIRST for table in ("sites", "groups")):
        await player.ask("POST", SITES, player.site())
        await player.ask("POST", GROUPS, player.group())
    player.played.clear()
    for _ in range(sequences):
        for _ in range(LENGTH):
            await player.play()
            check_rules(tables(served))
        before = tables(served)
        check_journal(served, before)
        await asyncio.to_thread(
            served.warehouse.build, "--select", "marts.energy", "--full-refresh"
        )
        assert tables(served) == before
    return player.played


async def test_five_sequences(served: Served) -> None:
    played = await play(served, random.Random(5), 5)
    assert {"POST 2xx", "PATCH 2xx", "PATCH 4xx"} <= set(played), played


@pytest.mark.long
async def test_many_sequences(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randint(1, 2**31)))
    with capsys.disabled():
        print(f"\nSEED={seed}")  # noqa: T201 - to play it again
        played = await play(served, random.Random(seed), int(os.environ.get("SEQUENCES", "100")))
        print(f"SEED={seed}: {dict(sorted(played.items()))}")  # noqa: T201
