"""The endpoints of many rows: lists, and writes that are done whole or not at all."""

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from api.database import Pool
from api.documents import MAX_ITEMS, Documents
from api.errors import Fault, Problem, documented, invalid
from api.filter_documents import documented_filters
from api.filters import Filter, Values
from api.formats import FILES
from api.idempotency import HEADER, Once, read_idempotency_key, sha256_of
from api.list_answers import listed, targets_of
from api.list_documents import documented_listing
from api.listing import Listing
from api.preconditions import DOCUMENTED_ETAG, tag_of
from api.resource import READING, WRITING, Resource, answer, documented_body, found
from api.router import Router
from api.schemas import is_mandatory
from api.security import editor_of, reader_of
from api.users import User


class Counted(BaseModel):
    """How many rows a filter found."""

    count: int = Field(examples=[12])


def reading_router_of(resource: Resource, resources: dict[str, Resource]) -> Router:
    """Needs the resources of all entities by name, for those that rows refer to."""
    entity = resource.entity
    router = Router(prefix=resource.path, tags=[entity.title])
    targets = targets_of(resource, resources)
    Reader = Annotated[User, Depends(reader_of(entity))]  # noqa: N806 - a type

    @router.get(
        "",
        summary=f"List {entity.title}",
        operation_id=resource.named("list"),
        description=entity.description,
        openapi_extra={"parameters": documented_listing(entity, resource.catalog)},
        responses={
            200: {"model": resource.schemas.page, "content": FILES},
            **documented(406, *READING),
        },
    )
    async def list_rows(
        request: Request,
        listing: Annotated[Listing, Depends(resource.requests.listing)],
        caller: Reader,
        database: Pool,
    ) -> Response:
        return await listed(request, resource, targets, listing, caller, database)

    return router


