"""The model by itself: what DESIGN says in sentences, told as short histories."""

import pytest

from tests.property.model import Account, Answer, File, Model, Row, key_of

METHANE = "InChI=1S/CH4/h1H4"
ETHANE = "InChI=1S/C2H6/c1-2/h1-2H3"
A, B = key_of("a"), key_of("b")


def row(feature: str, inchi: str = METHANE, value: str = "1") -> tuple[str, ...]:
    return (feature, "1", inchi, "", "GC", value)


def built(model: Model, load_id: int, *file: tuple[str, ...]) -> Account:
    model.load(load_id, f"{load_id}.csv", File(file))
    model.build()
    account = model.loads[-1].account
    assert account is not None
    return account


def value(model: Model, key: str = A) -> str | None:
    found = model.row(key)
    return found.sample_value if found else None


@pytest.fixture
def model() -> Model:
    return Model("editor")


def test_an_unload_takes_a_row_back(model: Model) -> None:
    """To the version before it, or to nothing; then the same file is news."""
    built(model, 1, row("a"))
    built(model, 2, row("a", value="2"), row("b", ETHANE))
    assert model.unload(model.loads[1], "keeper")
    assert (value(model), model.row(B)) == ("1", None)
    assert model.events[A][-1].by == "keeper"
    assert model.earlier("2.csv", model.loads[1].file) is None
    assert built(model, 3, *model.loads[1].file.rows) == Account(new=1, changed=1)


def test_an_unload_leaves_what_is_newer(model: Model) -> None:
    """An edit or a row of a later load stands, and what the source last said is remembered."""
    built(model, 1, row("a"), row("b", ETHANE))
    model.change(A, {"method": "LC"})
    built(model, 2, row("b", ETHANE, "2"))
    assert model.unload(model.loads[0], "keeper")
    assert (value(model), value(model, B)) == ("1", "2")
    assert built(model, 3, row("a"), row("b", ETHANE, "2")) == Account(unchanged=2)


def test_a_row_sent_again_is_nothing_newer(model: Model) -> None:
    built(model, 1, row("a"))
    assert built(model, 2, row("a"), row("b", ETHANE)) == Account(new=1, unchanged=1)
    assert model.unload(model.loads[0], "keeper")
    assert model.row(A) is None


def test_an_unload_leaves_a_row_whose_name_was_taken_since(model: Model) -> None:
    """And its ledger: the source's row is still unchanged."""
    built(model, 1, row("a"))
    model.change(A, {"feature": "b"})
    built(model, 2, row("a", value="2"))
    model.create({"feature": "b", "method": "GC", "id_inchi": ETHANE})
    assert model.unload(model.loads[1], "keeper")
    assert value(model) == "2"
    assert built(model, 3, row("a", value="2")) == Account(unchanged=1)


def test_a_load_that_no_build_took_is_never_taken(model: Model) -> None:
    """And there is nothing to unload twice."""
    model.load(1, "1.csv", File((row("a"),)))
    assert model.unload(model.loads[0], "keeper")
    assert not model.unload(model.loads[0], "keeper")
    model.build()
    assert (model.table, model.loads[0].account) == ({}, None)


def test_an_unload_is_an_edit(model: Model) -> None:
    """A row that was waiting since before it is superseded."""
    built(model, 1, row("a"))
    model.load(2, "2.csv", File((row("a", value="2"),)))
    model.unload(model.loads[0], "keeper")
    model.build()
    assert model.loads[1].account == Account(superseded=1)
    assert model.row(A) is None


def test_a_revert_is_an_edit(model: Model) -> None:
    """It brings back a row that is gone, under its key, where the rules let it."""
    built(model, 1, row("a"))
    model.change(A, {"sample_value": "2"})
    model.delete(A)
    assert model.revert(A, 2) == Answer(422)
    assert model.revert(A, 3) == Answer(404)
    assert model.revert(A, 0) == Answer(200, row=model.events[A][0].after)
    assert [event.operation for event in model.events[A]] == [
        "insert",
        "update",
        "delete",
        "insert",
    ]
    model.delete(A)
    model.create({"feature": "b", "method": "GC", "id_inchi": METHANE})
    assert model.revert(A, 0) == Answer(409, frozenset({"one_feature_per_inchi"}))


