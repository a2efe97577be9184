"""The lists in docs/api.md are those of the code."""

from assay.catalog import Catalog
from tests.contract import reference, snapshot


def test_the_lists_in_the_docs_are_current(catalog: Catalog) -> None:
    text = reference.FILE.read_text(encoding="utf-8")
    made = reference.with_lists(text, catalog, snapshot.document_of(catalog))
    assert made == text, "Run `make docs`."


def test_a_list_is_made_between_its_comments(catalog: Catalog) -> None:
    """And whatever is around it stays."""
    text = "before\n<!-- operators, by make docs -->\nold\n<!-- end -->\nafter\n"
    lines = reference.with_lists(text, catalog, snapshot.document_of(catalog)).splitlines()
    assert lines[0] == "before"
    assert lines[-2:] == ["<!-- end -->", "after"]
    assert "old" not in lines
    (row,) = (line for line in lines if line.startswith("| `startswith`"))
    assert row == "| `startswith` | begins with this |"
