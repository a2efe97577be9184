"""Clients of the API that write and read all the time, and what they were answered."""

import asyncio
import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from tests.conftest import PATIENCE
from tests.faults.arena import Arena, key_of, metabolite

# The writers meet at few keys; half of these are in the files that are loaded meanwhile.
NUMBERS = range(900, 1100)
BOOKS = ("1", "2", "3")
# The row is not there any more, or there already: the writers are in each other's way.
CONFLICTS = (404, 409)


Act = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Edit:
    """A write that was sent; its mark, a value that no other has, is found in the journal."""

    entity: str
    key: str
    mark: int | None
    """None of a deletion, which leaves no value."""


@dataclass(frozen=True)
class Answer:
    """What became of a request."""

    entity: str
    edit: Edit | None
    """None of a read."""
    status: int
    """0: the connection broke."""
    retry_after: str | None
    seconds: float
    at: float
    key: str = ""
    """Of a row that was read."""
    seen: int | None = None
    """The mark of that row, or what else stands in its place."""

    @property
    def is_acknowledged(self) -> bool:
        return self.edit is not None and 200 <= self.status < 300


@dataclass
class Clients:
    """Makes requests and keeps the answers."""

    http: httpx.AsyncClient
    answers: list[Answer] = field(default_factory=list)
    marks: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    numbers: range = NUMBERS

    async def request(
        self, method: str, entity: str, key: str, edit: Edit | None = None, **options: Any
    ) -> Answer:
        begun = time.monotonic()
        status, retry_after, seen = 0, None, None
        try:
            response = await self.http.request(method, f"/api/v1/{entity}{key}", **options)
        except httpx.TransportError:
            pass
        else:
            status, retry_after = response.status_code, response.headers.get("retry-after")
            seen = _mark_of(response) if status == HTTPStatus.OK else None
        now = time.monotonic()
        answer = Answer(entity, edit, status, retry_after, now - begun, now, key, seen)
        self.answers.append(answer)
        return answer

    async def write_metabolite(self) -> None:
        number = self.dice.choice(self.numbers)
        method = self.dice.choices(("POST", "PATCH", "PUT", "DELETE"), (3, 4, 2, 1))[0]
        key = key_of(number)
        mark = None if method == "DELETE" else next(iter(self.marks))
        value: dict[str, object] = {"sample_value": mark, "sample_status": "measured"}
        document = value if method == "PATCH" else {**metabolite(number), **value}
        await self.request(
            method,
            "metabolites",
            "" if method == "POST" else f"/{key}",
            Edit("metabolites", key, mark),
            json=None if method == "DELETE" else document,
        )

    async def write_book(self) -> None:
        key, mark = self.dice.choice(BOOKS), next(iter(self.marks))
        edit = Edit("books", key, mark)
        await self.request("PATCH", "books", f"/{key}", edit, json={"page_count": mark})

    async def read_metabolite(self) -> None:
        number = self.dice.choice(self.numbers)
        await self.request("GET", "metabolites", f"/{key_of(number)}")

    async def list_metabolites(self) -> None:
        await self.request("GET", "metabolites", "?limit=20")

    async def read_book(self) -> None:
        await self.request("GET", "books", f"/{self.dice.choice(BOOKS)}")

    @property
    def everything(self) -> tuple[Act, ...]:
        """In the proportion of a storm's requests."""
        writes = [self.write_metabolite] * 6 + [self.write_book]
        return (*writes, self.read_metabolite, self.list_metabolites, self.read_book)


def _mark_of(response: httpx.Response) -> int | None:
    document = response.json()
    mark = document.get("sample_value", document.get("page_count"))
    return None if mark is None else int(mark)


@asynccontextmanager
async def clients_of(arena: Arena, numbers: range = NUMBERS) -> AsyncIterator[Clients]:
    async with httpx.AsyncClient(
        base_url=arena.api.url,
        headers=arena.api.headers(),
        timeout=PATIENCE,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
    ) as http:
        yield Clients(http, numbers=numbers)


