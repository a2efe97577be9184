"""How deliveries to another system go."""

from typing import Annotated

from fastapi import Depends, Response
from pydantic import BaseModel, Field

from api.database import Pool
from api.errors import documented
from api.fields import MaybeMoment, MaybeText
from api.resource import PREFIX, READING, answer, found
from api.router import Router
from api.security import Admin
from api.sessions import no_parameters
from assay.catalog import Catalog
from sync.delivery import synced
from sync.outbox import DEAD_SHOWN, STATE


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
    items: list[Deliveries]


def router_of(catalog: Catalog) -> Router:
    router = Router(prefix=f"{PREFIX}/sync", tags=["Deliveries"])
    names = [entity.name for entity in synced(catalog)]

    @router.get(
        "",
        summary="See how deliveries go",
        responses={200: {"model": AllDeliveries}, **documented(*READING)},
    )
    async def read_deliveries(
        _plain: Annotated[None, Depends(no_parameters)], _caller: Admin, database: Pool
    ) -> Response:
        row = found(await database.fetch_row(STATE, names))
        return answer(f'{{"items":{row["items"]}}}')

    return router
