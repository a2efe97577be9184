"""What the bytes of a text file are in: proven by its mark, declared, or UTF-8; else refused."""

import codecs
import io
from collections.abc import Iterable
from pathlib import Path

from loader.errors import LoadError
from loader.lines import ESCAPE

DEFAULT = "utf-8"
USUAL = "cp1252"
"""What files that are not UTF-8 are in most of all: Windows-1252, of which ISO 8859-1 is a part."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Without their marks.
_PLAIN = {
    codecs.BOM_UTF8: DEFAULT,
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Python calls them encodings of text, but no file is in them.
_NO_FILES = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}
_BLOCK = 1 << 18
_AROUND = 200
"""Bytes before and behind one that cannot be read, in which the value is looked for that has it."""
_MAX_SHOWN = 60
"""Characters of that value."""


class UnreadableError(LoadError):
    """The bytes are no text."""


def encoding_of(path: Path, declared: str | None) -> str:
    """What the file's mark proves, else what is declared, else UTF-8.

    Raises:
        LoadError: There is no such encoding.
    """
    if declared is not None:
        _check(declared)
    return _MARKS.get(_mark(path)) or declared or DEFAULT


def open_text(path: Path, encoding: str) -> io.TextIOWrapper:
    """The text of a file; a byte that cannot be decoded is a character of its own."""
    return path.open(encoding=encoding, errors=ESCAPE, newline="")


def unreadable(
    path: Path, encoding: str, delimiters: Iterable[str], row: int | None
) -> UnreadableError:
    """Say where the first byte is that is no text, and how it may be meant."""
    mark = _mark(path)
    plain = _PLAIN.get(mark) or encoding
    offset, is_nul = _first_damage(path, plain, len(mark))
    if is_nul:
        return UnreadableError(
            f"there is a NUL byte at offset {offset}: the file is damaged or no CSV (UTF-16 "
            "without a byte order mark has NUL bytes, too)",
            remedy="save it as UTF-8 CSV",
            row=row,
        )
    value = "" if mark or plain == USUAL else _value_at(path, offset, delimiters)
    return UnreadableError(
        f"the byte at offset {offset} is not valid {plain}",
        value=f"as Windows-1252 the value reads {value!r}" if value else None,
        remedy="save the file as UTF-8, or say what it is in: `--encoding "
        f"{USUAL}` for Windows-1252, of an upload the parameter `encoding={USUAL}`, of all files "
        "of the source `encoding` in its config.meta.load",
        row=row,
    )


def _check(name: str) -> None:
    try:
        codec = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name.replace("-", "_") in _NO_FILES:
        raise LoadError(
            f"the encoding {name!r} is unknown",
            remedy=f"name one such as utf-8, {USUAL} or utf-16",
        )


def _mark(path: Path) -> bytes:
    """The byte order mark; none is empty."""
    with path.open("rb") as file:
        start = file.read(3)
    return next((mark for mark in _MARKS if start.startswith(mark)), b"")


def _value_at(path: Path, offset: int, delimiters: Iterable[str]) -> str:
    """The value around a byte as it reads in the usual encoding; "" where that has no such byte."""
    with path.open("rb") as file:
        file.seek(max(0, offset - _AROUND))
        before = file.read(min(offset, _AROUND))
        behind = file.read(_AROUND)
    edges = {*delimiters, "\r", "\n", '"'}
    try:
        head, tail = before.decode(USUAL), behind.decode(USUAL)
    except UnicodeDecodeError:
        return ""
    start = max(map(head.rfind, edges)) + 1
    found = [place for edge in edges if (place := tail.find(edge)) >= 0]
    value = (head[start:] + tail[: min(found, default=len(tail))]).strip()
    return value if value.isprintable() and len(value) <= _MAX_SHOWN else ""


def _first_damage(path: Path, encoding: str, position: int) -> tuple[int, bool]:
    """Offset of the first byte that is no text, and whether it is a NUL."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        file.seek(position)
        while block := file.read(_BLOCK):
            start, damage = position - len(decoder.getstate()[0]), None
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError as error:
                damage = start + error.start
                text = error.object[: error.start].decode(encoding)
            except UnicodeError:
                return position, False  # UTF-16 without its mark
            if "\0" in text:
                return start + len(text.partition("\0")[0].encode(encoding)), True
            if damage is not None:
                return damage, False
            position += len(block)
    return position - len(decoder.getstate()[0]), False
