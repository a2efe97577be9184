"""`python -m bench.provider PORT PARENTS RECORDS`: an API that answers each request in 20 ms.

As many records in all, the same number for each parent, and each listing is one page.
"""

import asyncio
import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SECONDS = 0.02


def page(records: list[dict[str, object]], next_token: str | None = None) -> bytes:
    pagination = {"next_token": next_token, "previous_token": None, "page_size": 100}
    return json.dumps({"data": records, "pagination": pagination}).encode()


def application(parents: int, records: int) -> Starlette:
    async def log_in(_: Request) -> Response:
        return JSONResponse({"access_token": "token"})

    async def list_parents(request: Request) -> Response:
        await asyncio.sleep(SECONDS)
        start = int(request.query_params.get("pagination_token", 0))
        end = start + int(request.query_params["page_size"])
        found = [parent(number) for number in range(start, min(end, parents))]
        return Response(page(found, str(end) if end < parents else None))

    async def list_children(request: Request) -> Response:
        await asyncio.sleep(SECONDS)
        start = int(request.path_params["key"]) * (records // parents)
        return Response(page([child(start + number) for number in range(records // parents)]))

    async def list_programmes(_: Request) -> Response:
        await asyncio.sleep(SECONDS)
        programme = {"id": "p", "name": "Programme", "duration": 12, "description": None}
        return Response(page([programme]))

    return Starlette(
        routes=[
            Route("/login", log_in, methods=["POST"]),
            Route("/apprenticeships", list_parents),
            Route("/apprenticeships/{key}/projects", list_children),
            Route("/programmes", list_programmes),
        ]
    )


def parent(number: int) -> dict[str, object]:
    return {
        "id": str(number),
        "name": f"Apprenticeship {number}",
        "programme_id": "p",
        "modified_date": "2026-02-03T09:15:00.125000",
        "first_name": "Alma",
        "last_name": "Fernfield",
        "email_address": f"alma.{number}@example.org",
    }


def child(number: int) -> dict[str, object]:
    return {
        "id": f"j-{number}",
        "title": f"Project {number}",
        "description": "Readings of all sensors,\nin one place.",
        "status": "submitted",
    }


if __name__ == "__main__":
    port, *counts = map(int, sys.argv[1:])
    app = application(*counts)
    uvicorn.run(app, port=port, log_level="critical", access_log=False)
