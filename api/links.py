"""The endpoints of links: a row of one entity below a row of another."""

from dataclasses import replace
from typing import Annotated, Any

from asyncpg import ForeignKeyViolationError
from fastapi import Depends, Request, Response

from api.cursor import as_text, check_parameters
from api.database import Database, Pool
from api.envelope import segment_text
from api.errors import Problem, documented, problem_of
from api.filters import Filter, Linked
from api.formats import FILES
from api.linking import link_statement, unlink_statement
from api.list_answers import listed, targets_of
from api.list_documents import documented_listing
from api.listing import Listing
from api.resource import READING, WRITING, Resource, found
from api.router import Router
from api.schemas import schema_of, words
from api.security import Subject, editor_of, reader_of
from api.users import User
from assay.catalog import Link


def router_of(resource: Resource, resources: dict[str, Resource]) -> Router:
    router = Router(prefix=resource.path, tags=[resource.entity.title])
    for link in resource.entity.links:
        _add_routes(router, resource, link)
        if link.far.references in resources:
            _add_list(router, resource, link, resources)
    return router


def _add_list(
    router: Router, resource: Resource, link: Link, resources: dict[str, Resource]
) -> None:
    """The rows that a row is linked with, as a list of their own dataset has them."""
    other = resources[link.far.references or ""]
    targets = targets_of(other, resources)
    from_there = replace(link, near=link.far, far=link.near)
    parameters = documented_listing(other.entity, resource.catalog)
    Reader = Annotated[User, Depends(reader_of(resource.entity))]  # noqa: N806 - a type

    async def read(request: Request, subject: Subject) -> tuple[str, Listing]:
        return resource.requests.key_of(request), await other.requests.listing(request, subject)

    @router.get(
        f"/{{key}}/{link.path}",
        name=f"list_{link.name}",
        operation_id=resource.named("list", words(link.path)),
        summary="List the rows that a row is linked with",
        description=f"All that the list of {other.entity.title} takes is taken here too.",
        openapi_extra={"parameters": [resource.requests.documented_key(), *parameters]},
        responses={
            200: {"model": other.schemas.page, "content": FILES},
            **documented(406, *READING),
        },
    )
    async def list_linked(
        request: Request,
        asked: Annotated[tuple[str, Listing], Depends(read)],
        caller: Reader,
        database: Pool,
    ) -> Response:
        key, listing = asked
        resource.plans.check(caller, (link.name,))
        found(await database.fetch_row(resource.plans.of(caller).one, key))
        member = Linked(from_there, other.entity.key[0], key)
        filter_ = Filter((*listing.filter.clauses, (member,)))
        other.plans.check(caller, listing.named)
        listing = replace(listing, filter=filter_)
        return await listed(request, other, targets, listing, caller, database)


def _add_routes(router: Router, resource: Resource, link: Link) -> None:
    entity = resource.entity
    path = f"/{{key}}/{link.path}/{{other}}"
    link_sql, unlink_sql = link_statement(link), unlink_statement(link)
    other: dict[str, Any] = {
        "name": "other",
        "in": "path",
        "required": True,
        "schema": schema_of(link.far),
    }
    parameters = {"parameters": [resource.requests.documented_key(), other]}
    statuses = documented(409, *(status for status in WRITING if status not in (413, 415)))
    Editor = Annotated[User, Depends(editor_of(entity))]  # noqa: N806 - a type

    async def read_other(request: Request, _subject: Subject) -> str:
        check_parameters(request)
        return as_text("other", link.far, segment_text(request.path_params["other"]))

    Key = Annotated[str, Depends(resource.requests.key)]  # noqa: N806
    Other = Annotated[str, Depends(read_other)]  # noqa: N806

    async def changed(database: Database, sql: str, caller: User, key: str, other: str) -> bool:
        values = (key, caller.username, other)
        resource.plans.check(caller, (link.name,), links_are_written=True)
        try:
            row = await database.write_row(link.through.name, sql, *values)
        except ForeignKeyViolationError as error:
            problem = problem_of(error, resource.catalog)
            raise Problem(404, problem.detail, problem.errors) from None
        return bool(found(row)["count"])

    async def add_link(key: Key, other: Other, caller: Editor, database: Pool) -> Response:
        await changed(database, link_sql, caller, key, other)
        return Response(status_code=204)

    for method in ("PUT", "POST"):
        router.add_api_route(
            path,
            add_link,
            methods=[method],
            status_code=204,
            name=f"{method.lower()}_{link.name}",
            operation_id=resource.named("link" if method == "PUT" else "add", words(link.path)),
            summary="Link a row with another",
            description="Also where they are linked already.",
            openapi_extra=parameters,
            responses={204: {"description": "They are linked."}, **statuses},
        )

    @router.delete(
        path,
        status_code=204,
        name=f"delete_{link.name}",
        operation_id=resource.named("unlink", words(link.path)),
        summary="Unlink a row from another",
        openapi_extra=parameters,
        responses={204: {"description": "They are linked no longer."}, **statuses},
    )
    async def remove_link(key: Key, other: Other, caller: Editor, database: Pool) -> Response:
        if not await changed(database, unlink_sql, caller, key, other):
            raise Problem(404)
        return Response(status_code=204)