def writing_router_of(resource: Resource) -> Router:
    entity, plans, requests = resource.entity, resource.plans, resource.requests
    bodies, writer, schemas = resource.bodies, resource.writer, resource.schemas
    router = Router(prefix=resource.path, tags=[entity.title])
    create = schemas.create.model_json_schema()
    patch = schemas.patch.model_json_schema()
    conditions = {"parameters": documented_filters(entity)}
    Editor = Annotated[User, Depends(editor_of(entity))]  # noqa: N806 - a type
    mandatory = [column.name for column in entity.columns if is_mandatory(column)]

    async def check_creator(caller: Editor) -> None:
        # Before the body is read: nobody is asked for a value that is not for him to write.
        plans.check(caller, mandatory)

    @router.post(
        "",
        status_code=201,
        summary="Create a row, or many",
        operation_id=resource.named("create"),
        description=f"An array of up to {MAX_ITEMS:,} rows is taken whole or not at all.",
        openapi_extra={
            "parameters": [HEADER],
            **documented_body(create, _list_of(create)),
        },
        responses={
            201: {
                "model": schemas.written | schemas.written_list,
                "description": "The row, or of an array all of them in `items`.",
                "headers": DOCUMENTED_ETAG,
            },
            **documented(*WRITING),
        },
    )
    async def create_rows(
        _plain: Annotated[None, Depends(requests.nothing)],
        _creator: Annotated[None, Depends(check_creator)],
        documents: Annotated[Documents, Depends(bodies.rows)],
        key: Annotated[str | None, Depends(read_idempotency_key)],
        caller: Editor,
        database: Pool,
    ) -> Response:
        plans.check(caller, documents.names, links_are_written=True)
        plan = plans.of(caller, documents.names)
        write = partial(writer.write, database, documents=documents, caller=caller)
        if key is None:
            rows = await write(plan.insert, again=plan.insert)
            return created(documents, [dict(row) for row in rows], resource.path)
        # Who sees other columns than before is not answered what was answered then.
        names = [c.name for c in plans.seen(caller)] + [n.name for n in plans.links_seen(caller)]
        seen = " ".join(names)
        asked = sha256_of(f"{documents.text} {seen}")
        once = Once(caller.user_id, f"POST {entity.path}", key, asked)
        made = await once.done(
            database, lambda: write(plan.insert_once, *once.values, again=plan.insert)
        )
        return created(documents, made, resource.path)

    @router.patch(
        "",
        summary="Change fields of many rows",
        operation_id=resource.named("change"),
        description=(
            "An object: in all rows that the filter finds, which may not be empty; the "
            "answer says how many. An array of up to "
            f"{MAX_ITEMS:,} items, each with the key of its row: in those; no filter then. Whole "
            "or not at all."
        ),
        openapi_extra={
            **conditions,
            **documented_body(patch, _list_of(schemas.patch_of_list.model_json_schema())),
        },
        responses={
            200: {
                "model": Counted | schemas.written_list,
                "description": "How many rows, or of an array all of them in `items`.",
            },
            **documented(*WRITING),
        },
    )
    async def change_rows(
        filter_: Annotated[Filter, Depends(requests.filter)],
        documents: Annotated[Documents, Depends(bodies.changes_of_rows)],
        caller: Editor,
        database: Pool,
    ) -> Response:
        check_extent(filter_, is_list=documents.is_list)
        names = [*documents.names, *filter_.names]
        plans.check(caller, names, links_are_written=True)
        plan = plans.of(caller, documents.names)
        if documents.is_list:
            rows = await writer.write(
                database,
                plan.patch_many,
                documents=documents,
                caller=caller,
                again=plan.patch_many,
            )
            return answer(f'{{"items":[{",".join(documents.answers(rows))}]}}')
        values = Values([documents.text, caller.username, entity.name])
        sql = plan.patch_where(filter_.sql(values))
        row = found(await database.write_row(entity.name, sql, *values.bound))
        return answer(f'{{"count":{row["count"]}}}')

    @router.delete(
        "",
        summary="Delete many rows",
        operation_id=resource.named("delete"),
        description=(
            "All that the filter finds, which may not be empty; or with an array of up to "
            f"{MAX_ITEMS:,} keys those; no filter then. Whole or not at all."
        ),
        openapi_extra={
            **conditions,
            **documented_body(_list_of(requests.documented_key()["schema"])),
        },
        responses={200: {"model": Counted}, **documented(*WRITING)},
    )
    async def delete_rows(
        filter_: Annotated[Filter, Depends(requests.filter)],
        keys: Annotated[Documents | None, Depends(bodies.keys)],
        caller: Editor,
        database: Pool,
    ) -> Response:
        check_extent(filter_, is_list=keys is not None)
        plans.check(caller, filter_.names)
        plan = plans.of(caller)
        if keys:
            await writer.write(
                database,
                plan.delete_many,
                documents=keys,
                caller=caller,
                again=plan.delete_many,
            )
            return answer(f'{{"count":{keys.count}}}')
        values = Values([None, caller.username, entity.name])
        sql = plan.delete_where(filter_.sql(values))
        row = found(await database.write_row(entity.name, sql, *values.bound))
        return answer(f'{{"count":{row["count"]}}}')

    return router


def created(documents: Documents, rows: list[dict[str, str]], path: str) -> Response:
    if documents.is_list:
        return answer(f'{{"items":[{",".join(documents.answers(rows))}]}}', 201)
    (row,) = rows
    headers = {"Location": f"{path}/{quote(row['key'], safe='')}", **tag_of(row["version"])}
    return answer(documents.answers(rows)[0], 201, headers)


def check_extent(filter_: Filter, *, is_list: bool) -> None:
    """Raises `Problem` 422 unless there is either a filter or a list."""
    if is_list and filter_.clauses:
        raise invalid(Fault("Send a list or a filter, not both.", "#"))
    if not is_list and not filter_.clauses:
        detail = "Say which rows by a filter, such as ?column=value: without one it would be all."
        raise Problem(422, detail)


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": MAX_ITEMS, "items": schema}
