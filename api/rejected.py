"""The rows of a load that were rejected, each with its rules; also as a workbook to mend."""

from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import BaseModel, TypeAdapter, WithJsonSchema

from api.cursor import Cursor, Limit, Page, page_body, read_page
from api.database import Database, Pool
from api.errors import Problem, documented
from api.exports import Export
from api.fields import MaybeText, NextCursor
from api.formats import WORKBOOK
from api.limits import take
from api.loads import ID_TYPE, PARAMETER, Reports, Visible, asked_load, load_right_of, read_load_id
from api.resource import PREFIX, READING, answer, found
from api.router import Router
from api.schemas import Warned
from api.security import Subject, check_personal_data
from api.templates import cells_of_source, sheet_of
from api.users import User
from assay.catalog import Catalog, SourceTable
from loader.headers import ADDED
from loader.report import all_rejected, page_of_rejected

_TO_MEND = (
    "In the form of their source, to be mended and uploaded as it is: the last columns, which say "
    "where a row stood and what is wrong with it, are not read."
)


class Rejected(BaseModel):
    """A row that broke rules, as it came; `malformed` has its text if it had no columns.

    `proposals` are what its values may have been, as far as anybody knows:
    `column: given -> proposed`.
    Of a cell of more than 1,000 characters the first are shown, then `… (36000 characters)`.
    """

    entity: str
    row_number: int
    rules: list[Warned]
    proposals: list[str]
    row: Annotated[
        dict[str, str | None] | None,
        WithJsonSchema(
            {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}
        ),
    ]
    malformed: MaybeText


class RejectedPage(BaseModel):
    items: list[Rejected]
    next: NextCursor


async def _asked_rejected(
    request: Request, _subject: Subject, limit: Limit, cursor: Cursor = ""
) -> tuple[str, Page]:
    page = read_page(request, limit, cursor, (TypeAdapter(str), ID_TYPE))
    return read_load_id(request), page


def router_of(catalog: Catalog, reports: Reports) -> Router:
    router = Router(prefix=f"{PREFIX}/loads", tags=["Loads"])
    visible = Visible(catalog)
    LoadReader = Annotated[User, Depends(load_right_of(visible, "reader"))]  # noqa: N806 - a type

    @router.get(
        "/{load_id}/rejected",
        summary="List the rejected rows of a load",
        openapi_extra={"parameters": [PARAMETER]},
        responses={200: {"model": RejectedPage}, **documented(*READING)},
    )
    async def list_rejected(
        request: Request,
        asked: Annotated[tuple[str, Page], Depends(_asked_rejected)],
        caller: LoadReader,
        database: Pool,
    ) -> Response:
        load_id, page = asked
        source = await source_of(request, database, load_id, caller)
        sql = page_of_rejected(source, is_first=not page.after)
        row = found(await database.fetch_row(sql, page.limit, load_id, reports.rules, *page.after))
        return answer(page_body(row["items"], row["last"]))

    @router.get(
        "/{load_id}/rejected.xlsx",
        summary="Get the rejected rows of a load as a workbook",
        description=_TO_MEND,
        openapi_extra={"parameters": [PARAMETER]},
        response_class=Response,
        responses={200: WORKBOOK, **documented(*READING)},
    )
    async def read_rejected(
        request: Request,
        load_id: Annotated[str, Depends(asked_load)],
        caller: LoadReader,
        database: Pool,
    ) -> Response:
        source = await source_of(request, database, load_id, caller)
        take(request, "exports", str(caller.user_id))
        return Export(
            database,
            caller,
            f"rejected-{load_id}",
            all_rejected(source),
            (load_id, reports.rules),
            cells_of_source(source, *ADDED),
            "xlsx",
            sheet_of(source),
        )

    async def source_of(
        request: Request, database: Database, load_id: str, caller: User
    ) -> SourceTable:
        load, fed = await visible.load(database, load_id, caller)
        await check_personal_data(request, database, caller, fed)
        source = catalog.source_tables.get(load["source_table"])
        if source is None:
            raise Problem(404, "The source of this load is no longer part of the project.")
        return source

    return router
