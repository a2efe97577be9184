"""Workbooks as other programs write them, part by part (ECMA-376)."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

TRANSITIONAL = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
)
STRICT = (
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
    "http://purl.oclc.org/ooxml/officeDocument/relationships",
)
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


@dataclass
class Book:
    """A workbook of one sheet; each field is what a program may do otherwise."""

    rows: str = ""
    """Of the sheet, without a prefix."""
    formats: dict[str, str] = field(default_factory=dict)
    """Style -> number format; styles count from 1, and 0 is plain."""
    texts: tuple[str, ...] = ()
    """Shared texts."""
    main: str = "xl/workbook.xml"
    sheet: str = "xl/worksheets/sheet1.xml"
    sheet_target: str = "worksheets/sheet1.xml"
    texts_part: str = "xl/sharedStrings.xml"
    texts_target: str = "sharedStrings.xml"
    root: str = ""
    """What the package says the main part is; else its name."""
    namespaces: tuple[str, str] = TRANSITIONAL
    prefix: str = ""
    more: dict[str, str] = field(default_factory=dict)
    """Parts beside."""

    def write(self, path: Path) -> Path:
        _, office = self.namespaces
        folder, _, name = self.main.rpartition("/")
        links = [("rId1", f"{office}/worksheet", self.sheet_target)]
        parts = {
            "_rels/.rels": _links(("r", f"{office}/officeDocument", self.root or self.main)),
            self.main: self._element(
                "workbook",
                '<sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets>',
                f' xmlns:r="{office}"',
            ),
            self.sheet: self._element("worksheet", f"<sheetData>{self.rows}</sheetData>"),
        }
        if self.formats:
            links.append(("rId2", f"{office}/styles", "styles.xml"))
            formats = "".join(
                f'<numFmt numFmtId="{163 + int(i)}" formatCode="{code}"/>'
                for i, code in self.formats.items()
            )
            styles = "".join(f'<xf numFmtId="{163 + int(i)}"/>' for i in self.formats)
            parts[f"{folder}/styles.xml".lstrip("/")] = self._element(
                "styleSheet",
                f"<numFmts>{formats}</numFmts>"
                '<cellStyleXfs><xf numFmtId="164"/><xf numFmtId="164"/></cellStyleXfs>'
                f'<cellXfs><xf numFmtId="0"/>{styles}</cellXfs>'
                '<dxfs><dxf><numFmt numFmtId="164" formatCode="0.00"/></dxf></dxfs>',
            )
        if self.texts:
            links.append(("rId3", f"{office}/sharedStrings", self.texts_target))
            items = "".join(f"<si><t>{text}</t></si>" for text in self.texts)
            parts[self.texts_part] = self._element("sst", items)
        parts[f"{folder}/_rels/{name}.rels".lstrip("/")] = _links(*links)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, content in (parts | self.more).items():
                archive.writestr(part, content)
        return path

    def _element(self, name: str, content: str, attributes: str = "") -> str:
        prefix = self.prefix and f"{self.prefix}:"
        xmlns = f"xmlns:{self.prefix}" if self.prefix else "xmlns"
        if prefix:
            content = content.replace("</", "\0").replace("<", f"<{prefix}")
            content = content.replace("\0", f"</{prefix}")
        return (
            f'<{prefix}{name} {xmlns}="{self.namespaces[0]}"{attributes}>{content}</{prefix}{name}>'
        )


def _links(*links: tuple[str, str, str]) -> str:
    found = "".join(
        f'<Relationship Id="{i}" Type="{kind}" Target="{target}"/>' for i, kind, target in links
    )
    return f'<Relationships xmlns="{PACKAGE}">{found}</Relationships>'


def row(number: int, *cells: str) -> str:
    """A row; a cell that is no XML is a text inside its cell."""
    return f'<row r="{number}">{"".join(map(_cell, cells))}</row>'


def _cell(cell: str) -> str:
    return cell if cell.startswith("<") else f'<c t="inlineStr"><is><t>{cell}</t></is></c>'
