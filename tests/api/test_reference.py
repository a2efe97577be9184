"""The lists in docs/ are what the API says of itself."""

from pathlib import Path

import pytest

from tests.api.conftest import CATALOG
from tests.api.reference import BLOCKS, PAGES, filters, rendered, table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_lists_are_current(page: Path) -> None:
    """Reason: docs that are out of date mislead. Remedy: `make docs`."""
    text = page.read_text(encoding="utf-8")
    assert rendered(text) == text


def test_every_list_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in BLOCKS if text.count(f"<!-- generated: {name} -->\n") != 1] == []


def test_prose_stays_as_it_is() -> None:
    before = "Ours.\n\n<!-- generated: statuses -->\nold\n<!-- end of generated -->\nOurs too.\n"
    after = rendered(before)
    assert after.startswith("Ours.\n\n<!-- generated: statuses -->\n\n| status |")
    assert after.endswith("|\n\n<!-- end of generated -->\nOurs too.\n")
    assert "old" not in after
    assert rendered(after) == after


def test_a_block_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError, match="nothing"):
        rendered("<!-- generated: nothing -->\n<!-- end of generated -->")


def test_the_roles_are_those_that_the_requests_ask_for() -> None:
    """As the matrix of tests/api/test_security.py has them."""
    lines = [*BLOCKS["endpoints of a dataset"](), *BLOCKS["other endpoints"]()]
    role_of = {
        cells[1].strip(): cells[2].strip() for line in lines if (cells := line.split("|"))[1:]
    }
    assert role_of["`GET /api/v1/<path>/{key}`"] == "reader"
    assert role_of["`PATCH /api/v1/<path>/{key}`"] == "editor"
    assert role_of["`DELETE /api/v1/loads/{load_id}`"] == "editor"
    assert role_of["`POST /api/v1/auth/login`"] == "anyone"


@pytest.mark.parametrize("name", BLOCKS)
def test_no_list_names_a_dataset(name: str) -> None:
    """They are made from an invented one, which stands for all."""
    text = "\n".join(BLOCKS[name]()).lower()
    names = {*CATALOG.entities, *(entity.title.lower() for entity in CATALOG.entities.values())}
    assert not [n for n in names if n in text]


def test_types_with_the_same_operators_stand_together() -> None:
    rows = filters()[2:]
    assert [row for row in rows if "`smallint`" in row and "`bigint`" in row]
    assert not [row for row in rows if "`text`" in row and "`uuid`" in row]


def test_a_bar_in_a_cell_ends_no_cell() -> None:
    assert table("a | b", [("1 | 2", "3")]) == ["| a | b |", "|---|---|", "| 1 \\| 2 | 3 |"]
