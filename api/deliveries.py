"""How deliveries to another system go."""

import json
from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from api.cursor import check_parameters
from api.database import Database, Pool
from api.errors import Problem, documented
from api.fields import MaybeMoment, MaybeText
from api.flags import flag, read_flag
from api.resource import PREFIX, READING, answer, found
from api.router import Router
from api.security import Admin, Subject
from api.sessions import no_parameters
from assay.catalog import Catalog
from sync.delivery import synced
from sync.outbox import DEAD_SHOWN, STATE
from sync.schedule import Courier

RetryDead = Annotated[str, flag("Also what the receiver did not take before.")]


class DeadLetter(BaseModel):
    """A change that the receiver does not take; a newer one of the row takes its place."""

    number: int
    key: str = Field(description="Of the row, as text.")
    operation: str = Field(examples=["upsert"])
    attempts: int
    error: str = Field(description="What the receiver answered.")


class Deliveries(BaseModel):
    """Of one dataset."""

    entity: str
    waiting: int = Field(description="Changes that were taken up and not delivered yet.")
    dead: int = Field(description="Changes that the receiver does not take.")
    delivered_at: MaybeMoment
    failed_at: MaybeMoment
    error: MaybeText = Field(description="Of the last failure.")
    dead_letters: list[DeadLetter] = Field(description=f"The first {DEAD_SHOWN}.")


class AllDeliveries(BaseModel):
    is_running: bool = Field(description="Whether changes are delivered at this moment.")
    items: list[Deliveries]


async def _retry_dead(request: Request, _subject: Subject, retry_dead: RetryDead) -> bool:
    check_parameters(request, "retry_dead")
    return read_flag("retry_dead", retry_dead)


def router_of(catalog: Catalog, courier: Courier) -> Router:
    router = Router(prefix=f"{PREFIX}/sync", tags=["Deliveries"])
    names = [entity.name for entity in synced(catalog)]

    async def state(database: Database) -> str:
        row = found(await database.fetch_row(STATE, names))
        is_running = courier.is_running or row["is_running"]
        return f'{{"is_running":{json.dumps(is_running)},"items":{row["items"]}}}'

    @router.get(
        "",
        summary="See how deliveries go",
        responses={200: {"model": AllDeliveries}, **documented(*READING)},
    )
    async def read_deliveries(
        _plain: Annotated[None, Depends(no_parameters)], _caller: Admin, database: Pool
    ) -> Response:
        return answer(await state(database))

    @router.post(
        "",
        status_code=202,
        summary="Deliver what has changed, now",
        description=(
            "It is begun, or goes on where it is under way; `GET` says how it goes. 409 where "
            "`SYNC_URL` says of no system to deliver to."
        ),
        responses={202: {"model": AllDeliveries}, **documented(409, *READING)},
    )
    async def begin_deliveries(
        retry_dead: Annotated[bool, Depends(_retry_dead)], _caller: Admin, database: Pool
    ) -> Response:
        if not courier.has_receiver:
            raise Problem(409, "SYNC_URL is not set: it says where changes are delivered to.")
        courier.start(revive=retry_dead)
        return answer(await state(database), 202, {"Location": f"{PREFIX}/sync"})

    return router
