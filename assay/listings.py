"""How the records of an API are read: `config.meta.http` of a source, `load.http` of its tables.

docs/contract.md describes the vocabulary.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Api:
    """The API of a source."""

    name: str
    """Of the source; `<NAME>_URL`, `<NAME>_USERNAME` and `<NAME>_PASSWORD` say where it is."""
    login: str | None
    """Where OAuth2's password login is; None where it takes everybody."""
    answers: str | None
    """Path, from the project's root, of recorded answers, for when it is nowhere."""
    concurrency: int
    """Requests at once."""
    timeout_seconds: float
    """Of one request."""


@dataclass(frozen=True)
class Listing:
    """The pages of records that become rows of a source table."""

    api: Api
    path: str
    """Below the API's URL; `{field}` stands for a field of the parent's record."""
    key: tuple[str, ...]
    """Fields that tell records apart, those of one parent."""
    for_each: str | None
    """The source table of the parents: there is a listing for each of its records."""
    records: str | None
    """The field of an answer that has the records; None where the answer itself is their list."""
    next_token: str | None
    """Where an answer has the token of the next page, with dots; None where all is one page."""
    token_parameter: str
    size_parameter: str
    page_size: int
    max_pages: int
    """More than so many are a fault of the API."""
    modified_parameter: str | None = None
    """Asks for what was changed after a moment; None where all records are listed each time."""
    modified_field: str | None = None
    """Has the moment, ISO 8601 text without a zone (then UTC) or with `Z`."""
    overlap: str = "0"
    """An interval, in PostgreSQL's words, by which the next listing begins earlier than this
    ended: for records that were being written, and for clocks that differ."""

    @cached_property
    def parent_fields(self) -> tuple[str, ...]:
        """Fields of the parent's record that the path names."""
        return tuple(re.findall(r"{([^}]*)}", self.path))


def listing_of(meta: dict[str, Any], source: str) -> Listing | None:
    """The listing of a source table by its `config.meta`; None for one that files are loaded to.

    Raises:
        ValueError: It cannot be read so; the message says why.
    """
    if "http" not in meta["load"]:
        return None
    http = meta["load"]["http"] or {}
    page = http.get("page", {})
    modified = http.get("modified", {})
    parent = http.get("for_each")
    key = http.get("key")
    listing = Listing(
        api=_api(meta.get("http", {}), source),
        path=http.get("path", ""),
        key=tuple(key) if isinstance(key, list) else (),
        for_each=f"{source}.{parent}" if parent else None,
        records=http.get("records", "data"),
        next_token=page.get("next", "pagination.next_token"),
        token_parameter=page.get("token_parameter", "pagination_token"),
        size_parameter=page.get("size_parameter", "page_size"),
        page_size=page.get("size", 100),
        max_pages=page.get("max", 100_000),
        modified_parameter=modified.get("parameter"),
        modified_field=modified.get("field"),
        overlap=modified.get("overlap", "10 minutes"),
    )
    for fault in _faults(listing):
        raise ValueError(f"load.http: {fault}")
    return listing


def _faults(listing: Listing) -> Iterator[str]:
    names = (*listing.key, *listing.parent_fields, listing.modified_field or "")
    if not listing.path.startswith("/"):
        yield "`path` begins with /"
    if not listing.key:
        yield "`key` is a list of fields"
    if bool(listing.parent_fields) != bool(listing.for_each):
        yield "`path` names fields of a parent, {field}, where `for_each` names its table"
    if any(re.search(r"[%{}]", name) for name in names):
        yield "a field with one of % { } cannot be asked for"
    if (listing.modified_parameter is None) != (listing.modified_field is None):
        yield "`modified` has a `parameter` and a `field`"
    if min(listing.api.concurrency, listing.page_size, listing.max_pages) < 1:
        yield "`concurrency`, `page.size` and `page.max` are at least 1"


def _api(meta: dict[str, Any], source: str) -> Api:
    return Api(
        name=source,
        login=meta.get("login"),
        answers=meta.get("answers"),
        concurrency=meta.get("concurrency", 32),
        timeout_seconds=meta.get("timeout_seconds", 30),
    )