@asynccontextmanager
async def storm(
    arena: Arena,
    writers: int = 20,
    begin: asyncio.Event | None = None,
    numbers: range = NUMBERS,
) -> AsyncIterator[Clients]:
    """Writers and readers who each wait for their answer, then a moment, until the block ends.

    The writers of metabolites begin with `begin`.
    """
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(clients_of(arena, numbers))
        is_over = asyncio.Event()

        async def keep_on(act: Act) -> None:
            while not is_over.is_set():
                await act()
                await asyncio.sleep(clients.dice.uniform(0.05, 0.25))

        async def write_on() -> None:
            if begin:
                await begin.wait()
            await keep_on(clients.write_metabolite)

        acts = [clients.write_book] * 2
        acts += [clients.read_metabolite] * 2 + [clients.list_metabolites, clients.read_book]
        async with asyncio.TaskGroup() as tasks:
            for act in acts:
                tasks.create_task(keep_on(act))
            for _ in range(writers):
                tasks.create_task(write_on())
            try:
                yield clients
            finally:
                is_over.set()
                if begin:
                    begin.set()


def reads(answers: list[Answer], entity: str = "metabolites") -> list[Answer]:
    return [a for a in answers if a.edit is None and a.entity == entity]


def writes(answers: list[Answer], entity: str = "metabolites") -> list[Answer]:
    return [a for a in answers if a.edit is not None and a.entity == entity]


def p99(answers: list[Answer]) -> str:
    """For people."""
    if len(answers) < 2:
        return "no p99"
    milliseconds = [1000 * answer.seconds for answer in answers]
    highest = statistics.quantiles(milliseconds, n=100, method="inclusive")[98]
    return f"p99 {highest:.0f} ms, longest {max(milliseconds):.0f} ms of {len(answers)}"


def count_statuses(answers: list[Answer]) -> dict[int, int]:
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def assert_answered_well(answers: list[Answer], *, of_fault: tuple[int, ...] = (503,)) -> None:
    """What was asked for, what the state of a row forbids, or the fault's own status."""
    statuses = set(count_statuses(answers))
    assert statuses <= {200, 201, 204, *CONFLICTS, *of_fault}, count_statuses(answers)
    for answer in answers:
        assert answer.status != 503 or int(answer.retry_after or 0) > 0, answer


def assert_kept(arena: Arena, answers: list[Answer]) -> int:
    """Every acknowledged edit is in the journal, and stands where it is its key's last event.

    Returns how many there were.
    """
    acknowledged = [a.edit for a in answers if a.is_acknowledged and a.edit]
    journal = arena.query("""
        select entity, key, operation,
            coalesce(after -> 'sample_value', after -> 'page_count')::bigint as mark
        from journal.edits
    """)
    marks = {(row["entity"], row["key"], row["mark"]) for row in journal}
    lost = [e for e in acknowledged if e.mark and (e.entity, e.key, e.mark) not in marks]
    assert lost == []
    deleted = Counter((r["entity"], r["key"]) for r in journal if r["operation"] == "delete")
    assert Counter((e.entity, e.key) for e in acknowledged if not e.mark) <= deleted
    assert arena.query(EDITS_THAT_DO_NOT_STAND) == []
    return len(acknowledged)


# The last edit of each key that no later load names, beside what is curated.
EDITS_THAT_DO_NOT_STAND = """
with

last_edits as (
    select distinct on (key) * from journal.edits
    where entity = 'metabolites'
    order by key, clock desc
),

last_loads as (
    select md5(features)::uuid::text as key, max(clock) as clock
    from raw.laboratory__metabolites
    inner join raw.loads on load_id = _load_id
    group by 1
)

select key, last_edits.operation, last_edits.after, to_jsonb(metabolites) as curated
from last_edits
left join last_loads using (key)
left join curated.metabolites on metabolite_id::text = key
where
    last_edits.clock > coalesce(last_loads.clock, 0)
    and last_edits.after - '_transaction_id'
    is distinct from to_jsonb(metabolites) - '_transaction_id'
"""
