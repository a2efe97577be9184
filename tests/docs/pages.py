"""Pages of documentation, taken apart into the blocks that a reader may type, or copy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.conftest import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[a-z]*)\n(?P<text>.*?)^ *```$",
    flags=re.MULTILINE | re.DOTALL,
)
_SECRET = re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])")
"""32 random bytes, as `assay` writes them."""
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    `console` has commands, each after `$`, and what they print; `sh` has commands alone. `sql` is
    asked of the database, `json` is read, and `yaml` and `jinja` are lines of the project's files.
    A comment before a block, `not run:`, says why nothing of this is done with it.
    """

    place: str
    """Page and line."""
    language: str
    text: str
    reason: str

    @property
    def steps(self) -> Iterator[tuple[str, str | None]]:
        """Commands, and what each of them prints; None where the page does not say."""
        if self.language == "sh":
            yield self.text, None
        elif self.language == "console":
            _, *parts = _COMMAND.split(self.text)
            yield from zip(parts[::2], parts[1::2], strict=True)


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            f"{page}:{text[: found.start('language')].count(chr(10)) + 1}",
            found["language"],
            found["text"],
            found["reason"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def is_excerpt(shown: str, text: str) -> bool:
    """Whether the lines, but for comments, are in the text, in this order, with others between."""
    lines = iter([line.strip() for line in text.splitlines()])
    wanted = (line.strip() for line in shown.splitlines())
    return all(line in lines for line in wanted if line and not line.startswith("#"))


def difference(shown: str, printed: str, *, is_whole: bool = True) -> str:
    """What a page shows and a command did not print; nothing where they agree.

    `...` stands for anything. White space is not compared, so that a page may break long lines,
    nor are secrets. A command that goes on (not `is_whole`) may print more afterwards.
    """
    rest = _comparable(printed)
    first, *others = _comparable(shown).split("...")
    if not rest.startswith(first):
        return f"it does not begin with {first}"
    rest = rest[len(first) :]
    last = others.pop() if others else ""
    for piece in others:
        _, found, rest = rest.partition(piece) if piece else ("", "", rest)
        if found != piece:
            return f"nowhere after that: {piece}"
    if not is_whole:
        return "" if last in rest else f"nowhere after that: {last}"
    is_open = "..." in shown
    ends = rest.endswith(last) if is_open else not rest
    return "" if ends else f"it does not end with that, but with {rest}"


def _comparable(text: str) -> str:
    return re.sub(r"\s", "", _SECRET.sub("<secret>", text))
