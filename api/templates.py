"""Workbooks and files in the form of a source: to be filled, mended or changed, and uploaded."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import xlsxwriter
from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from api.cells import NUMBERS, Cell
from api.cursor import check_parameters, refuse
from api.errors import Problem, documented
from api.formats import MEDIA_TYPES, WORKBOOK
from api.resource import READING, Resource
from api.router import Router
from api.security import Subject, reader_of
from api.sheets import MAX_SHEET_ROWS
from api.users import User
from api.value_types import is_whole
from assay.catalog import Catalog, Column, Entity, SourceTable
from assay.data_types import base_type
from assay.ways_back import curated_of

SHEET = "Data to upload"
"""Where the source names none."""
_GUIDELINES = "Guidelines"
_HEADINGS = {"Column": 24, "Mandatory": 11, "Description": 60, "Example": 30, "Rules": 80}
_TEXT = 49
"""The number of the format `@` (ECMA-376, 18.8.30)."""
_MAX_LIST = 255
"""Characters of a drop-down's options, and of a note, that spreadsheets take."""
_MAX_MESSAGE = 255


def source_of(catalog: Catalog, entity: Entity, name: str | None, format_: str) -> SourceTable:
    """The source table of an entity that a query names; without one it is the only one.

    Raises:
        Problem: 422.
    """
    if name and name not in entity.file_sources:
        refuse("source", "There is no such source table.")
    if not name and len(entity.file_sources) != 1:
        options = ", ".join(entity.file_sources)
        refuse("source", f"Say which source: {options}." if options else "There is no source.")
    source = catalog.source_tables[name or entity.file_sources[0]]
    if format_ not in source.formats:
        raise Problem(422, f"{source.name} takes {', '.join(source.formats)} only.")
    return source


def cells_of_source(source: SourceTable, *others: str) -> tuple[Cell, ...]:
    """The columns of its files, and those with other headers."""
    return tuple(Cell(name, "text") for name in (*(c.header for c in source.columns), *others))


def sheet_of(source: SourceTable) -> str:
    return source.sheet or SHEET


def router_of(resource: Resource) -> Router:
    entity = resource.entity
    router = Router(prefix=resource.path, tags=[entity.title])
    options = {"type": "string", "enum": list(entity.file_sources)}
    description = "Which source, where there are several."
    parameter = {"name": "source", "in": "query", "description": description, "schema": options}
    Reader = Annotated[User, Depends(reader_of(entity))]  # noqa: N806 - a type

    async def asked(request: Request, _subject: Subject) -> SourceTable:
        check_parameters(request, "source")
        name = request.query_params.get("source")
        if name == "":
            refuse("source", "There is no such source table.")
        return source_of(resource.catalog, entity, name, "xlsx")

    @router.get(
        "/template.xlsx",
        summary="Get a workbook to fill and upload",
        operation_id=resource.named("get", "Template"),
        description="Drop-downs, cell checks and the sheet Guidelines come from the contract.",
        openapi_extra={"parameters": [parameter]},
        response_class=Response,
        responses={200: WORKBOOK, **documented(*READING)},
    )
    async def read_template(
        source: Annotated[SourceTable, Depends(asked)], _caller: Reader
    ) -> Response:
        content = await run_in_threadpool(_made, entity, source)
        name = f'attachment; filename="{entity.name}-template.xlsx"'
        return Response(content, 200, {"Content-Disposition": name}, MEDIA_TYPES["xlsx"])

    return router


def _made(entity: Entity, source: SourceTable) -> bytes:
    with TemporaryDirectory(prefix="assay-template-") as folder:
        path = Path(folder) / "template.xlsx"
        with xlsxwriter.Workbook(str(path)) as book:
            _write_data(book, entity, source)
            _write_guidelines(book, entity, source)
        return path.read_bytes()


