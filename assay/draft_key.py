"""The key of a drafted dataset: a column, or the smallest combination of some, or the whole row."""

import re
from collections.abc import Iterable, Sequence

from assay.draft import Column, Key, plain
from loader.combinations import Rows
from loader.errors import LoadError
from loader.headers import normalise
from loader.profile import Profile
from loader.readers import Document

_KEY_NAME = re.compile(r"(.*_)?(id|uuid|code|key|barcode|isbn|ean|gtin|sku)")
_PART_NAME = re.compile(
    r"(.*_)?(no|nr|num|number|line|position|serial|year)|(.*_)?(on|at|date|day)"
)
_KEY_TYPES = ("integer", "bigint", "uuid", "text")
_PART_TYPES = ("text", "date", "timestamptz", "uuid")
"""Of columns that may be one of several; a whole number may be if it is named so."""
_MAX_KEY = 500
"""Characters; PostgreSQL's index takes 2,700 bytes."""
_MAX_PART = 100
_ABBREVIATION = 4
"""Letters."""


def find_key(
    document: Document,
    profile: Profile,
    columns: Sequence[Column],
    name: str,
    chosen: Sequence[str] = (),
) -> Key:
    """What tells the rows of a file apart.

    It is what somebody chose; else the first column that does and is named like a key, or the
    first that does; else the smallest combination of 2 to 4 columns of text or time; else the
    whole row.

    Raises:
        LoadError: What was chosen is no column, or does not tell the rows apart.
    """
    if chosen:
        return _chosen(document, profile, columns, name, chosen)
    fitting = [
        column
        for column in columns
        if column.profile.is_unique
        and column.is_mandatory
        and not column.profile.is_measured
        and column.data_type in _KEY_TYPES
        and column.profile.longest <= _MAX_KEY
    ]
    named = (column for column in fitting if _KEY_NAME.fullmatch(column.name))
    if key := next(named, next(iter(fitting), None)):
        return Key(key.name, key.title)
    parts = sorted(filter(_may_be_part, columns), key=lambda column: not _is_named(column))
    by_index = {column.profile.index: column for column in columns}
    found = None
    if len(parts) > 1:
        found = Rows(document, profile).smallest(column.profile.index for column in parts)
    return _computed(columns, name, [by_index[i] for i in sorted(found)] if found else columns)


def _may_be_part(column: Column) -> bool:
    profile = column.profile
    return (
        column.is_mandatory
        and not profile.is_measured
        and profile.longest <= _MAX_PART
        and (
            column.data_type in _PART_TYPES
            or (column.data_type in _KEY_TYPES and _is_named(column))
        )
    )


def _is_named(column: Column) -> bool:
    return bool(_KEY_NAME.fullmatch(column.name) or _PART_NAME.fullmatch(column.name))


def _chosen(
    document: Document,
    profile: Profile,
    columns: Sequence[Column],
    name: str,
    chosen: Sequence[str],
) -> Key:
    known = {normalise(c.profile.header): c for c in columns} | {
        normalise(c.name): c for c in columns
    }
    unknown = [text for text in chosen if normalise(text) not in known]
    if unknown:
        names = ", ".join(column.name for column in columns)
        raise LoadError(
            f"there is no column {unknown[0]!r} to be a key",
            remedy=f"give `--key` some of {names}",
        )
    found = list({known[normalise(text)].name: known[normalise(text)] for text in chosen}.values())
    blank = next((column for column in found if not column.is_mandatory), None)
    if blank or not Rows(document, profile).tell_apart([c.profile.index for c in found]):
        names = ", ".join(column.name for column in found)
        reason = f", since {blank.name} may be blank" if blank else ""
        raise LoadError(
            f"{names} cannot be the key of the rows: they do not tell all apart{reason}",
            remedy="give `--key` more columns, or others",
        )
    if len(found) == 1 and found[0].data_type in _KEY_TYPES and found[0].profile.is_unique:
        return Key(found[0].name, found[0].title)
    return _computed(columns, name, found)


def _computed(columns: Sequence[Column], name: str, parts: Sequence[Column]) -> Key:
    key = free(f"{_singular(name)}_id", (normalise(column.name) for column in columns))
    return Key(key, title_of(key), tuple(parts))


def free(name: str, taken: Iterable[str]) -> str:
    """The name, or with the first number with which nothing that is taken reads the same."""
    flat = set(taken)
    number = 1
    while normalise(name if number == 1 else f"{name}_{number}") in flat:
        number += 1
    return name if number == 1 else f"{name}_{number}"


def title_of(header: str) -> str:
    """A header or name as people write a title."""
    title = plain(" ".join(header.replace("_", " ").split()))
    # an abbreviation stays one
    is_plain = title == title.lower() or (title == title.upper() and len(title) > _ABBREVIATION)
    return title[0].upper() + title[1:].lower() if is_plain else title


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name
