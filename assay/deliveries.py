"""What a contract says of deliveries to another system: `config.meta.sync`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Items = Literal["changes", "rows"]

_KEYS = {"path", "pii", "items", "list", "columns", "delete"}
_PATH = re.compile(r"/(?!/)[\w.~!$&'()*+,;=:@%/-]*")


@dataclass(frozen=True)
class Sync:
    """Where changes of an entity are delivered, and as what."""

    path: str
    """Below the receiver's URL."""
    has_personal_data: bool = False
    """Whether columns that say something of a person are delivered too."""
    items: Items = "changes"
    """What is sent: each change with its idempotency key, or only the rows."""
    list_name: str | None = None
    """The field of the body that has the list; else the body is the list."""
    columns: tuple[tuple[str, str], ...] = ()
    """Columns that are delivered, each with the name that the receiver has for it; else all."""
    delete: str | None = None
    """The path at which rows are deleted, with the key in the place of `{key}`, where only rows are
    sent; without one deletions are not told."""


def sync_of(declared: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> Sync | None:
    """What `config.meta.sync` says; None without it.

    Raises:
        ValueError: It says what is not known; the message is a part of a sentence.
    """
    if not declared:
        return None
    if unknown := set(declared) - _KEYS:
        raise ValueError(f"`sync` knows no {', '.join(sorted(unknown))}")
    items = declared.get("items", "changes")
    if items not in ("changes", "rows"):
        raise ValueError("`sync.items` is `changes` or `rows`")
    delete = declared.get("delete")
    if (items == "rows") != (delete is not None):
        raise ValueError(
            "`sync.delete` says at which path a row is deleted, such as /things/{key}, or false "
            "where the receiver deletes none; it stands beside `items: rows`, and only there"
        )
    if delete is not False and delete is not None and "{key}" not in delete:
        raise ValueError("`sync.delete` has {key} where the key of the row belongs")
    path = declared.get("path") or ""
    for each in (path, (delete or path).replace("{key}", "")):
        if not _PATH.fullmatch(each):
            raise ValueError("a path of `sync` begins with / and is below the receiver's URL")
    named = declared.get("columns") or {}
    renamed = dict(named) if isinstance(named, Mapping) else dict(zip(named, named, strict=True))
    if missing := set(renamed) - set(columns):
        raise ValueError(f"`sync.columns` names what is no column: {', '.join(sorted(missing))}")
    return Sync(
        path=path,
        has_personal_data=bool(declared.get("pii", False)),
        items=items,
        list_name=declared.get("list"),
        columns=tuple(renamed.items()),
        delete=delete or None,
    )
