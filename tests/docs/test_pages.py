"""The pages say what is true: a reader with nothing but a clone does what they say."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, difference, is_excerpt
from tests.docs.reader import Reader, reading

LANGUAGES = {"console", "sh", "sql", "json", "yaml", "jinja", "text"}
TRIED = ("README.md", "docs/api.md", "docs/operations.md", "docs/add-a-dataset.md")
"""In this order, with one server, one shell and what README's tour left in them."""


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("tour") / "assay") as reader:
        yield reader


@pytest.mark.parametrize("page", TRIED)
def test_commands_print_what_is_shown(tour: Reader, page: str) -> None:
    tour.follow("README.md")
    tour.follow(page)


@pytest.mark.parametrize("page", PAGES)
def test_each_block_is_tried(page: str) -> None:
    """Reason: what nobody tries goes stale. Remedy: a language, and the page in a list above."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = blocks(page)
    assert len(re.findall("^ *```", text, re.MULTILINE)) == 2 * len(found)
    for block in found:
        assert block.language in LANGUAGES or block.reason, block.place
        is_run = block.language in {"console", "sh", "sql"}
        assert page in TRIED or block.reason or not is_run, block.place
        if block.language in {"console", "sh"} and not block.reason:
            assert list(block.steps), f"{block.place}: a command begins with `$ `"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_quoted_is_the_project(page: str) -> None:
    """Contracts and models are lines of its files; JSON can be read."""
    files = [path for path in (ROOT / "dbt_project").rglob("*") if path.is_file()]
    texts = [path.read_text(encoding="utf-8") for path in files]
    for block in blocks(page):
        if block.language in {"yaml", "jinja"} and not block.reason:
            assert any(is_excerpt(block.text, text) for text in texts), f"{block.place} is no more"
        if block.language == "json":
            assert json.loads(block.text), block.place


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """A relative link names a file of the clone, and a heading that it has."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.is_relative_to(ROOT), f"{page}: {target} is not in a clone"
        assert file.exists(), f"{page}: {target}"
        if heading:
            assert heading in _anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def _anchors(text: str) -> set[str]:
    """The names that GitHub gives headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES)
def test_nothing_outside_of_the_clone_is_named(page: str) -> None:
    assert "../shared" not in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("shown", "printed", "agree"),
    [
        ("a b", "a  b\n", True),
        ("a b", "a b c", False),
        ("b", "a b", False),
        ("", "", True),
        ("", "a", False),
        ("...", "a", True),
        ("a ... c", "a b c", True),
        ("a ... c", "a c b c", True),
        ("a ... c", "a b c d", False),
        ("a ... c ...", "a b c d", True),
        ("a ... c ... d", "a d c", False),
        (f"password {'x' * 43}", f"password  {'-_7' * 14}y", True),
        (f"password {'x' * 42}", f"password {'y' * 42}", False),
    ],
)
def test_what_is_shown_is_compared(shown: str, printed: str, agree: bool) -> None:
    assert (difference(shown, printed) == "") is agree


def test_a_command_that_goes_on_may_print_more() -> None:
    assert difference("a ... c", "a b c d", is_whole=False) == ""
    assert difference("a ... c", "a b d", is_whole=False) != ""
    assert difference("a c", "a b c", is_whole=False) != ""
