"""The build worker as the API sees it: jobs in, answers out, and it is started when it died."""

import asyncio
import json
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

from fastapi import Depends, Request

from api.errors import Fault, Problem, invalid
from assay.settings import Settings

PATIENCE_SECONDS = 5.0
"""How long a request waits for a job that needs nobody to wait for it."""
TURN_SECONDS = 30.0
"""How long a job that cannot be waited for elsewhere waits to be begun."""
SHUTDOWN_SECONDS = 20
"""How long what runs may go on once the server is to end."""
_TERMINATION_SECONDS = 5.0
# A line may hold a hundred rows as they came.
_LONGEST_ANSWER = 1 << 30

_BUSY = "Other jobs came first, and this one was not begun: try again later."
_ENDING = "The server is about to stop, and this was not begun: try again soon."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Commitment:
    """A load that nothing can lose any more."""

    load_id: int
    already_loaded: bool


@dataclass(frozen=True)
class Outcome:
    """How a job ended, as the worker says; or that it runs, was never begun, or the worker died."""

    status: Literal["done", "refused", "away", "failed", "broken", "running", "withdrawn", "died"]
    detail: Any = None


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(frozen=True, eq=False)
class Job:
    """What was asked of the worker; it goes on whether somebody waits or not."""

    request_id: str
    line: bytes
    asked_at: float = field(default_factory=time.monotonic)
    committed: asyncio.Future[Commitment | None] = field(default_factory=_future)
    outcome: asyncio.Future[Outcome] = field(default_factory=_future)

    async def loaded(self) -> Commitment | None:
        """The load, once it is committed; None once the job ended without one."""
        # A request that is cancelled takes nothing of the job with it.
        return await asyncio.shield(self.committed)

    async def ended(self, after: float | None = None) -> Outcome:
        """The outcome, or that it is running that many seconds after it was asked for."""
        if after is not None:
            after = max(0, self.asked_at + after - time.monotonic())
        await asyncio.wait([self.outcome], timeout=after)
        return self.outcome.result() if self.outcome.done() else Outcome("running")

    def end(self, outcome: Outcome) -> None:
        if not self.committed.done():
            self.committed.set_result(None)
        self.outcome.set_result(outcome)
        if outcome.status not in ("done", "refused"):
            _log.error("request %s: %s: %s", self.request_id, outcome.status, outcome.detail)


class Builder:
    """Owns one worker, which does one job at a time, in the order in which they came."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting: set[Job] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends_at: float | None = None

    def warm_up(self) -> None:
        """Start the worker before somebody needs it."""
        self._go_on(self._warm_up())

    def submit(
        self, work: str, request_id: str, turn_within: float | None = None, **arguments: object
    ) -> Job:
        """Ask for a job, withdrawn if it is not begun within that many seconds."""
        line = json.dumps({"work": work, "arguments": arguments}).encode() + b"\n"
        job = Job(request_id, line)
        self._waiting.add(job)
        if self._is_closing:
            self._withdraw(job, _ENDING)
        else:
            self._go_on(self._do(job))
        if turn_within is not None:
            asyncio.get_running_loop().call_later(turn_within, self._withdraw, job, _BUSY)
        return job

    def begin_to_close(self) -> None:
        """Begin no job any more; the one that runs has a while to finish."""
        if not self._is_closing:
            self._ends_at = time.monotonic() + SHUTDOWN_SECONDS
        for job in tuple(self._waiting):
            self._withdraw(job, _ENDING)

    async def close(self) -> None:
        """End the worker, at the latest when the while that began with closing is over."""
        self.begin_to_close()
        assert self._ends_at is not None  # noqa: S101 - it began
        process = self._process
        if process and process.returncode is None:
            assert process.stdin  # noqa: S101 - both were asked for
            process.stdin.close()
            if not await _ends(process, self._ends_at - time.monotonic()):
                with suppress(ProcessLookupError):
                    process.terminate()
                if not await _ends(process, _TERMINATION_SECONDS):
                    await _kill(process)
        await asyncio.gather(*self._tasks)

    @property
    def waiting(self) -> int:
        """Jobs that are not begun."""
        return len(self._waiting)

    @property
    def _is_closing(self) -> bool:
        return self._ends_at is not None

    def _withdraw(self, job: Job, reason: str) -> None:
        """Take a job back, unless it was begun."""
        if job in self._waiting:
            self._waiting.remove(job)
            job.end(Outcome("withdrawn", reason))

    def _go_on(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        # Not of the request, which may be cancelled; the loop itself only keeps weak references.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warm_up(self) -> None:
        async with self._turn:
            if not self._is_closing:
                await self._worker()

    async def _do(self, job: Job) -> None:
        async with self._turn:
            if job in self._waiting:
                self._waiting.remove(job)
                job.end(await self._converse(job))

    async def _converse(self, job: Job) -> Outcome:
        # It died, maybe before it read the job, or said what is no answer.
        with suppress(OSError, ValueError):
            process = await self._worker()
            if self._is_closing:
                return Outcome("withdrawn", _ENDING)
            assert process.stdin  # noqa: S101 - both were asked for
            assert process.stdout  # noqa: S101
            process.stdin.write(job.line)
            await process.stdin.drain()
            while line := await process.stdout.readline():
                answer = json.loads(line)
                if "status" in answer:
                    return Outcome(**answer)
                job.committed.set_result(Commitment(**answer))
        if self._process:
            await _kill(self._process)
        return Outcome("died", "the build worker died at its work; the next job starts another")

    async def _worker(self) -> Process:
        """The process, with the project as its folder and the database of the API."""
        if self._process is None or self._process.returncode is not None:
            url = self._settings.database_url
            database = {"DATABASE_URL": url.get_secret_value()} if url else {}
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "assay.worker"),
                cwd=self._settings.project,
                env=os.environ | database,
                stdin=PIPE,
                stdout=PIPE,
                limit=_LONGEST_ANSWER,
            )
        return self._process


def detail_of(outcome: Outcome) -> Any:  # noqa: ANN401 - as the worker says
    """What a job gave.

    Raises:
        Problem: It gave nothing, and nothing was kept or changed.
    """
    if outcome.status == "done":
        return outcome.detail
    if outcome.status == "refused":
        raise invalid(Fault(**outcome.detail))
    if outcome.status == "withdrawn":
        raise Problem(503, outcome.detail, headers={"Retry-After": "30"})
    if outcome.status == "died":
        raise Problem(503, "The build worker stopped before this was done; try again.")
    if outcome.status == "failed":
        raise Problem(503, "The build failed, and nothing was changed: run `assay build`.")
    raise Problem(503 if outcome.status == "away" else 500)


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _ends(process: Process, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()
            return True
    return False


async def _builder_of(request: Request) -> Builder:
    return cast("Builder", request.app.state.builder)


Builds = Annotated[Builder, Depends(_builder_of)]
