"""What became of each load: its report; and the way to take one back."""

from datetime import datetime
from typing import Annotated, Any

from asyncpg import Record
from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from api.builds import PATIENCE_SECONDS, Builds, detail_of
from api.cursor import Cursor, Limit, Page, check_parameters, page_body, read_key, read_page
from api.database import Database, Pool, database_of
from api.errors import Problem, documented
from api.fields import MaybeText, MaybeWhole, NextCursor
from api.resource import PREFIX, READING, answer, found
from api.router import Router
from api.security import Reader, Right, Subject, check_shown, check_writable, user_with
from api.tokens import Claims
from api.users import Role, User
from api.value_types import adapter_of
from assay.catalog import Catalog, Column, Entity
from loader.report import (
    ONE_LOAD,
    STATE_OF_LOAD,
    feeds_as_json,
    page_of_loads,
    rules_as_json,
)

_ID = Column(
    name="load_id",
    data_type="bigint",
    title="Load id",
    description="Number of the load.",
    is_nullable=False,
    is_server_owned=True,
    default=None,
    enum=(),
    examples=(),
)
ID_TYPE = adapter_of(_ID)
PARAMETER = {
    "name": "load_id",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "format": "int64"},
}

_UNLOAD = """
Each row on which nothing newer stands becomes what it was before the load; the journal has it as
an edit. The load stays in the list, as `unloaded`, and its file can be loaded again.
After 5 seconds the answer is 202. Nothing but this server knows of it then: ask again if the report
is still `loaded` later, since a server that stops meanwhile forgets it, and why one failed stands
in its log only.
"""
_UNDER_WAY = "It is being taken back, or will be: ask again if the report stays `loaded`."


class Load(BaseModel):
    """One file, or one answer of an API, that was taken in or failed to be."""

    load_id: int
    source_table: str
    file_name: str
    sha256: MaybeText
    size_bytes: MaybeWhole
    row_count: MaybeWhole
    state: str
    notes: dict[str, Any]
    error: MaybeText
    loaded_by: str
    started_at: datetime
    finished_at: datetime


class Count(BaseModel):
    """How many rows broke a rule."""

    count: int
    message: str


class Account(BaseModel):
    """What became of the rows of a load in one entity: `rows` is the sum of those after it."""

    entity: str
    rows: int
    new: int
    changed: int
    unchanged: int
    superseded: int
    duplicates: int
    rejected: int
    rules: dict[str, Count]
    repairs: dict[str, int]
    warnings: dict[str, Count]
    done_at: datetime


class Unload(BaseModel):
    """What taking a load back did to one entity."""

    entity: str
    unloaded_by: str
    unloaded_at: datetime
    deleted: int
    restored: int
    newer: Annotated[int, Field(description="Rows on which something newer stands.")]
    refused: Annotated[
        dict[str, Count], Field(description="Rows that today would break a rule as they were.")
    ]


class LoadReport(Load):
    entities: list[Account]
    pending: list[str]
    """Entities that the next build will bring the load to."""
    unloads: list[Unload]


class LoadPage(BaseModel):
    items: list[Load]
    next: NextCursor


class Reports:
    """Reads reports as JSON; what the catalog adds to them is made once."""

    def __init__(self, catalog: Catalog) -> None:
        self.rules = rules_as_json(catalog)
        self._feeds = feeds_as_json(catalog)

    async def read(self, database: Database, load_id: str | int) -> str:
        """Raises `Problem` 404 where there is no such load."""
        values = (str(load_id), self.rules, self._feeds)
        body: str = found(await database.fetch_row(ONE_LOAD, *values))["body"]
        return body


