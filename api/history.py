"""What was: the history of each row, the way back, and the feed of changes for other systems."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, create_model

from api.body import parse_object, read_body
from api.cursor import (
    CURSOR,
    VERSION,
    Page,
    encoded,
    limit_up_to,
    page_body,
    read_page,
    refuse,
)
from api.database import Pool
from api.errors import Fault, Problem, documented, invalid, pointer_to
from api.fields import MaybeText, NextCursor
from api.preconditions import DOCUMENTED_ETAG, tag_of
from api.proposal import warnings_of
from api.resource import READING, WRITING, Resource, answer, documented_body, found
from api.router import Router
from api.schemas import nullable
from api.security import Subject, editor_of, reader_of
from api.users import User
from assay.changes import BEGINNING, FeedError, page_of_changes

_TRANSACTION = Annotated[str, StringConstraints(strict=True, pattern="^[0-9]{1,19}$")]
_POSITION: tuple[TypeAdapter[Any], ...] = (
    TypeAdapter(_TRANSACTION),
    TypeAdapter(str),
    TypeAdapter(_TRANSACTION | None),
)

# A page of a large table costs one look at all its rows, however long the page is.
_MAX_CHANGES = 10_000
LongLimit = Annotated[str, limit_up_to(_MAX_CHANGES)]
Since = Annotated[
    str,
    Query(
        description="`next` of the page before, of now or long ago; empty for all rows.",
        json_schema_extra=CURSOR,
    ),
]


class Version(BaseModel):
    """What one event, of a load or an edit, made of a row."""

    version: int = Field(description="Its place in the order of all events.", examples=[12])
    operation: Literal["insert", "update", "delete"] = Field(examples=["update"])
    at: datetime
    by: str = Field(
        description="The user, or the load and its row.",
        examples=["load 3 row 5"],
    )
    cause: MaybeText = Field(description="Of a `revert to 12`, `unload 3` or `rejudge`.")


class Change(BaseModel):
    """A row as it is now, or that it is gone."""

    key: str = Field(description="The row's key as text.")
    operation: Literal["upsert", "delete"] = Field(examples=["upsert"])


class Revert(BaseModel):
    """Which version a row becomes again."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(description="`version` of an item of its history.", examples=[12])


async def _asked_version(request: Request, _subject: Subject) -> str:
    document = parse_object(await read_body(request, "application/json"))
    faults = [
        Fault("There is no such field.", pointer_to(name))
        for name in document
        if name not in Revert.model_fields
    ]
    try:
        version = VERSION.validate_python(document.get("version"))
    except ValueError:
        faults.append(Fault("The version is a whole number.", "#/version"))
    if faults:
        raise invalid(*faults)
    return str(version)


async def _asked_changes(
    request: Request, _subject: Subject, limit: LongLimit, since: Since = ""
) -> Page:
    return read_page(request, limit, since, _POSITION, name="since", maximum=_MAX_CHANGES)


def router_of(resource: Resource) -> Router:
    entity, plans, requests = resource.entity, resource.plans, resource.requests
    warnings = warnings_of(entity)
    versions, feed = _pages(resource.schemas.read)
    router = Router(prefix=resource.path, tags=[entity.title])
    of_key = {"parameters": [requests.documented_key()]}
    Reader = Annotated[User, Depends(reader_of(entity))]  # noqa: N806 - a type
    Editor = Annotated[User, Depends(editor_of(entity))]  # noqa: N806

    @router.get(
        "/changes",
        summary="Follow changes",
        operation_id=resource.named("list", "Changes"),
        description=(
            "For systems that keep a copy: what was written since a cursor, in an order to rely "
            "on, each row once as it is now. Keep `next` and send it as `since`, at once while "
            "there is `more`, else whenever you like. A write that is still under way comes with "
            "a later page, and so does what was written after it."
        ),
        responses={200: {"model": feed}, **documented(*READING)},
    )
    async def list_changes(
        page: Annotated[Page, Depends(_asked_changes)], caller: Reader, database: Pool
    ) -> Response:
        changes = page_of_changes(entity, {c.name: c.name for c in plans.seen(caller)})
        row = found(await database.fetch_row(changes, page.limit, *(page.after or BEGINNING)))
        if not row["is_whole"]:
            raise Problem(503, str(FeedError()))
        if not row["is_known"]:
            refuse("since", "The database was made from a dump since: begin anew, without since.")
        following, more = json.dumps(encoded(row["next"])), json.dumps(row["more"])
        return answer(f'{{"items":{row["items"]},"next":{following},"more":{more}}}')

    @router.get(
        "/{key}/history",
        summary="List the versions of a row, the newest first",
        operation_id=resource.named("list", "Versions"),
        description="What loads and edits made of it, also of a row that is deleted.",
        openapi_extra=of_key,
        responses={200: {"model": versions}, **documented(*READING)},
    )
    async def list_versions(
        asked: Annotated[tuple[str, Page], Depends(requests.key_and_page)],
        caller: Reader,
        database: Pool,
    ) -> Response:
        key, page = asked
        plan = plans.of(caller)
        sql = plan.next_versions if page.after else plan.first_versions
        row = found(await database.fetch_row(sql, page.limit, key, *page.after))
        return answer(page_body(row["items"], row["last"]))

    @router.post(
        "/{key}/revert",
        summary="Make a row what it was",
        operation_id=resource.named("revert", "Row"),
        description=(
            "A new edit, with all columns as that version has them; a deleted row comes back "
            "under its key. Today's rules hold."
        ),
        openapi_extra={**of_key, **documented_body(Revert.model_json_schema())},
        responses={
            200: {"model": resource.schemas.written, "headers": DOCUMENTED_ETAG},
            **documented(*WRITING),
        },
    )
    async def revert_row(
        key: Annotated[str, Depends(requests.key)],
        version: Annotated[str, Depends(_asked_version)],
        caller: Editor,
        database: Pool,
    ) -> Response:
        # It sets all columns, also those that the caller may not see.
        plans.check(caller, entity.columns_by_name)
        values = (version, caller.username, entity.name, warnings, key)
        plan = plans.of(caller)
        row = found(await database.write_row(entity.name, plan.revert, *values))
        if row["is_deletion"]:
            detail = f"Version {version} is a deletion: DELETE the row instead."
            raise invalid(Fault(detail, "#/version"))
        return answer(row["body"], headers=tag_of(row["version"]))

    return router


def _pages(row: type[BaseModel]) -> tuple[type[BaseModel], type[BaseModel]]:
    """Pages of versions and of changes."""
    maybe_row: Any = nullable(row)
    name = row.__name__
    version = create_model(
        f"{name}Version",
        __base__=Version,
        before=(maybe_row, Field(description="Null for an insert.")),
        after=(maybe_row, Field(description="What the event left; null for a deletion.")),
    )
    change = create_model(
        f"{name}Change",
        __base__=Change,
        row=(maybe_row, Field(description="Null for a deletion.")),
    )
    versions = create_model(f"{name}Versions", items=(list[version], ...), next=(NextCursor, ...))  # type: ignore[valid-type]
    changes = create_model(
        f"{name}Changes",
        items=(list[change], ...),  # type: ignore[valid-type]
        next=(str, Field(description="Keep it: the next `since`.")),
        more=(bool, Field(description="Whether there is more now.")),
    )
    return versions, changes
