"""Columns that say something of a person are left out or hashed, and leave no trace."""

from dataclasses import replace
from typing import Any

import pytest

from assay.catalog import Catalog, LakePii
from lake.columns import Hasher
from tests.api.conftest import column
from tests.lake import things
from tests.lake.conftest import SECRET, Things

NAME = "Zaphod Beeblebrox"


def declare(of: Things, **personal: dict[str, bool]) -> None:
    """Columns as another contract has them."""
    columns = tuple(replace(c, **personal.get(c.name, {})) for c in things.ENTITY.columns)
    of.exporter.catalog = Catalog({"things": replace(things.ENTITY, columns=columns)}, {})


LEFT_OUT = {"is_personal": True}
HASHED = {"is_personal": True, "is_hashed": True}


def is_anywhere(of: Things, text: str) -> bool:
    """In a file of the lake; Parquet would compress a longer one."""
    return any(text.encode() in path.read_bytes() for path in of.files())


@pytest.fixture
def of_people(of_things: Things) -> Things:
    for number in range(3):
        things.put(of_things.connection, f"{NAME} {number}", words=[NAME], whole=7)
    return of_things


def test_left_out(of_people: Things) -> None:
    declare(of_people, whole=LEFT_OUT)
    of_people.exporter.export()
    assert {"whole", "small"} & set(of_people.state()[0]) == {"small"}
    assert of_people.state() == [
        {name: value for name, value in row.items() if name != "whole"} for row in of_people.rows()
    ]


def test_hashed(of_people: Things) -> None:
    """Equal values are equal, of any type; what is not there is not there."""
    things.put(of_people.connection, "other", whole=8)
    things.put(of_people.connection, "without")
    declare(of_people, whole=HASHED, words=HASHED)
    of_people.exporter.export()
    hash_ = Hasher(SECRET).hash
    found = {row["thing"]: row for row in of_people.state()}
    assert {name: row["whole"] for name, row in found.items()} == {
        **{f"{NAME} {number}": hash_("7") for number in range(3)},
        "other": hash_("8"),
        "without": None,
    }
    assert found[f"{NAME} 0"]["words"] == hash_('{"' + NAME + '"}')


@pytest.mark.parametrize("how", [LEFT_OUT, HASHED])
def test_a_key_is_hashed_at_least(of_people: Things, how: dict[str, bool]) -> None:
    """Without it nobody could tell which row was changed or is gone."""
    declare(of_people, thing=how, words=LEFT_OUT)
    of_people.exporter.export()
    things.put(of_people.connection, f"{NAME} 0", whole=9)
    things.remove(of_people.connection, f"{NAME} 1")
    (account,) = of_people.exporter.export()
    assert (account.rows, account.deletions) == (2, 1)
    hash_ = Hasher(SECRET).hash
    assert {row["thing"]: row["whole"] for row in of_people.state()} == {
        hash_(f"{NAME} 0"): 9,
        hash_(f"{NAME} 2"): 7,
    }
    assert not is_anywhere(of_people, "Zaphod")


@pytest.mark.parametrize("how", [LEFT_OUT, HASHED])
def test_a_column_that_becomes_personal_is_gone_at_once(
    of_people: Things, how: dict[str, bool]
) -> None:
    """From all files: no older snapshot has it. When it is no longer personal, it comes back."""
    of_people.exporter.export()
    things.put(of_people.connection, f"{NAME} 0", whole=9)
    of_people.exporter.export()
    assert is_anywhere(of_people, "Zaphod")

    declare(of_people, thing=HASHED, words=how)
    (account,) = of_people.exporter.export()
    assert (account.is_whole, account.rows) == (True, 3)
    assert not is_anywhere(of_people, "Zaphod")
    assert of_people.unneeded() == set()
    assert len(of_people.exporter.table("things").metadata.snapshots) == 1

    declare(of_people)
    (account,) = of_people.exporter.export()
    assert account.is_whole
    assert of_people.state() == of_people.rows()


def test_another_secret_hashes_all_anew(of_people: Things) -> None:
    declare(of_people, whole=HASHED)
    of_people.exporter.export()
    of_people.exporter.secret = "another secret"  # noqa: S105
    (account,) = of_people.exporter.export()
    assert account.is_whole
    assert {row["whole"] for row in of_people.state()} == {Hasher("another secret").hash("7")}
    assert of_people.exporter.export()[0].rows == 0


def test_the_secret_is_nowhere(of_people: Things, capfd: pytest.CaptureFixture[Any]) -> None:
    declare(of_people, whole=HASHED)
    of_people.exporter.export()
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert not is_anywhere(of_people, SECRET)


def test_what_was_repaired_may_say_it(of_people: Things) -> None:
    """As do other columns of the whole row; without personal ones they are there."""
    of_people.connection.execute("alter table curated.things add repairs text[]")
    columns = (*things.ENTITY.columns, column("repairs", "text[]"))
    for is_personal in (False, True):
        shown = tuple(replace(c, is_personal=is_personal and c.name == "whole") for c in columns)
        entity = replace(things.ENTITY, columns=shown)
        of_people.exporter.catalog = Catalog({"things": entity}, {})
        of_people.exporter.export()
        assert ("repairs" in of_people.state()[0]) is not is_personal


@pytest.mark.parametrize("pii", ["leave_out", "hash", "keep"])
def test_the_owner_says_what_the_lake_has(of_people: Things, pii: LakePii) -> None:
    """Of all personal columns; one that says `hash` is hashed at least, and the account tells."""
    columns = tuple(
        replace(c, **{"whole": LEFT_OUT, "words": HASHED}.get(c.name, {}))
        for c in things.ENTITY.columns
    )
    entity = replace(things.ENTITY, columns=columns, lake_pii=pii)
    of_people.exporter.catalog = Catalog({"things": entity}, {})
    (account,) = of_people.exporter.export()
    rows = of_people.state()
    hash_ = Hasher(SECRET).hash
    expected = {"leave_out": None, "hash": hash_("7"), "keep": 7}[pii]
    assert {row.get("whole") for row in rows} == {expected}
    assert ("whole" in rows[0]) is (pii != "leave_out")
    assert {row["words"] for row in rows} == {hash_('{"' + NAME + '"}')}
    hidden = {name for names in account.hidden.values() for name in names}
    assert ("whole" in hidden) is (pii != "keep")
    assert "words" in account.hidden["hashed"]