class Visible:
    """Which loads a caller may see: those that feed an entity that he may read."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def sources(self, caller: User) -> list[str] | None:
        """Source tables; None for all, also those that the project had long ago."""
        if all(map(caller.may_read, self._catalog.entities.values())):
            return None
        feeds = self._catalog.fed_by
        return [s for s in self._catalog.source_tables if any(map(caller.may_read, feeds(s)))]

    async def load(
        self, database: Database, load_id: str, caller: User
    ) -> tuple[Record, tuple[Entity, ...]]:
        """A load and the entities that it feeds.

        Raises:
            Problem: 404 where there is none, or none that the caller may see.
        """
        load = found(await database.fetch_row(STATE_OF_LOAD, load_id))
        sources = self.sources(caller)
        if sources is not None and load["source_table"] not in sources:
            raise Problem(404)
        return load, self._catalog.fed_by(load["source_table"])


def location_of(load_id: int) -> str:
    return f"{PREFIX}/loads/{load_id}"


async def _asked_loads(
    request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
) -> Page:
    return read_page(request, limit, cursor, (ID_TYPE,))


def load_right_of(visible: Visible, role: Role) -> Right:
    """For signatures: a user of this role who may see the load in the path, or 401, 403, 404."""

    async def allow(request: Request, claims: Claims) -> User:
        user = await user_with(role, request, claims)
        if visible.sources(user) is not None:
            await visible.load(await database_of(request), read_load_id(request), user)
        return user

    return Right(role, allow)


async def asked_load(request: Request, _subject: Subject) -> str:
    check_parameters(request)
    return read_load_id(request)


def read_load_id(request: Request) -> str:
    """The load in the path. Raises `Problem` 422."""
    return read_key(_ID, request.path_params["load_id"])


def _check_taken_back(load: Record, load_id: str) -> None:
    """Raises `Problem` 409 where it cannot be taken back."""
    if load["state"] != "loaded":
        raise Problem(409, f"Load {load_id} cannot be taken back: it is {load['state']}.")


def router_of(catalog: Catalog, reports: Reports) -> Router:
    router = Router(prefix=f"{PREFIX}/loads", tags=["Loads"])
    visible = Visible(catalog)
    LoadReader = Annotated[User, Depends(load_right_of(visible, "reader"))]  # noqa: N806 - a type
    LoadEditor = Annotated[User, Depends(load_right_of(visible, "editor"))]  # noqa: N806

    @router.get(
        "",
        summary="List loads, the newest first",
        responses={200: {"model": LoadPage}, **documented(*READING)},
    )
    async def list_loads(
        page: Annotated[Page, Depends(_asked_loads)], caller: Reader, database: Pool
    ) -> Response:
        sql = page_of_loads(is_first=not page.after)
        values = (page.limit, visible.sources(caller), *page.after)
        row = found(await database.fetch_row(sql, *values))
        return answer(page_body(row["items"], row["last"]))

    @router.get(
        "/{load_id}",
        summary="Read the report of a load",
        openapi_extra={"parameters": [PARAMETER]},
        responses={200: {"model": LoadReport}, **documented(*READING)},
    )
    async def read_load(
        load_id: Annotated[str, Depends(asked_load)], caller: LoadReader, database: Pool
    ) -> Response:
        await visible.load(database, load_id, caller)
        return answer(await reports.read(database, load_id))

    @router.delete(
        "/{load_id}",
        summary="Take a load back",
        description=_UNLOAD,
        openapi_extra={"parameters": [PARAMETER]},
        responses={
            200: {"model": LoadReport},
            202: {"model": LoadReport, "description": _UNDER_WAY},
            **documented(404, 409, *READING),
        },
    )
    async def unload(
        request: Request,
        load_id: Annotated[str, Depends(asked_load)],
        caller: LoadEditor,
        database: Pool,
        builder: Builds,
    ) -> Response:
        load, fed = await visible.load(database, load_id, caller)
        for entity in fed:
            await check_writable(request, database, caller, entity)
            await check_shown(request, database, caller, entity)
        _check_taken_back(load, load_id)
        job = builder.submit(
            "unload", request.state.request_id, load_id=load["load_id"], user=caller.username
        )
        outcome = await job.ended(PATIENCE_SECONDS)
        if outcome.status == "failed":
            load, _ = await visible.load(database, load_id, caller)
            _check_taken_back(load, load_id)  # somebody else may have been faster
        is_running = outcome.status == "running"
        if not is_running:
            detail_of(outcome)
        body = await reports.read(database, load["load_id"])
        headers = {"Location": location_of(load["load_id"])} if is_running else None
        return answer(body, 202 if is_running else 200, headers)

    return router
