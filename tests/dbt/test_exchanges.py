"""Rows of a file that take identifiers from each other: all are accepted, or none."""

import itertools
import random
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.conftest import long
from tests.dbt.dataset import Dataset, project_with
from tests.warehouse import Warehouse

FILES = {
    "marts/lockers/_lockers__models.yml": """
version: 2
models:
  - name: lockers
    description: One row per locker.
    config:
      meta:
        api: {path: lockers}
        rules:
          - {name: one_locker_per_code, unique: [code], message: Another locker has this code.}
          - name: one_locker_per_place
            unique: [hall, place]
            message: Another locker is there.
          - name: one_locker_per_lessee
            unique: [lessee]
            where: is_rented
            message: Another rented locker is his.
          - {name: code_short, columns: [code], message: A code has 4 characters at most.}
    constraints:
      - {type: primary_key, columns: [number]}
      - {type: unique, columns: [code]}
      - {type: unique, columns: [hall, place]}
      - {type: check, name: code_short, expression: length(code) <= 4}
    columns:
      - {name: number, data_type: integer}
      - {name: code, data_type: text}
      - {name: hall, data_type: text}
      - {name: place, data_type: integer}
      - {name: lessee, data_type: text}
      - {name: is_rented, data_type: boolean}
      - {name: updated_at, data_type: timestamptz}
      - {name: updated_by, data_type: text}
""",
    "marts/lockers/lockers.sql": "select * from {{ ref('stg_gym__lockers') }}\n",
    "staging/gym/_gym__sources.yml": """
version: 2
sources:
  - name: gym
    schema: raw
    tables:
      - name: lockers
        identifier: gym__lockers
        config: {meta: {load: {formats: [csv]}}}
        columns:
          - {name: number, config: {meta: {mandatory: true}}}
          - {name: code}
          - {name: hall}
          - {name: place}
          - {name: lessee}
          - {name: is_rented}
""",
    "staging/gym/stg_gym__lockers.sql": """
select
    {{ provenance() }},
    {{ to_integer('number', 'integer') }} as number,
    {{ clean_text('code') }} as code,
    {{ clean_text('hall') }} as hall,
    {{ to_integer('place', 'integer') }} as place,
    {{ clean_text('lessee') }} as lessee,
    {{ to_boolean('is_rented') }} as is_rented,
    '{}'::text[] as _problems
from {{ source('gym', 'lockers') }}
""",
}
CODE = ["one_locker_per_code"]


@pytest.fixture(scope="module")
def made(
    create_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Warehouse]]:
    with project_with(FILES, tmp_path_factory.mktemp("lockers"), create_database) as make:
        yield make


@pytest.fixture
def lockers(made: Callable[[], Warehouse]) -> Iterator[Dataset]:
    warehouse = made()
    columns = ("number", "code", "hall", "place", "lessee", "is_rented")
    with warehouse.connection:
        yield Dataset(warehouse, "gym.lockers", "lockers", *columns)


def codes(lockers: Dataset) -> str:
    return "".join(row[1] for row in lockers.rows())


@pytest.mark.parametrize("after", ["bac", "cab", "bcx", "bxa", *long("bca", "cba", "xab")])
def test_cycles_and_chains(lockers: Dataset, after: str) -> None:
    """Of any length, in whatever order the rows stand; taken back they are what they were."""
    lockers.load("1,a,,,,", "2,b,,,,", "3,c,,,,")
    rows = [f"{number},{code},,,," for number, code in enumerate(after, start=1)]
    random.Random(after).shuffle(rows)
    assert lockers.load(*rows) == {}
    assert codes(lockers) == after
    assert lockers.is_the_same_when_recomputed()
    assert lockers.warehouse.operate("unload", load_id=lockers.load_id, user="keeper")
    assert codes(lockers) == "abc"
    assert lockers.is_the_same_when_recomputed()


@pytest.mark.parametrize("place", [0, 3, *long(1, 2)])
def test_all_of_it_or_none(lockers: Dataset, place: int) -> None:
    """Whichever row of an exchange breaks a rule; others are not concerned."""
    lockers.load("1,a,,,,", "2,b,,,,", "3,c,,,,", "4,d,,,,", "8,y,,,,", "9,z,,,,")
    rows = ["1,b,,,,", "2,c,,,,", "3,d,,,,", "4,e,,,,"]
    # one of them claims a place, too, whose locker stays
    lockers.edit("number = 9", "hall = 'A', place = 1")
    rows[place] = rows[place].replace(",,,,", ",A,1,,")
    broken = lockers.load(*rows, "5,new,,,,", "8,x,,,,")
    assert set(broken) == {2, 3, 4, 5}
    # the last takes nothing, and has a reason of its own
    assert broken[place + 2] == [*(CODE if place < 3 else []), "one_locker_per_place"]
    assert all(rules == CODE for number, rules in broken.items() if number != place + 2)
    assert codes(lockers) == "abcdnewxz"
    assert lockers.is_the_same_when_recomputed()


