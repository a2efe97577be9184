"""Files sent to an entity: loaded, built and reported, or only rehearsed."""

import json
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from api.audit import audit
from api.builds import PATIENCE_SECONDS, TURN_SECONDS, Builds, detail_of
from api.cursor import check_parameters
from api.database import Pool
from api.errors import Problem, documented
from api.flags import flag, read_flag
from api.forms import MEDIA_TYPE, boundary_of, receive_file
from api.limits import take
from api.loads import LoadReport, Reports, location_of
from api.rejected import Rejected
from api.resource import PREFIX, READING, answer
from api.router import Router
from api.schemas import name_of
from api.security import Subject, uploader_of
from api.users import User
from assay.catalog import Catalog, Entity

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "title": "FileUpload",
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": (
                                "A workbook if its name ends in `.xlsx`, text with delimiters if "
                                "in `.csv`, `.tsv` or `.txt`, as far as the source takes them."
                            ),
                        }
                    },
                }
            }
        },
    }
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "enum": ["respond-async"]},
    "description": "Answer 202 once the file is loaded, which is when nothing can lose it.",
}
_DESCRIPTION = """
Loads the file and builds from it. What breaks a rule is set aside and reported, and takes no good
row with it. Bytes that were loaded before are not loaded again: the report is that of the earlier
load. If it is not built 5 seconds after it came the answer is 202, once it is loaded: the file is
kept, and the report at `Location` names in `pending` what still has to be built. Files are taken
one after another; one that is not begun within 30 seconds is not taken, and the answer is 503 with
`Retry-After`. The same file sent again finishes what a server left that died.
"""
_KEPT = "The file is kept, and still to be built."


DryRun = Annotated[str, flag("Judge the file and report; keep nothing of it.")]
Force = Annotated[str, flag("Load the file also if the same bytes were loaded before.")]


Encoding = Annotated[
    str,
    Query(
        description="What a text file is in, such as `cp1252` or `utf-16`; else what its source "
        "declares, or UTF-8. A byte order mark wins.",
    ),
]


class UploadReport(LoadReport):
    already_loaded: bool
    """Whether the same bytes were loaded before, and this is the report of that load."""
    rejected_rows: list[Rejected] = Field(
        default_factory=list, description="Of a dry run: the first hundred."
    )


@dataclass(frozen=True)
class Asked:
    boundary: bytes
    is_rehearsal: bool
    force: bool
    is_async: bool
    encoding: str
    """"" is what the source declares."""


def router_of(entity: Entity, catalog: Catalog, reports: Reports, max_megabytes: int) -> Router:
    fed = {fed.name: fed for source in entity.source_tables for fed in catalog.fed_by(source)}
    router = Router(prefix=f"{PREFIX}/{entity.path}", tags=[entity.title])

    right = uploader_of(fed.values())

    async def read(
        request: Request,
        _subject: Subject,
        dry_run: DryRun,
        force: Force,
        encoding: Encoding = "",
    ) -> Asked:
        take(request, "uploads", str(request.state.user_id))
        check_parameters(request, "dry_run", "force", "encoding")
        return Asked(
            boundary=boundary_of(request, max_megabytes),
            is_rehearsal=read_flag("dry_run", dry_run),
            force=read_flag("force", force),
            is_async=_prefers_async(request),
            encoding=encoding,
        )

    @router.put(
        "",
        summary="Upload a file",
        operation_id=f"upload{name_of(entity)}",
        description=_DESCRIPTION,
        openapi_extra={**_FORM, "parameters": [_PREFER]},
        responses={
            200: {"model": UploadReport},
            202: {"model": UploadReport, "description": _KEPT},
            **documented(413, 415, *READING),
        },
    )
    async def upload(
        request: Request,
        asked: Annotated[Asked, Depends(read)],
        subject: Subject,
        _caller: Annotated[User, Depends(right)],
        database: Pool,
        builder: Builds,
    ) -> Response:
        async with receive_file(request, asked.boundary, max_megabytes) as file:
            caller = await right(request, subject)  # the file may have taken minutes to come
            job = builder.submit(
                "rehearse" if asked.is_rehearsal else "upload",
                request.state.request_id,
                TURN_SECONDS,
                entity=entity.name,
                path=str(file.path),
                file_name=file.name,
                user=caller.username,
                force=asked.force,
                encoding=asked.encoding,
            )
            load = await job.loaded()
            if load is None:
                outcome = await job.ended()
            else:
                hurries = asked.is_async and not load.already_loaded
                outcome = await job.ended(0 if hurries else PATIENCE_SECONDS)
        if load is None:
            said = detail_of(outcome)
            return _answer(said["report"], said["already_loaded"], said["rejected_rows"])
        location = location_of(load.load_id)
        await audit(database, request, "upload_complete", caller.username, target=location)
        if outcome.status not in ("done", "running", "died"):
            raise Problem(
                503,
                f"The file is kept as load {load.load_id}, but building it failed; the log has the "
                "cause under this request id. It waits for the next build, or for the same file.",
                headers={"Location": location, "Retry-After": "60"},
            )
        body = await reports.read(database, load.load_id)
        response = _answer(body, load.already_loaded)
        if outcome.status != "done":
            response.status_code = 202
            response.headers["Location"] = location
            if asked.is_async:
                response.headers["Preference-Applied"] = "respond-async"
        return response

    return router


def _answer(report: str, already_loaded: bool, rejected_rows: str | None = None) -> Response:
    """PostgreSQL's JSON with more members at its end."""
    more = f',"already_loaded":{json.dumps(already_loaded)}'
    if rejected_rows is not None:
        more += f',"rejected_rows":{rejected_rows}'
    return answer(f"{report.removesuffix('}')}{more}}}")


def _prefers_async(request: Request) -> bool:
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return "respond-async" in (p.partition(";")[0].strip() for p in preferences)
