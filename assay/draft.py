"""A dataset that is drafted from a file: what its columns are called and what they keep."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from loader.profile import MAX_OPTIONS, ColumnProfile, DataType, clean, instant

_MIN_OPTIONS = 2
_REPEATED = 20
"""An option of a list occurs so many times on average, at least."""
_LENGTHS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000)


def plain(text: str) -> str:
    """A text that is no template, for people."""
    return text.replace("{", "(").replace("}", ")")


def is_template(text: str) -> bool:
    """Whether dbt would take a text in YAML for more than text."""
    return re.search("[{][{%#]", text) is not None


@dataclass(frozen=True)
class Check:
    """A rule of a column."""

    name: str
    expression: str
    message: str


@dataclass(frozen=True)
class Column:
    """A column of the dataset, from one of the file."""

    name: str
    title: str
    profile: ColumnProfile
    sample: str
    """What one row of the file says."""

    @property
    def data_type(self) -> DataType:
        return self.profile.data_type

    @property
    def reading(self) -> str:
        """The type by which staging reads it: a text is an identifier if all values look so."""
        return "identifier" if self.data_type == "text" and self.profile.is_code else self.data_type

    @property
    def is_mandatory(self) -> bool:
        return self.profile.count > 0 and not self.profile.blanks

    @property
    def examples(self) -> list[str]:
        return [text for text in self.profile.examples if not is_template(text)]

    @cached_property
    def options(self) -> list[str]:
        """The values, where they are few words that come again and again."""
        found = self.profile.options
        is_list = (
            self.data_type == "text"
            and _MIN_OPTIONS <= len(found) <= MAX_OPTIONS
            and len(found) * _REPEATED <= self.profile.count
            # "" stands for what is too long; numbers are codes, of which others will come
            and all(re.search(r"[^\W\d_]", option) for option in found)
            and all(option.isprintable() and not is_template(option) for option in found)
        )
        return sorted(found) if is_list else []

    @cached_property
    def check(self) -> Check | None:
        """What all values keep."""
        name, title = self.name, self.title
        if self.data_type in ("integer", "bigint", "numeric") and not self.profile.is_negative:
            return Check(f"{name}_range", f"{name} >= 0", f"{title} is at least 0.")
        if self.options:
            quoted = ", ".join("'" + option.replace("'", "''") + "'" for option in self.options)
            known = ", ".join(self.options)
            return Check(f"{name}_known", f"{name} in ({quoted})", f"{title} is one of: {known}.")
        most = next((length for length in _LENGTHS if length >= self.profile.longest), None)
        if self.data_type == "text" and self.profile.count and most:
            message = f"{title} is at most {most:,} characters long."
            return Check(f"{name}_length", f"length({name}) <= {most}", message)
        return None

    def served(self, text: str) -> object:
        """A value as the API writes it."""
        if self.data_type != "text":
            text = self.profile.notation.plain(text)
        match self.data_type:
            case "integer" | "bigint":
                return int(text)
            case "numeric":
                return float(text)
            case "boolean":
                return text.lower() == "true"
            case "timestamptz":
                return instant(text).isoformat().replace("+00:00", "Z")
            case "date":
                return text[:10]
            case _:
                return text

    @property
    def is_declared(self) -> bool:
        """Whether its sample can only be read as the source declares."""
        value = clean(self.sample)
        return self.data_type != "text" and self.profile.notation.plain(value) != value

    @property
    def read(self) -> str:
        """The sample as PostgreSQL is to read it."""
        value = clean(self.sample)
        if self.data_type == "date":
            return value[:10]
        return instant(value).isoformat() if self.data_type == "timestamptz" else value


@dataclass(frozen=True)
class Key:
    """What tells rows apart: a column, or computed of several."""

    name: str
    title: str
    columns: tuple[Column, ...] = ()
    """Of which it is computed; none where it is a column of the file."""

    @property
    def is_computed(self) -> bool:
        return bool(self.columns)


@dataclass(frozen=True)
class Dataset:
    """What is drafted."""

    name: str
    source: str
    file: str
    columns: tuple[Column, ...]
    key: Key
    options: dict[str, Any]
    """How files are read, for `config.meta.load`."""

    @property
    def staging(self) -> str:
        return f"stg_{self.source}__{self.name}"

    @property
    def path(self) -> str:
        return self.name.replace("_", "-")

    @property
    def description_of_key(self) -> str:
        """What a computed key is computed from."""
        if len(self.key.columns) == len(self.columns):
            return "Key of the row, computed from all that it says."
        return f"Key of the row, computed from {', '.join(c.name for c in self.key.columns)}."

    @property
    def default_of_key(self) -> str:
        """SQL for a computed key."""
        # the text of an instant is of the session's time zone
        columns = (
            f"{c.name} at time zone 'UTC'" if c.data_type == "timestamptz" else c.name
            for c in self.key.columns
        )
        return f"md5(row({', '.join(columns)})::text)::uuid"
