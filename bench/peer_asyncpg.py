"""A peer: FastAPI and asyncpg by hand, as their docs show them, with the same SQL.

The same check of the token and of its user. It checks the types of a body only: the rules are in
the SQL, and their answers would still have to be put into words.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

from api.filters import Filter
from api.listing import Listing, Sort
from api.proposal import warnings_of
from api.query import plan_of
from assay.catalog import read_catalog
from bench.peer_token import UserId

ENTITY = read_catalog(Path(os.environ["BENCH_MANIFEST"])).entities["metabolites"]
PLAN = plan_of(ENTITY)
PAGE, _ = Listing(
    entity=ENTITY,
    limit=50,
    after=(),
    sorts=(Sort(ENTITY.columns_by_name[ENTITY.key[0]], is_descending=False),),
    filter=Filter(),
    search=None,
    columns=None,
    links=None,
    expanded=(),
    counting=None,
).page(ENTITY.columns, (), {})
WARNINGS = warnings_of(ENTITY)
USER = "select username, role from auth.users where user_id = $1 and is_active"


class Metabolite(BaseModel):
    feature: str
    identification_level: int
    id_inchi: str | None = None
    cas_number: str | None = None
    method: str
    sample_value: Decimal | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"]) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def connect(request: Request) -> AsyncIterator[Any]:
    async with request.app.state.pool.acquire() as connection:
        yield connection


Connection = Annotated[Any, Depends(connect)]


async def current_user(user_id: UserId, connection: Connection) -> asyncpg.Record:
    user = await connection.fetchrow(USER, user_id)
    if user is None:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[asyncpg.Record, Depends(current_user)]


@app.get("/metabolites")
async def read_metabolites(_user: CurrentUser, connection: Connection) -> Response:
    rows = await connection.fetch(PAGE)
    return Response(f"[{','.join(row['item'] for row in rows[:50])}]", 200, {}, "application/json")


@app.get("/metabolites/{metabolite_id}")
async def read_metabolite(
    metabolite_id: UUID, _user: CurrentUser, connection: Connection
) -> Response:
    row = await connection.fetchrow(PLAN.one, str(metabolite_id))
    if row is None:
        raise HTTPException(404)
    return Response(row["body"], 200, {"ETag": f'"{row["version"]}"'}, "application/json")


@app.post("/metabolites")
async def create_metabolite(
    metabolite: Metabolite, user: CurrentUser, connection: Connection
) -> Response:
    if user["role"] == "reader":
        raise HTTPException(403)
    document = f"[{metabolite.model_dump_json(exclude_unset=True)}]"
    row = await connection.fetchrow(PLAN.insert, document, user["username"], ENTITY.name, WARNINGS)
    return Response(row["body"], 201, {"ETag": f'"{row["version"]}"'}, "application/json")
