"""The parts of a workbook: which entry of the zip is what, as its relationships say.

Calamine knows the names that most programs give; for other ones it gets a copy with these names.
"""

import posixpath
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote
from xml.sax.saxutils import quoteattr

from loader.archives import damage_told, part_name
from loader.sheets import Attributes, Handler, Tags, parse

_ROOT = "_rels/.rels"
_MAIN = "xl/workbook.xml"
_TEXTS, _STYLES = "xl/sharedStrings.xml", "xl/styles.xml"
_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@dataclass(frozen=True)
class _Link:
    """A relationship: from a part to another."""

    identity: str
    kind: str
    target: str
    part: str
    """Name of the part that the target is, by `part_name`."""


class Package:
    """The zip of a workbook.

    Args:
        path: The file.
        names: Its entries by `part_name`, as `check_zip` gives them.

    Raises:
        LoadError: It is damaged.
    """

    def __init__(self, path: Path, names: Mapping[str, str]) -> None:
        self._path = path
        self._names = names
        self._optional = {_ROOT}
        roots = self._links(_ROOT, "")
        self._main = next((link.part for link in roots if link.kind == "officeDocument"), _MAIN)
        folder, _, name = self._main.rpartition("/")
        self._all = self._links(posixpath.join(folder, "_rels", f"{name}.rels"), folder)
        self.texts = self._of_kind("sharedStrings", _TEXTS)
        self.styles = self._of_kind("styles", _STYLES)
        """Names of parts; what is not there has no text."""
        self._optional |= {self.texts, self.styles}
        self.sheets = self._find_sheets()
        """The part of each sheet, by the sheet's name."""

    def parse(self, part: str, handler: Handler) -> None:
        """Read a part to its end."""
        for _ in self.blocks(part, handler):
            pass

    def blocks(self, part: str, handler: Handler) -> Iterator[None]:
        """Read a part block by block.

        Raises:
            LoadError: It is damaged, or missing although the workbook cannot do without.
        """
        name = part_name(part)
        if name not in self._names and part in self._optional:
            return
        with (
            damage_told(),
            zipfile.ZipFile(self._path) as archive,
            archive.open(self._names[name]) as content,
        ):
            yield from parse(content, handler)

    @property
    def is_usual(self) -> bool:
        """Whether Calamine finds all parts."""
        return (self._main, self.texts, self.styles) == tuple(
            map(part_name, (_MAIN, _TEXTS, _STYLES))
        ) and all(
            link.part == part_name(link.target.removeprefix("/"))
            if link.target.startswith("/")
            else link.part == part_name(f"xl/{link.target}")
            for link in self._all
            if link.part in self.sheets.values()
        )

    def write_usual(self, path: Path) -> None:
        """A copy of the parts that Calamine reads, under the names that it knows."""
        sheets = {part: f"worksheets/{i}.xml" for i, part in enumerate(self.sheets.values())}
        links = (
            (link.identity, link.kind, sheets[link.part])
            for link in self._all
            if link.part in sheets
        )
        copied = {self._main: _MAIN, self.texts: _TEXTS, self.styles: _STYLES}
        copied |= {part: f"xl/{name}" for part, name in sheets.items()}
        with (
            damage_told(),
            zipfile.ZipFile(self._path) as archive,
            zipfile.ZipFile(path, "w") as copy,
        ):
            copy.writestr(_ROOT, _relationships([("main", "officeDocument", _MAIN)]))
            copy.writestr("xl/_rels/workbook.xml.rels", _relationships(links))
            for part, name in copied.items():
                if part in self._names:
                    with archive.open(self._names[part]) as old, copy.open(name, "w") as new:
                        shutil.copyfileobj(old, new)

    def _find_sheets(self) -> dict[str, str]:
        book = Tags("sheet")
        self.parse(self._main, book)
        targets = {link.identity: link.part for link in self._all}
        return {
            sheet["name"]: targets[link]
            for sheet in book.found
            for name, link in sheet.items()
            if name.endswith(":id") and link in targets and "name" in sheet
        }

    def _of_kind(self, kind: str, usual: str) -> str:
        found = (link.part for link in self._all if link.kind == kind)
        return next(found, part_name(usual))

    def _links(self, part: str, folder: str) -> list[_Link]:
        tags = Tags("Relationship")
        self.parse(part, tags)
        return [_link(found, folder) for found in tags.found if {"Id", "Target"} <= found.keys()]


def _link(found: Attributes, folder: str) -> _Link:
    """A relationship as it stands in a part of this folder."""
    target = found["Target"]
    path = target if target.startswith("/") else f"/{folder}/{target}"
    part = part_name(posixpath.normpath(unquote(path))).lstrip("/")
    return _Link(found["Id"], found.get("Type", "").rpartition("/")[2], target, part)


def _relationships(links: Iterable[tuple[str, str, str]]) -> str:
    """The text of a part with links of identity, kind and target."""
    found = "".join(
        f"<Relationship Id={quoteattr(identity)} Type={quoteattr(f'{_KINDS}/{kind}')} "
        f'Target="{target}"/>'
        for identity, kind, target in links
    )
    return f'<Relationships xmlns="{_RELATIONSHIPS}">{found}</Relationships>'
