"""What became of each load: its report, and the rows that were rejected, each with its rules."""

from datetime import datetime
from typing import Annotated, Any

from asyncpg import Record
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, TypeAdapter, WithJsonSchema

from api.builds import PATIENCE_SECONDS, Builds, detail_of
from api.cursor import Cursor, Limit, Page, check_parameters, page_body, read_key, read_page
from api.database import Database, Pool
from api.errors import Problem, documented
from api.exports import Export
from api.formats import WORKBOOK
from api.resource import PREFIX, READING, answer, found
from api.schemas import MaybeText, MaybeWhole, NextCursor, Warned, adapter_of
from api.security import Editor, Reader, Subject
from api.templates import cells_of_source, sheet_of
from assay.catalog import Catalog, Column, SourceTable
from loader.report import (
    ADDED,
    ONE_LOAD,
    STATE_OF_LOAD,
    all_rejected,
    feeds_as_json,
    page_of_loads,
    page_of_rejected,
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
_ID_TYPE = adapter_of(_ID)
_PARAMETER = {
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


class Rejected(BaseModel):
    """A row that broke rules, as it came; `malformed` has its text if it had no columns."""

    entity: str
    row_number: int
    rules: list[Warned]
    row: Annotated[
        dict[str, str | None] | None, WithJsonSchema({"type": "object", "nullable": True})
    ]
    malformed: MaybeText


class RejectedPage(BaseModel):
    items: list[Rejected]
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


def location_of(load_id: int) -> str:
    return f"{PREFIX}/loads/{load_id}"


async def _asked_loads(
    request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
) -> Page:
    return read_page(request, limit, cursor, (_ID_TYPE,))


async def _asked_load(request: Request, _subject: Subject) -> str:
    check_parameters(request)
    return read_key(_ID, _ID_TYPE, request.path_params["load_id"])


async def _loaded(database: Database, load_id: str) -> Record:
    """The load; raises `Problem` 404, or 409 where it cannot be taken back."""
    load = found(await database.fetch_row(STATE_OF_LOAD, load_id))
    if load["state"] != "loaded":
        raise Problem(409, f"Load {load_id} cannot be taken back: it is {load['state']}.")
    return load


async def _asked_rejected(
    request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
) -> tuple[str, Page]:
    page = read_page(request, limit, cursor, (TypeAdapter(str), _ID_TYPE))
    return read_key(_ID, _ID_TYPE, request.path_params["load_id"]), page


def router_of(catalog: Catalog, reports: Reports) -> APIRouter:
    router = APIRouter(prefix=f"{PREFIX}/loads", tags=["Loads"])

    @router.get(
        "",
        summary="List loads, the newest first",
        responses={200: {"model": LoadPage}, **documented(*READING)},
    )
    async def list_loads(
        page: Annotated[Page, Depends(_asked_loads)], _caller: Reader, database: Pool
    ) -> Response:
        sql = page_of_loads(is_first=not page.after)
        row = found(await database.fetch_row(sql, page.limit, *page.after))
        return answer(page_body(row["items"], row["last"]))

    @router.get(
        "/{load_id}",
        summary="Read the report of a load",
        openapi_extra={"parameters": [_PARAMETER]},
        responses={200: {"model": LoadReport}, **documented(*READING)},
    )
    async def read_load(
        load_id: Annotated[str, Depends(_asked_load)], _caller: Reader, database: Pool
    ) -> Response:
        return answer(await reports.read(database, load_id))

    @router.delete(
        "/{load_id}",
        summary="Take a load back",
        description=_UNLOAD,
        openapi_extra={"parameters": [_PARAMETER]},
        responses={
            200: {"model": LoadReport},
            202: {"model": LoadReport, "description": _UNDER_WAY},
            **documented(404, 409, *READING),
        },
    )
    async def unload(
        request: Request,
        load_id: Annotated[str, Depends(_asked_load)],
        caller: Editor,
        database: Pool,
        builder: Builds,
    ) -> Response:
        load = await _loaded(database, load_id)
        job = builder.submit(
            "unload", request.state.request_id, load_id=load["load_id"], user=caller.username
        )
        outcome = await job.ended(PATIENCE_SECONDS)
        if outcome.status == "failed":
            await _loaded(database, load_id)  # somebody else may have been faster
        is_running = outcome.status == "running"
        if not is_running:
            detail_of(outcome)
        body = await reports.read(database, load["load_id"])
        headers = {"Location": location_of(load["load_id"])} if is_running else None
        return answer(body, 202 if is_running else 200, headers)

    @router.get(
        "/{load_id}/rejected",  # noqa: FAST003 - read by _asked_rejected
        summary="List the rejected rows of a load",
        openapi_extra={"parameters": [_PARAMETER]},
        responses={200: {"model": RejectedPage}, **documented(*READING)},
    )
    async def list_rejected(
        asked: Annotated[tuple[str, Page], Depends(_asked_rejected)],
        _caller: Reader,
        database: Pool,
    ) -> Response:
        load_id, page = asked
        source = await source_of_load(database, load_id)
        sql = page_of_rejected(source, is_first=not page.after)
        row = found(await database.fetch_row(sql, page.limit, load_id, reports.rules, *page.after))
        return answer(page_body(row["items"], row["last"]))

    @router.get(
        "/{load_id}/rejected.xlsx",
        summary="Get the rejected rows of a load as a workbook",
        description=(
            "In the form of their source, to be mended and uploaded as it is: the last columns, "
            "which say where a row stood and what is wrong with it, are not read."
        ),
        openapi_extra={"parameters": [_PARAMETER]},
        response_class=Response,
        responses={200: WORKBOOK, **documented(*READING)},
    )
    async def read_rejected(
        load_id: Annotated[str, Depends(_asked_load)], _caller: Reader, database: Pool
    ) -> Response:
        source = await source_of_load(database, load_id)
        return Export(
            database,
            f"rejected-{load_id}",
            all_rejected(source),
            (load_id, reports.rules),
            cells_of_source(source, *ADDED),
            "xlsx",
            sheet_of(source),
        )

    async def source_of_load(database: Database, load_id: str) -> SourceTable:
        load = found(await database.fetch_row(STATE_OF_LOAD, load_id))
        source = catalog.source_tables.get(load["source_table"])
        if source is None:
            raise Problem(404, "The source of this load is no longer part of the project.")
        return source

    return router
