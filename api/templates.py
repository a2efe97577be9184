"""Workbooks to fill in and upload: an empty one, and one with the rejected rows of a load."""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.cursor import check_parameters
from api.database import Database
from api.errors import Fault, Problem, documented, invalid
from api.resource import PREFIX, READING, found
from api.security import Subject, reader_of
from api.users import User
from api.workbooks import (
    DOCUMENTED,
    MAX_CHARACTERS,
    MAX_ROWS,
    Download,
    Meaning,
    Sheet,
    neutral,
    write_guidelines,
    writing,
)
from assay.catalog import Catalog, Entity, SourceTable
from loader.report import rows_to_mend, rules_as_json

MORE = ["Row of the file", "Text of a row without columns", "Why it was rejected"]
"""Headers after those of the source; uploaded again, they are kept beside the data."""

_PAGE = 500
_BUSY = asyncio.Semaphore(2)
"""Workbooks of rejected rows that are made at once in a process: each may take long."""

Source = Annotated[
    str, Query(default_factory=str, description="Which source table, where there are several.")
]


def router_of(entity: Entity, catalog: Catalog) -> APIRouter:
    router = APIRouter(tags=[entity.title])

    async def asked(request: Request, _subject: Subject, source: Source) -> SourceTable:
        check_parameters(request, "source")
        names = entity.source_tables
        if "source" not in request.query_params and len(names) == 1:
            return catalog.source_tables[names[0]]
        if source not in names:
            detail = f"Give one of these: {', '.join(names)}."
            raise invalid(Fault(detail, parameter="source"))
        return catalog.source_tables[source]

    @router.get(
        f"{PREFIX}/{entity.path}/template.xlsx",
        summary="Read the workbook to fill in and upload",
        response_class=Response,
        responses={200: DOCUMENTED, **documented(*READING)},
    )
    async def read_template(
        source: Annotated[SourceTable, Depends(asked)],
        _caller: Annotated[User, Depends(reader_of(entity))],
    ) -> Response:
        return await asyncio.to_thread(_template, catalog, source)

    return router


def _template(catalog: Catalog, source: SourceTable) -> Response:
    with writing() as (workbook, file):
        meaning = Meaning(catalog, source)
        Sheet(workbook, source, meaning, [])
        write_guidelines(workbook, source, meaning)
        workbook.close()
    return Download(file, f"{source.name}.template.xlsx")


async def rejected_workbook(
    database: Database, catalog: Catalog, source: SourceTable, load_id: str
) -> Response:
    """The rejected rows of a load, each once, with what is wrong with it.

    Raises:
        Problem: 422, there are more than a sheet takes; 503, others are being made.
    """
    if _BUSY.locked():
        raise Problem(503, "Other workbooks are being made; try again soon.")
    statement = rows_to_mend(source, MAX_CHARACTERS)
    rules = rules_as_json(catalog)
    entities = [entity.name for entity in catalog.fed_by(source.name)]
    async with _BUSY:
        with writing() as (workbook, file):
            meaning = Meaning(catalog, source)
            sheet = Sheet(workbook, source, meaning, MORE)
            for position, entity in enumerate(entities):
                last = 0
                while True:
                    values = (_PAGE, load_id, rules, entity, last, entities[:position])
                    row = found(await database.fetch_row(statement, *values))
                    items = json.loads(row["items"])
                    if not items:
                        break
                    last = items[-1][0]
                    await asyncio.to_thread(_write_rejected, sheet, source, items)
            write_guidelines(workbook, source, meaning)
            await asyncio.to_thread(workbook.close)
    return Download(file, f"load-{load_id}-rejected.xlsx")


def _write_rejected(sheet: Sheet, source: SourceTable, items: list[list[Any]]) -> None:
    if sheet.rows + len(items) > MAX_ROWS:
        raise Problem(
            422,
            f"More than {MAX_ROWS:,} rows were rejected, which is what a sheet takes: mend the "
            "file itself.",
        )
    headers = [column.header for column in source.columns]
    for number, messages, cells, malformed in items:
        texts = [None if text is None else neutral(text) for text in (*cells, malformed)]
        # Half a text must not be taken for the whole when the row comes back.
        too_long = [
            header
            for header, text in zip((*headers, MORE[1]), texts, strict=True)
            if text is not None and len(text) > MAX_CHARACTERS
        ]
        kept = [None if text and len(text) > MAX_CHARACTERS else text for text in texts]
        reasons = messages + [
            f"{header}: left out here, since a cell holds {MAX_CHARACTERS:,} characters."
            for header in too_long
        ]
        said = "\n".join(reasons)[:MAX_CHARACTERS]
        sheet.write([*kept[:-1], str(number), kept[-1], said])
