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
    assert built(model, 3, *model.loads[1].file) == Account(new=1, changed=1)


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
    model.load(1, "1.csv", (row("a"),))
    assert model.unload(model.loads[0], "keeper")
    assert not model.unload(model.loads[0], "keeper")
    model.build()
    assert (model.table, model.loads[0].account) == ({}, None)


def test_an_unload_is_an_edit(model: Model) -> None:
    """A row that was waiting since before it is superseded."""
    built(model, 1, row("a"))
    model.load(2, "2.csv", (row("a", value="2"),))
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
