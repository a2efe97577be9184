"""A peer: FastCRUD's own router over the same table, as its docs set it up.

The same check of the token and of its user, in its dependencies.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException
from fastcrud import FastCRUD, crud_router
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ARRAY, Text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.peer_token import UserId

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
)
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    type_annotation_map = {list[str]: ARRAY(Text)}  # noqa: RUF012 - SQLAlchemy's own form


class User(Base):
    __tablename__ = "users"
    __table_args__ = {"schema": "auth"}  # noqa: RUF012

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    username: Mapped[str]
    role: Mapped[str]
    is_active: Mapped[bool]


class Metabolite(Base):
    __tablename__ = "metabolites"
    __table_args__ = {"schema": "curated"}  # noqa: RUF012

    metabolite_id: Mapped[UUID] = mapped_column(primary_key=True)
    feature: Mapped[str]
    identification_level: Mapped[int]
    id_inchi: Mapped[str | None]
    cas_number: Mapped[str | None]
    method: Mapped[str]
    sample_value: Mapped[Decimal | None]
    sample_status: Mapped[str]
    repairs: Mapped[list[str]]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class MetaboliteCreate(BaseModel):
    feature: str
    identification_level: int
    id_inchi: str | None = None
    cas_number: str | None = None
    method: str
    sample_value: Decimal | None = None
    sample_status: str


class MetaboliteRead(MetaboliteCreate):
    model_config = ConfigDict(from_attributes=True)

    metabolite_id: UUID
    repairs: list[str]
    updated_at: datetime
    updated_by: str


async def get_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


users = FastCRUD(User)


async def current_user(
    user_id: UserId, session: Annotated[AsyncSession, Depends(get_session)]
) -> None:
    user = await users.get(session, user_id=user_id, is_active=True)
    if user is None:
        raise HTTPException(401)


app = FastAPI()
app.include_router(
    crud_router(
        session=get_session,
        model=Metabolite,
        create_schema=MetaboliteCreate,
        update_schema=MetaboliteCreate,
        select_schema=MetaboliteRead,
        path="/metabolites",
        included_methods=["read", "read_multi"],
        read_deps=[current_user],
        read_multi_deps=[current_user],
    )
)