def test_a_key_outlives_its_feature(model: Model) -> None:
    """A renamed row keeps its key, and the source's next word for that key names it again."""
    built(model, 1, row("a"))
    model.change(A, {"feature": "b"})
    assert built(model, 2, row("b")) == Account(rejected=1)
    assert model.loads[-1].verdicts[2] == {"one_row_per_feature", "one_feature_per_inchi"}
    assert built(model, 3, row("a", value="2")) == Account(changed=1)
    assert model.table == {A: Row("a", 1, METHANE, None, "GC", "2", "measured")}


def test_the_same_in_other_words_is_no_news(model: Model) -> None:
    """The edit holds, and the new words are what is compared next."""
    built(model, 1, row("a", value="5.5"))
    model.change(A, {"sample_value": "7"})
    assert built(model, 2, row("a", value="5.50")) == Account(unchanged=1)
    assert built(model, 3, row("a", value="55e-1")) == Account(unchanged=1)
    assert value(model) == "7"
    assert built(model, 4, row("a", value="5.4")) == Account(changed=1)
    assert built(model, 5, row("a", value="5.4"), row("a", value="5.40")) == Account(
        unchanged=1, duplicates=1
    )


def test_a_header_that_is_absent_says_nothing(model: Model) -> None:
    """What is curated stays, a blank under a header is a blank, a new row takes the defaults."""
    built(model, 1, ("a", "1", METHANE, "74-82-8", "GC", "1"))
    rows = row("a", value="2"), row("b", ETHANE)
    file = File(rows).without("identification_level", "cas_number")
    model.load(2, "2.csv", file)
    model.build()
    assert model.loads[-1].account == Account(new=1, changed=1)
    assert model.row(A) == Row("a", 1, METHANE, "74-82-8", "GC", "2", "measured")
    note = ("identification_level: blank -> 3",)
    assert model.row(B) == Row("b", 3, ETHANE, None, "GC", "1", "measured", note)
    built(model, 3, ("a", "", METHANE, "", "GC", "2"))
    assert model.row(A) == Row("a", 3, METHANE, None, "GC", "2", "measured", note)


def test_an_exchange_is_accepted_whole_or_not_at_all(model: Model) -> None:
    """A row that breaks a rule takes along whom it takes from, and who takes from it."""

    def rows(*numbers: str, level: str = "1") -> list[tuple[str, ...]]:
        levels = ["1"] * (len(numbers) - 1) + [level]
        named = zip("abcd", levels, numbers, strict=False)
        return [(feature, level, "", cas, "GC", "1") for feature, level, cas in named]

    first, second, third, free = "74-82-8", "74-84-0", "56-86-0", "64-17-5"
    built(model, 1, *rows(first, second, third))
    assert built(model, 2, *rows(second, third, first)) == Account(changed=3)
    assert built(model, 3, *rows(third, first, second, level="9")) == Account(rejected=3)
    assert model.loads[-1].verdicts == {
        2: {"one_feature_per_cas"},
        3: {"one_feature_per_cas"},
        4: {"identification_level_range"},
    }
    # the last takes what the first gives up, who takes what nobody has
    assert built(model, 4, *rows(free, third, second, level="0")) == Account(
        unchanged=1, rejected=2
    )
    assert built(model, 5, *rows(free, third, second)) == Account(changed=2, unchanged=1)
    assert model.unload(model.loads[4], "keeper")
    assert model.unload(model.loads[1], "keeper")
    found = [model.table[key_of(feature)].cas_number for feature in "abc"]
    assert found == [second, third, first]


def test_what_was_not_said_is_no_news_but_what_was_said_before_is_remembered(model: Model) -> None:
    built(model, 1, row("a"))
    model.change(A, {"identification_level": 2})
    model.load(2, "2.csv", File((row("a"),)).without("identification_level", "cas_number"))
    model.build()
    assert model.loads[-1].account == Account(unchanged=1)
    assert built(model, 3, row("a")) == Account(unchanged=1)
    assert built(model, 4, ("a", "3", METHANE, "", "GC", "1")) == Account(changed=1)


def test_a_row_is_judged_with_what_is_filled_in(model: Model) -> None:
    """A rule over a column that is not said holds of the whole row, or the row is rejected."""
    built(model, 1, row("a"))
    partial = File((row("a", value="2"), row("b"))).without("id_inchi")
    model.load(2, "2.csv", partial)
    model.build()
    assert model.loads[-1].account == Account(changed=1, rejected=1)
    assert model.loads[-1].verdicts == {3: {"inchi_or_cas"}}
