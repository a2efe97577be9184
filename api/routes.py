"""The endpoints of one entity; nothing here knows which.

The dependencies of each come in this order: what the request says is read and judged, which takes
a valid token and no connection; then the caller's role; then the database.
"""

from typing import Annotated, Any
from urllib.parse import quote

from asyncpg import Record
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from api.body import parse_object, read_body
from api.cursor import (
    VERSION,
    Cursor,
    Limit,
    Page,
    check_parameters,
    page_body,
    read_key,
    read_moment,
    read_page,
)
from api.database import Pool
from api.envelope import segment_text
from api.errors import Fault, Problem, documented, invalid, pointer_to
from api.query import plan_of, warnings_of
from api.schemas import Schemas, adapter_of, check, schema_of
from api.security import Editor, Reader, Subject
from assay.catalog import CatalogError, Entity

PREFIX = "/api/v1"
READING = (401, 403, 422, 500, 503, 504)
WRITING = (*READING, 409, 413, 415)
RESERVED = ("changes", "template.xlsx")
"""Segments beside keys: a row with such a key could not be read at its path."""

AsOf = Annotated[
    str,
    Query(
        default_factory=str,
        description=(
            "The row as it was at this time: ISO 8601 with an offset or Z; in a URL a `+` is "
            "written `%2B`. The time of a load is when its file was taken in."
        ),
        json_schema_extra={"format": "date-time", "example": "2026-01-31T12:00:00Z"},
    ),
]


class Requests:
    """Reads what is asked of one entity; each method raises `Problem` 401 or 422."""

    def __init__(self, entity: Entity, schemas: Schemas) -> None:
        self._entity = entity
        self._schemas = schemas
        self._key = entity.columns_by_name[entity.key[0]]
        self._adapter = adapter_of(self._key)

    async def page(
        self, request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
    ) -> Page:
        return read_page(request, limit, cursor, (self._adapter,))

    async def key(self, request: Request, _subject: Subject) -> str:
        """The key in the path, as text."""
        check_parameters(request)
        return self._key_of(request)

    async def key_and_page(
        self, request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
    ) -> tuple[str, Page]:
        """A key, and a page of its versions."""
        page = read_page(request, limit, cursor, (VERSION,))
        return self._key_of(request), page

    async def key_and_moment(
        self, request: Request, _subject: Subject, as_of: AsOf
    ) -> tuple[str, str | None]:
        """A key, and the time that is asked for, if any."""
        check_parameters(request, "as_of")
        key = self._key_of(request)
        return key, read_moment("as_of", as_of) if "as_of" in request.query_params else None

    async def row(self, request: Request, _subject: Subject) -> str:
        """A whole row, as the JSON text it is; also 413 and 415."""
        check_parameters(request)
        text = await read_body(request, "application/json")
        document = parse_object(text)
        check(self._entity, self._schemas.create, document)
        self._refuse_reserved(document)
        return text

    async def changes(self, request: Request, _subject: Subject) -> str:
        """Some fields of a row (JSON merge patch); also 413 and 415."""
        text = await read_body(request, "application/json", "application/merge-patch+json")
        document = parse_object(text)
        check(self._entity, self._schemas.patch, document)
        if not document:
            raise invalid(Fault("There is nothing to change.", "#"))
        self._refuse_reserved(document)
        return text

    def documented_key(self) -> dict[str, Any]:
        schema = schema_of(self._key)
        return {"name": "key", "in": "path", "required": True, "schema": schema}

    def _key_of(self, request: Request) -> str:
        return read_key(self._key, self._adapter, segment_text(request.path_params["key"]))

    def _refuse_reserved(self, document: dict[str, Any]) -> None:
        if document.get(self._key.name) in RESERVED:
            detail = f"{self._key.title} cannot be {' or '.join(RESERVED)}: the API uses this word."
            raise invalid(Fault(detail, pointer_to(self._key.name)))