def test_a_row_that_breaks_a_rule_of_its_own_takes_the_exchange_along(lockers: Dataset) -> None:
    """Also where the others could do without it."""
    lockers.load("1,a,,,,", "2,b,,,,", "3,c,,,,")
    assert lockers.load("1,b,,none,,", "2,b,,,,", "3,tooolong,,,,") != {}
    broken = lockers.load("1,b,H,1,,", "1,b,H,2,,", "2,c,,,,", "3,d,,,,")
    assert set(broken) == {2, 3, 4, 5}
    assert broken[4] == broken[5] == CODE
    broken = lockers.load("1,b,,,,", "2,c,,,,", "3,tooolong,,,,")
    assert broken == {2: CODE, 3: CODE, 4: ["code_short"]}
    assert codes(lockers) == "abc"


def test_a_new_row_takes_what_another_gives_up(lockers: Dataset) -> None:
    """It is written after that one, and rejected with it."""
    lockers.load("1,a,,,,", "2,b,,,,")
    assert lockers.load("3,a,,,,", "1,c,,,,") == {}
    assert codes(lockers) == "cba"
    assert lockers.load("4,c,,,,", "1,b,,,,") == {2: CODE, 3: CODE}
    assert lockers.is_the_same_when_recomputed()


def test_several_columns_and_some_rows(lockers: Dataset) -> None:
    """A uniqueness of two columns, and one of some rows, which a row may also leave."""
    lockers.load("1,,A,1,eve,true", "2,,A,2,bob,true", "3,,B,1,eve,false")
    assert lockers.load("1,,A,2,bob,true", "2,,A,1,eve,true") == {}
    assert lockers.load("1,,B,1,bob,false", "3,,A,2,bob,true") == {}
    assert lockers.load("3,,A,2,eve,true", "2,,A,1,eve,") == {}
    assert [row[2:] for row in lockers.rows()] == [
        ("B", 1, "bob", False),
        ("A", 1, "eve", None),
        ("A", 2, "eve", True),
    ]
    assert lockers.load("1,,A,1,bob,false", "2,,A,2,eve,") == {
        2: ["one_locker_per_place"],
        3: ["one_locker_per_place"],
    }
    assert lockers.is_the_same_when_recomputed()


def test_who_gives_up_may_be_older_than_an_edit(lockers: Dataset) -> None:
    """Then nothing is given up: his row is superseded, and the other one is rejected."""
    lockers.load("1,a,,,,", "2,b,,,,")
    path = lockers.warehouse.folder / "late.csv"
    path.write_text("number,code\n1,b\n2,a\n")
    load_id = lockers.warehouse.load_file(path, "gym.lockers")
    lockers.edit("number = 2", "hall = 'C'")
    lockers.warehouse.build("--select", "lockers")
    account = lockers.warehouse.account(load_id)
    assert (account["superseded"], account["rejected"]) == (1, 1)
    assert codes(lockers) == "ab"
    assert lockers.is_the_same_when_recomputed()


def test_one_statement_may_exchange(lockers: Dataset) -> None:
    """As a PATCH of several rows does; what two have in the end is refused by the rule's name."""
    lockers.load("1,a,A,1,eve,true", "2,b,A,2,bob,true")
    swap = """
        update curated.lockers as target
        set code = other.code, place = other.place, lessee = other.lessee
        from curated.lockers as other where other.number <> target.number
    """
    lockers.connection.execute(swap)
    assert codes(lockers) == "ba"
    for rule, assignment in (
        ("one_locker_per_code", "code = 'x'"),
        ("one_locker_per_place", "place = 7"),
        ("one_locker_per_lessee", "lessee = 'ann'"),
    ):
        with pytest.raises(psycopg.errors.IntegrityError) as refusal:
            lockers.connection.execute(f"update curated.lockers set {assignment}".encode())
        assert refusal.value.diag.constraint_name == f"lockers__{rule}"


@pytest.mark.parametrize("seed", [0, *long(1)])
def test_the_order_of_rows_does_not_matter(lockers: Dataset, seed: int) -> None:
    """Random exchanges, some of which break a rule: what is right is worked out row by row."""
    choice = random.Random(seed)
    held = dict(zip("12345", "abcde", strict=True))
    lockers.load(*(f"{number},{code},,,," for number, code in held.items()))
    for _ in range(6):
        numbers = choice.sample("123456", 4)
        wanted = dict(zip(numbers, choice.sample([*"abcdefg", "tooolong"], 4), strict=True))
        rows = [f"{number},{code},,,," for number, code in wanted.items()]
        refused = lockers.load(*rows)
        lost = expected_losses(held, wanted)
        assert {numbers[place - 2] for place in refused} == lost
        held |= {number: code for number, code in wanted.items() if number not in lost}
        assert {str(row[0]): row[1] for row in lockers.rows()} == held
    assert lockers.is_the_same_when_recomputed()


def expected_losses(held: dict[str, str], wanted: dict[str, str]) -> set[str]:
    """By the definition: rows of which one takes what another has stand or fall together."""
    owner = {code: number for number, code in held.items()}
    news = {number: code for number, code in wanted.items() if held.get(number) != code}
    joined = {number: {number} for number in news}
    lost = {number for number, code in news.items() if len(code) > 4}
    for number, code in news.items():
        giver = owner.get(code)
        if giver in news:
            both = joined[number] | joined[giver]
            joined |= dict.fromkeys(both, both)
        elif giver not in (None, number):
            lost.add(number)
    return set(itertools.chain.from_iterable(joined[number] for number in lost))
