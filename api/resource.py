"""What the endpoints of one entity share: how it is asked, for whom, and how it is written.

Nothing here knows which entity it is. The dependencies of each endpoint come in this order: the
caller's rights; then what the request says is read and judged; then the database.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from asyncpg import ForeignKeyViolationError, PostgresError, Record
from fastapi import Request, Response

from api.cursor import (
    VERSION,
    Cursor,
    Limit,
    Page,
    check_parameters,
    read_key,
    read_moment,
    read_page,
)
from api.database import Database
from api.documents import MAX_FAULTS, Bodies, Documents
from api.envelope import segment_text
from api.errors import (
    Fault,
    Problem,
    Refusal,
    in_item,
    pointer_to,
    problem_of,
    problem_of_refusal,
)
from api.filters import Filter
from api.linking import unknown
from api.listing import Listing
from api.parameters import Listings
from api.proposal import warnings_of
from api.query import FAULTS, Plan, plan_of
from api.schemas import Schemas, name_of, schema_of
from api.security import Subject
from api.users import User
from assay.catalog import Catalog, CatalogError, Column, Entity, Link

PREFIX = "/api/v1"
READING = (401, 403, 404, 422, 500, 503, 504)
WRITING = (*READING, 409, 413, 415)
CHANGING = (*WRITING, 412, 428)
RESERVED = ("changes", "template.xlsx")
"""Segments beside keys: a row with such a key could not be read at its path."""
_REFUSALS = ("22", "23", "54", "AS")

AS_OF: dict[str, Any] = {
    "name": "as_of",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "format": "date-time"},
    "description": (
        "The row as it was at this time: ISO 8601, UTC without an offset, such as "
        "2026-01-31T12:00:00Z; in a URL a `+` is written `%2B`. The time of a load is when its "
        "file was taken in."
    ),
}
"""Documented only: it is read by hand, since FastAPI's reading takes a tenth of such a request."""


class Requests:
    """Reads what is asked of one entity; each method raises `Problem` 401 or 422."""

    def __init__(self, entity: Entity, catalog: Catalog) -> None:
        self._key = entity.columns_by_name[entity.key[0]]
        self._listings = Listings(entity, catalog)

    async def listing(self, request: Request, _subject: Subject) -> Listing:
        return self._listings.read(request)

    async def filter(self, request: Request, _subject: Subject) -> Filter:
        """Conditions, and nothing else."""
        return self._listings.filter(request)

    async def nothing(self, request: Request, _subject: Subject) -> None:
        check_parameters(request)

    async def key(self, request: Request, _subject: Subject) -> str:
        """The key in the path, as text."""
        check_parameters(request)
        return self.key_of(request)

    async def key_and_page(
        self, request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
    ) -> tuple[str, Page]:
        """A key, and a page of its versions."""
        page = read_page(request, limit, cursor, (VERSION,))
        return self.key_of(request), page

    async def key_and_moment(self, request: Request, _subject: Subject) -> tuple[str, str | None]:
        """A key, and the time that is asked for, if any."""
        check_parameters(request, "as_of")
        asked = request.query_params.get("as_of")
        return self.key_of(request), None if asked is None else read_moment("as_of", asked)

    def documented_key(self) -> dict[str, Any]:
        schema = schema_of(self._key)
        return {"name": "key", "in": "path", "required": True, "schema": schema}

    def key_of(self, request: Request) -> str:
        return read_key(self._key, segment_text(request.path_params["key"]))


class Plans:
    """The statements of an entity, as they answer those who see all columns and the others."""

    def __init__(self, entity: Entity, catalog: Catalog) -> None:
        self._entity = entity
        self._others = {
            link.name: catalog.entities[link.far.references or ""] for link in entity.links
        }
        self._public = tuple(column for column in entity.columns if not column.is_personal)
        self._plans: dict[tuple[object, ...], Plan] = {}

    def seen(self, caller: User) -> tuple[Column, ...]:
        """The columns that the caller may see."""
        return self._entity.columns if self._sees_all(caller) else self._public

    def links_seen(self, caller: User) -> tuple[Link, ...]:
        """The links that the caller may see: who may read them, and what they lead to."""
        return tuple(
            link
            for link in self._entity.links
            if caller.may_read(link.through) and caller.may_read(self._others[link.name])
        )

    def of(self, caller: User, names: Collection[str] = ()) -> Plan:
        """For documents with members of these names."""
        columns, links = self.seen(caller), self.links_seen(caller)
        said = any(link.name in names for link in links)
        which = (len(columns), *(link.name for link in links), said)
        if which not in self._plans:
            self._plans[which] = plan_of(self._entity, columns, links, said=said)
        return self._plans[which]

    def check(self, caller: User, names: Iterable[str], *, links_are_written: bool = False) -> None:
        """Raises `Problem` 403 for the name of a column or of links that are not the caller's."""
        names = frozenset(names)
        hidden = {column.name for column in self._entity.columns if column.is_personal}
        if not self._sees_all(caller) and (asked := hidden.intersection(names)):
            listed = ", ".join(sorted(asked))
            raise Problem(403, f"{listed}: this takes the scope {self._entity.path}:pii.")
        seen = self.links_seen(caller)
        for link in self._entity.links:
            if link.name not in names:
                continue
            if link not in seen:
                paths = f"{self._others[link.name].path}:read and {link.through.path}:read"
                raise Problem(403, f"{link.name}: this takes the scopes {paths}.")
            if links_are_written and not caller.may_write(link.through):
                scope = f"{link.through.path}:write"
                raise Problem(403, f"{link.name}: this takes the scope {scope}.")

    def _sees_all(self, caller: User) -> bool:
        return caller.sees_personal_data_of(self._entity)


