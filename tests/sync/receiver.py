"""A system that takes deliveries, and misbehaves as it is told to."""

import asyncio
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Batch = list[dict[str, Any]]
USERNAME, PASSWORD = "assay", "a password of the receiver"


class Gone(Exception):  # noqa: N818
    """The server ends without an answer."""


@dataclass
class System:
    """What it was sent, and what it made of it."""

    url: str
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)
    """How often each idempotency key came."""
    keys_of: dict[str, set[str]] = field(default_factory=dict)
    """The idempotency keys of each row's changes."""
    newest: dict[str, int] = field(default_factory=dict)
    in_flight: Counter[str] = field(default_factory=Counter)
    overlaps: list[str] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    logins: int = 0
    tokens: set[str] = field(default_factory=set)
    plan: deque[str] = field(default_factory=deque)
    """What happens to the next requests; then all is well."""
    poison: dict[str, int] = field(default_factory=dict)
    """Keys of rows with which a batch is answered this status."""
    always: Response | None = None
    """What every batch is answered."""
    seconds: float = 0
    """How long it thinks about each batch."""
    on_batch: Callable[[Batch], None] = lambda _batch: None

    def take(self, batch: Batch) -> None:
        """A key that it knows is no news; of two changes of a row the later one holds."""
        for change in batch:
            key, number = change["key"], change["number"]
            self.taken[change["idempotency_key"]] += 1
            self.keys_of.setdefault(key, set()).add(change["idempotency_key"])
            if self.taken[change["idempotency_key"]] > 1 or number < self.newest.get(key, 0):
                continue
            self.newest[key] = number
            self.rows.pop(key, None)
            if change["operation"] == "upsert":
                self.rows[key] = change["row"]

    async def log_in(self, request: Request) -> Response:
        self.logins += 1
        form = await request.form()
        if self.plan and self.plan[0] == "no login":
            self.plan.popleft()
            return JSONResponse({}, 503)
        if self.plan and self.plan[0] == "garbled login":
            self.plan.popleft()
            return JSONResponse({"access_token": None})
        assert (form["grant_type"], form["username"], form["password"]) == (
            "password",
            USERNAME,
            PASSWORD,
        )
        token = f"token {self.logins}"
        self.tokens.add(token)
        return JSONResponse({"access_token": token, "token_type": "bearer"})

    async def receive(self, request: Request) -> Response:
        batch: Batch = await request.json()
        keys = [change["idempotency_key"] for change in batch]
        self.overlaps += [key for key in keys if self.in_flight[key]]
        self.in_flight.update(keys)
        try:
            return await self._answer(request, batch)
        finally:
            self.in_flight.subtract(keys)

    def _answers(self) -> dict[str, Response]:
        return {
            "fail": Response("out of order", 500),
            "redirect": Response(status_code=307, headers={"Location": self.url}),
            "busy": Response(status_code=429, headers={"Retry-After": "1"}),
        }

    async def _answer(self, request: Request, batch: Batch) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        plan = self.plan.popleft() if self.plan else "take"
        if plan == "token ran out":
            self.tokens.clear()
        if token not in self.tokens:
            return Response(status_code=401)
        await asyncio.sleep(self.seconds)
        self.batches.append(batch)
        self.on_batch(batch)
        if answer := self._answers().get(plan, self.always):
            return answer
        if plan == "hang":
            while not await request.is_disconnected():  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
            return Response(status_code=200)
        for change in batch:
            if status := self.poison.get(change["key"]):
                return Response("this is not for me", status)
        self.take(batch)
        if plan == "take and die":
            raise Gone
        return JSONResponse({"taken": len(batch)}, 202)


@contextmanager
def running() -> Iterator[System]:
    """On a free port of loopback; a batch that ends it without an answer closes the connection."""
    system = System("")

    async def receive(request: Request) -> Response:
        try:
            return await system.receive(request)
        except Gone:
            # what is announced does not come
            return Response(headers={"Content-Length": "1"})

    app = Starlette(
        routes=[
            Route("/token", system.log_in, methods=["POST"]),
            Route("/products", receive, methods=["POST"]),
        ]
    )
    with served(app) as system.url:
        yield system


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The URL of an application, while it runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
