"""A provider of apprenticeships, with an API that misbehaves as it is told to."""

import asyncio
import base64
import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

USERNAME, PASSWORD = "assay", "a password of the provider"
Record = dict[str, Any]


@dataclass
class Provider:
    """What it has, and what was asked."""

    apprenticeships: dict[str, Record] = field(default_factory=dict)
    programmes: dict[str, Record] = field(default_factory=dict)
    projects: dict[str, list[Record]] = field(default_factory=dict)
    """By the apprenticeship."""
    faults: dict[int, str] = field(default_factory=dict)
    """By the number of the request, from 1."""
    largest_page: int = 50
    seconds: float = 0
    """How long it thinks about a page."""
    logins: int = 0
    tokens: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    is_endless: bool = False
    allowed: int | None = None
    """Requests; after that it asks to wait for an hour."""
    port: int = 0
    _generation: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fill(self, apprenticeships: int, programmes: int, projects: int) -> None:
        """So many of each, and nothing else; the projects are dealt out in turn."""
        for records in (self.apprenticeships, self.programmes, self.projects):
            records.clear()
        for number in range(programmes):
            key = f"p-{number}"
            self.programmes[key] = {
                "id": key,
                "name": f"Programme {number}",
                "duration": number % 36 + 1,
                "description": f"Line {number}\nand another",
            }
        for number in range(apprenticeships):
            modified = datetime(2026, 2, 3) + number * timedelta(minutes=20, microseconds=5)  # noqa: DTZ001 - it says no zone
            self.put(f"a-{number}", modified.isoformat(), f"p-{number % programmes}")
        keys = itertools.cycle(list(self.apprenticeships))
        for number, key in zip(range(projects), keys, strict=False):
            self.projects.setdefault(key, []).append(
                {
                    "id": f"j-{number}",
                    "title": f"Project {number}",
                    "description": None,
                    "status": ("pending", "submitted", "graded")[number % 3],
                }
            )

    def put(self, key: str, modified: str, programme: str, **changes: Any) -> None:
        """Make an apprenticeship, or change it."""
        self.apprenticeships[key] = {
            "id": key,
            "name": f"Apprenticeship {key}",
            "programme_id": programme,
            "modified_date": modified,
            "first_name": "Alma",
            "last_name": f"Of {key}",
            "email_address": f"{key}@Example.org",
        } | changes

    async def log_in(self, request: Request) -> Response:
        form = await request.form()
        if (form["username"], form["password"]) != (USERNAME, PASSWORD):
            return JSONResponse({}, 401)
        self.logins += 1
        token = f"token-{self._generation}.{self.logins}"
        self.tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "bearer"})

    async def list_apprenticeships(self, request: Request) -> Response:
        after = request.query_params.get("modified_after", "")
        found = [r for r in self.apprenticeships.values() if r["modified_date"] > after]
        return await self._answer(request, found)

    async def list_programmes(self, request: Request) -> Response:
        return await self._answer(request, list(self.programmes.values()))

    async def list_projects(self, request: Request) -> Response:
        key = request.path_params["key"]
        if key not in self.apprenticeships:
            return JSONResponse({"detail": "not found"}, 404)
        return await self._answer(request, self.projects.get(key, []))

    async def _answer(self, request: Request, records: list[Record]) -> Response:
        self.asked.append((request.url.path, dict(request.query_params)))
        fault = self.faults.pop(len(self.asked), "")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            return self._page(request, records, fault)
        finally:
            self.at_once -= 1

    def _page(  # noqa: C901, PLR0911, PLR0912 - each fault is a line
        self, request: Request, records: list[Record], fault: str
    ) -> Response:
        if fault == "token ran out":
            self.tokens.clear()
        if fault == "restart":
            threading.Thread(target=self._restart).start()
            return _cut_off(b"")
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return Response(status_code=401)
        if fault == "busy":
            return Response(status_code=429, headers={"Retry-After": "0"})
        if self.allowed is not None and len(self.asked) > self.allowed:
            return Response(status_code=429, headers={"Retry-After": "3600"})
        if fault == "bad gateway":
            return Response(status_code=502)
        if fault == "failure":
            return Response("out of order", 500)
        if fault == "another page size":
            self.largest_page -= 7
        size = min(int(request.query_params.get("page_size", 10)), self.largest_page)
        given = request.query_params.get("pagination_token")
        token = json.loads(base64.urlsafe_b64decode(given)) if given else {"start": 0}
        if given and (token["by"], token["size"]) != (self._generation, size):
            return Response("Internal Server Error", 500)
        start, end = token["start"], token["start"] + size
        next_token = None
        if end < len(records) or self.is_endless:
            next_token = self._token(min(end, len(records)), size)
        if fault == "repeated page":
            next_token = self._token(start, size)
        if fault == "repeated token":
            next_token = given or self._token(start, size)
        pagination = {"next_token": next_token, "previous_token": None, "page_size": size}
        body: dict[str, Any] = {"data": records[start:end], "pagination": pagination}
        if fault == "no pagination":
            del body["pagination"]
        content = json.dumps(body).encode()
        return _cut_off(content) if fault == "cut off" else Response(content)

    def _token(self, start: int, size: int) -> str:
        # an endless listing gives a new token each time
        token = {"by": self._generation, "start": start, "size": size, "number": len(self.asked)}
        return base64.urlsafe_b64encode(json.dumps(token).encode()).decode()

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        app = Starlette(
            routes=[
                Route("/login", self.log_in, methods=["POST"]),
                Route("/apprenticeships", self.list_apprenticeships),
                Route("/apprenticeships/{key}/projects", self.list_projects),
                Route("/programmes", self.list_programmes),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        assert self._server
        assert self._thread
        self._server.should_exit = True
        self._thread.join(10)

    def _restart(self) -> None:
        """Tokens of pages, and of logins, were of the server that was."""
        self.stop()
        self._generation += 1
        self.tokens.clear()
        time.sleep(0.2)
        with contextlib.suppress(OSError):
            self.start()


def _cut_off(content: bytes) -> Response:
    """What is announced does not come."""
    return Response(content[: len(content) // 2], headers={"Content-Length": str(len(content) + 9)})


@contextmanager
def running() -> Iterator[Provider]:
    """On a free port of loopback."""
    provider = Provider()
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()