def _write_data(book: Any, entity: Entity, source: SourceTable) -> None:  # noqa: ANN401 - untyped
    sheet = book.add_worksheet(sheet_of(source))
    text = book.add_format({"num_format": _TEXT})
    plain = book.add_format({"bold": True, "bottom": 1})
    mandatory = book.add_format({"bold": True, "bottom": 1, "bg_color": "#FFE699"})
    for place, column in enumerate(source.columns):
        curated = curated_of(column, entity)
        is_number = curated is not None and base_type(curated.data_type) in NUMBERS
        width = max(14, min(60, len(column.header) + 4))
        # a spreadsheet would take 65-85-0 for a date, and the last zero from 0.10
        sheet.set_column(place, place, width, None if is_number else text)
        header = mandatory if _is_mandatory(curated) else plain
        sheet.write_string(0, place, column.header, header)
        if column.description:
            sheet.write_comment(0, place, column.description)
        if curated is not None and (check := _check(curated)):
            rules = [r.message for r in entity.rules if r.columns == (curated.name,)]
            sheet.data_validation(
                *(1, place, MAX_SHEET_ROWS, place),
                {
                    **check,
                    "ignore_blank": True,
                    # staging may repair what is wrong here, so it can be kept
                    "error_type": "warning",
                    "error_message": " ".join(rules)[:_MAX_MESSAGE],
                },
            )
    sheet.freeze_panes(1, 0)


def _check(column: Column) -> dict[str, Any] | None:
    """The contract's rules of one value, as far as a spreadsheet knows such."""
    options = [str(option) for option in column.enum]
    if options and len(",".join(options)) <= _MAX_LIST and not any("," in o for o in options):
        return {"validate": "list", "source": options}
    if base_type(column.data_type) in NUMBERS and (column.minimum or column.maximum):
        limits = (limit for limit in (column.minimum, column.maximum) if limit)
        numbers = [float(limit) if "." in limit else int(limit) for limit in limits]
        kind = {"validate": "integer" if is_whole(column.data_type) else "decimal"}
        if column.minimum and column.maximum:
            return kind | {"criteria": "between", "minimum": numbers[0], "maximum": numbers[1]}
        return kind | {"criteria": ">=" if column.minimum else "<=", "value": numbers[0]}
    if column.max_length is not None:
        return {"validate": "length", "criteria": "<=", "value": column.max_length}
    return None


def _write_guidelines(book: Any, entity: Entity, source: SourceTable) -> None:  # noqa: ANN401
    sheet = book.add_worksheet(_GUIDELINES)
    bold = book.add_format({"bold": True, "bottom": 1})
    cell = book.add_format({"text_wrap": True, "valign": "top"})
    for place, (heading, width) in enumerate(_HEADINGS.items()):
        sheet.set_column(place, place, width, cell)
        sheet.write_string(0, place, heading, bold)
    for row, column in enumerate(source.columns, start=1):
        curated = curated_of(column, entity)
        name = curated.name if curated else ""
        examples = column.examples or (curated.examples if curated else ())
        guidance = (
            column.header,
            "yes" if _is_mandatory(curated) else "no",
            column.description or (curated.description if curated else ""),
            "\n".join(map(str, examples)),
            "\n".join(rule.message for rule in entity.rules if name in rule.columns),
        )
        for place, text in enumerate(guidance):
            sheet.write_string(row, place, text, cell)
    others = {curated_of(column, entity) for column in source.columns}
    told = {column.name for column in others if column}
    rest = [
        rule.message
        for rule in entity.rules
        if rule.columns
        and not told.intersection(rule.columns)
        and not all(entity.columns_by_name[c].is_server_owned for c in rule.columns)
    ]
    for row, message in enumerate(rest, start=len(source.columns) + 2):
        sheet.write_string(row, len(_HEADINGS) - 1, message, cell)
    sheet.freeze_panes(1, 0)


def _is_mandatory(curated: Column | None) -> bool:
    """Whether each row needs a value."""
    return curated is not None and not curated.is_nullable and curated.default is None