def router_of(entity: Entity, schemas: Schemas) -> APIRouter:
    """The router of an entity.

    Raises:
        CatalogError: The contract has what the API cannot serve.
    """
    if len(entity.key) != 1:
        raise CatalogError(f"{entity.name}: the API serves keys of one column only.")
    plan = plan_of(entity)
    requests = Requests(entity, schemas)
    warnings = warnings_of(entity)
    path = f"{PREFIX}/{entity.path}"
    router = APIRouter(prefix=path, tags=[entity.title])
    of_key = {"parameters": [requests.documented_key()]}
    row_body = documented_body(schemas.create, "application/json")
    patch_body = documented_body(schemas.patch, "application/json", "application/merge-patch+json")

    Key = Annotated[str, Depends(requests.key)]  # noqa: N806 - a type
    Row = Annotated[str, Depends(requests.row)]  # noqa: N806

    @router.get(
        "",
        summary=f"List {entity.title}",
        description=entity.description,
        responses={200: {"model": schemas.page}, **documented(*READING)},
    )
    async def list_rows(
        page: Annotated[Page, Depends(requests.page)], _caller: Reader, database: Pool
    ) -> Response:
        sql = plan.next_page if page.after else plan.first_page
        row = found(await database.fetch_row(sql, page.limit, *page.after))
        return answer(page_body(row["items"], row["last"]))

    @router.post(
        "",
        status_code=201,
        summary="Create a row",
        openapi_extra=row_body,
        responses={201: {"model": schemas.written}, **documented(*WRITING)},
    )
    async def create_row(document: Row, caller: Editor, database: Pool) -> Response:
        row = found(
            await database.write_row(
                entity.name, plan.insert, document, caller.username, entity.name, warnings
            )
        )
        return answer(row["body"], 201, {"Location": f"{path}/{quote(row['key'], safe='')}"})

    @router.get(
        "/{key}",  # noqa: FAST003 - read by key_and_moment
        summary="Read a row",
        openapi_extra=of_key,
        responses={200: {"model": schemas.read}, **documented(404, *READING)},
    )
    async def read_row(
        asked: Annotated[tuple[str, str | None], Depends(requests.key_and_moment)],
        _caller: Reader,
        database: Pool,
    ) -> Response:
        key, moment = asked
        row = (
            await database.fetch_row(plan.as_of, key, moment)
            if moment
            else await database.fetch_row(plan.one, key)
        )
        return answer(found(row)["body"])

    @router.put(
        "/{key}",
        summary="Replace a row",
        description="Fields that are left out get their defaults. It must exist.",
        openapi_extra={**of_key, **row_body},
        responses={200: {"model": schemas.written}, **documented(404, *WRITING)},
    )
    async def replace_row(key: Key, document: Row, caller: Editor, database: Pool) -> Response:
        values = (document, caller.username, entity.name, warnings, key)
        return answer(found(await database.write_row(entity.name, plan.replace, *values))["body"])

    @router.patch(
        "/{key}",
        summary="Change fields of a row",
        openapi_extra={**of_key, **patch_body},
        responses={200: {"model": schemas.written}, **documented(404, *WRITING)},
    )
    async def change_row(
        key: Key,
        document: Annotated[str, Depends(requests.changes)],
        caller: Editor,
        database: Pool,
    ) -> Response:
        values = (document, caller.username, entity.name, warnings, key)
        return answer(found(await database.write_row(entity.name, plan.patch, *values))["body"])

    @router.delete(
        "/{key}",
        status_code=204,
        summary="Delete a row",
        openapi_extra=of_key,
        responses={204: {"description": "Gone."}, **documented(404, 409, *READING)},
    )
    async def delete_row(key: Key, caller: Editor, database: Pool) -> Response:
        values = (key, caller.username, entity.name)
        found(await database.write_row(entity.name, plan.delete, *values))
        return Response(status_code=204)

    return router


def answer(body: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as PostgreSQL made it."""
    return Response(body, status, headers, "application/json")


def found(row: Record | None) -> Record:
    """Raises `Problem` 404 where there is no row."""
    if row is None:
        raise Problem(404)
    return row


def documented_body(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    schema = {"schema": model.model_json_schema()}
    content = dict.fromkeys(media_types, schema)
    return {"requestBody": {"required": True, "content": content}}