class Writer:
    """Runs the statements that write, and says what was wrong with which item of a list."""

    def __init__(self, entity: Entity, catalog: Catalog) -> None:
        self._entity = entity
        self._catalog = catalog
        self._warnings = warnings_of(entity)

    async def write(
        self,
        database: Database,
        sql: str,
        *more: object,
        documents: Documents,
        caller: User,
        again: str | None = None,
    ) -> list[Record]:
        """The rows of a statement over documents.

        `again` is the statement that is run for each item of a list by itself if one is refused.

        Raises:
            Problem: What the items are refused for.
            asyncpg.PostgresError: What the one document is refused for.
        """
        values = (documents.text, caller.username, self._entity.name, self._warnings)
        try:
            return await database.write(self._entity.name, sql, *values, *more)
        except PostgresError as error:
            code = error.sqlstate or ""
            if isinstance(error, ForeignKeyViolationError):
                await self._refuse_unknown(database, documents, error)
            if again is None or not documents.is_list or not code.startswith(_REFUSALS):
                raise
            raise await self._problem(database, again, values) or error from None

    async def _refuse_unknown(
        self, database: Database, documents: Documents, error: ForeignKeyViolationError
    ) -> None:
        """Raises `Problem` 409 with each key of a link that leads nowhere, if that is it."""
        problem = problem_of(error, self._catalog)
        (fault,) = problem.errors or (Fault(problem.detail),)
        faults = []
        for link in self._entity.links:
            target = self._catalog.entities.get(link.far.references or "")
            if link.name not in documents.names or target is None:
                continue
            for row in await database.fetch(unknown(link, target), documents.text):
                detail = f"{fault.detail} There is no {row['key']} among the {link.path}."
                pointer = f"{pointer_to(link.name)}/{row['place']}"
                one = replace(fault, detail=detail, pointer=pointer)
                faults.append(in_item(one, row["document"]) if documents.is_list else one)
        if faults:
            raise Problem(problem.status, faults[0].detail, tuple(faults)) from None

    async def _problem(
        self, database: Database, sql: str, values: tuple[str, ...]
    ) -> Problem | None:
        """What each item is refused for; nothing if it is the items together."""
        row = await database.write_row(self._entity.name, FAULTS, sql, *values, MAX_FAULTS)
        problems = [
            (refused.pop("place"), problem_of_refusal(Refusal(**refused), self._catalog))
            for refused in json.loads(found(row)["faults"])
        ]
        if not problems:
            return None
        faults = tuple(
            in_item(fault, place)
            for place, problem in problems
            for fault in problem.errors or (Fault(problem.detail),)
        )
        detail = f"Nothing was written: {len(problems)} of the items are refused."
        return Problem(problems[0][1].status, detail, faults)


@dataclass(frozen=True)
class Resource:
    """An entity as the API serves it."""

    entity: Entity
    catalog: Catalog
    schemas: Schemas

    def __post_init__(self) -> None:
        """Raises `CatalogError` where the contract has what the API cannot serve."""
        if len(self.entity.key) != 1:
            raise CatalogError(f"{self.entity.name}: the API serves keys of one column only.")

    @property
    def path(self) -> str:
        return f"{PREFIX}/{self.entity.path}"

    def named(self, verb: str, what: str = "") -> str:
        """An operation in OpenAPI; clients that are generated call their functions so."""
        return f"{verb}{name_of(self.entity)}{what}"

    @cached_property
    def requests(self) -> Requests:
        return Requests(self.entity, self.catalog)

    @cached_property
    def bodies(self) -> Bodies:
        return Bodies(self.entity, self.schemas, RESERVED)

    @cached_property
    def plans(self) -> Plans:
        return Plans(self.entity, self.catalog)

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.entity, self.catalog)


def answer(body: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as PostgreSQL made it."""
    return Response(body, status, headers, "application/json")


def found(row: Record | None) -> Record:
    """Raises `Problem` 404 where there is no row."""
    if row is None:
        raise Problem(404)
    return row


def documented_body(*schemas: dict[str, Any]) -> dict[str, Any]:
    """A body in JSON that is one of these."""
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
