"""The endpoints of one row."""

from typing import Annotated, NoReturn

from asyncpg import Record
from fastapi import Depends, Request, Response

from api.database import Database, Pool
from api.documents import Documents
from api.errors import Problem, documented
from api.preconditions import (
    DOCUMENTED_ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    expected_versions,
    is_known,
    tag_of,
)
from api.query import Plan
from api.resource import AS_OF, CHANGING, READING, Resource, answer, documented_body, found
from api.router import Router
from api.security import editor_of, reader_of
from api.users import User

Versions = Annotated[list[str] | None, Depends(expected_versions)]


def router_of(resource: Resource) -> Router:
    entity, plans, requests = resource.entity, resource.plans, resource.requests
    bodies, writer = resource.bodies, resource.writer
    router = Router(prefix=resource.path, tags=[entity.title])
    of_version = {"parameters": [requests.documented_key(), IF_MATCH]}

    Reader = Annotated[User, Depends(reader_of(entity))]  # noqa: N806 - a type
    Editor = Annotated[User, Depends(editor_of(entity))]  # noqa: N806
    Key = Annotated[str, Depends(requests.key)]  # noqa: N806

    @router.get(
        "/{key}",
        summary="Read a row",
        operation_id=resource.named("read", "Row"),
        openapi_extra={"parameters": [AS_OF, requests.documented_key(), IF_NONE_MATCH]},
        responses={
            200: {"model": resource.schemas.read, "headers": DOCUMENTED_ETAG},
            304: {"description": "The version in `If-None-Match` is still right."},
            **documented(*READING),
        },
    )
    async def read_row(
        request: Request,
        asked: Annotated[tuple[str, str | None], Depends(requests.key_and_moment)],
        caller: Reader,
        database: Pool,
    ) -> Response:
        key, moment = asked
        plan = plans.of(caller)
        if moment:
            return answer(found(await database.fetch_row(plan.as_of, key, moment))["body"])
        row = found(await database.fetch_row(plan.one, key))
        headers = tag_of(row["version"])
        if is_known(request, row["version"]):
            return Response(status_code=304, headers=headers)
        return answer(row["body"], headers=headers)

    async def check_replacer(caller: Editor) -> None:
        # What he does not see would be gone.
        plans.check(caller, entity.columns_by_name)

    @router.put(
        "/{key}",
        summary="Replace a row",
        operation_id=resource.named("replace", "Row"),
        description="Fields that are left out get their defaults. It must exist.",
        openapi_extra={
            **of_version,
            **documented_body(resource.schemas.create.model_json_schema()),
        },
        responses={
            200: {"model": resource.schemas.written, "headers": DOCUMENTED_ETAG},
            **documented(*CHANGING),
        },
    )
    async def replace_row(
        key: Key,
        _replacer: Annotated[None, Depends(check_replacer)],
        document: Annotated[Documents, Depends(bodies.row)],
        versions: Versions,
        caller: Editor,
        database: Pool,
    ) -> Response:
        plans.check(caller, document.names, links_are_written=True)
        plan = plans.of(caller, document.names)
        rows = await writer.write(
            database, plan.replace, key, versions, documents=document, caller=caller
        )
        return changed(document, rows or await _missing(database, plan, key, versions))

    @router.patch(
        "/{key}",
        summary="Change fields of a row",
        operation_id=resource.named("change", "Row"),
        description="A JSON merge patch; `application/merge-patch+json` is taken too.",
        openapi_extra={
            **of_version,
            **documented_body(resource.schemas.patch.model_json_schema()),
        },
        responses={
            200: {"model": resource.schemas.written, "headers": DOCUMENTED_ETAG},
            **documented(*CHANGING),
        },
    )
    async def change_row(
        key: Key,
        document: Annotated[Documents, Depends(bodies.changes)],
        versions: Versions,
        caller: Editor,
        database: Pool,
    ) -> Response:
        plans.check(caller, document.names, links_are_written=True)
        plan = plans.of(caller, document.names)
        rows = await writer.write(
            database, plan.patch, key, versions, documents=document, caller=caller
        )
        return changed(document, rows or await _missing(database, plan, key, versions))

    @router.delete(
        "/{key}",
        status_code=204,
        summary="Delete a row",
        operation_id=resource.named("delete", "Row"),
        openapi_extra=of_version,
        responses={204: {"description": "Gone."}, **documented(409, 412, 428, *READING)},
    )
    async def delete_row(key: Key, versions: Versions, caller: Editor, database: Pool) -> Response:
        plan = plans.of(caller)
        values = (key, caller.username, entity.name, versions)
        if not await database.write(entity.name, plan.delete, *values):
            await _missing(database, plan, key, versions)
        return Response(status_code=204)

    return router


def changed(document: Documents, rows: list[Record]) -> Response:
    return answer(document.answers(rows)[0], headers=tag_of(rows[0]["version"]))


async def _missing(
    database: Database, plan: Plan, key: str, versions: list[str] | None
) -> NoReturn:
    """Raises `Problem`: 412 if there is such a row, of another version then, or 404.

    Who takes any version was told by the statement itself: a row that another makes a moment
    later is not one that he has read.
    """
    if versions is None or await database.fetch_row(plan.one, key) is None:
        raise Problem(404)
    raise Problem(412)
