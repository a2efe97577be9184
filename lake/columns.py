"""What stands in the lake of a model: its columns and types, and how personal ones are hidden."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from assay.catalog import CatalogError, Column, Entity, StagingModel
from assay.columnar import arrow_type
from assay.data_types import base_type

OPERATION, CLOCK, EXPORTED_AT = "_operation", "_clock", "_exported_at"
"""The platform's, in each table of the lake."""

_OF_WHOLE_ROWS = ("_malformed", "_hash", "repairs")
"""Of staging models, the last one of curated ones too: they may say what a personal column does."""
_MAX_DIGITS = 38
"""Of Iceberg's longest decimal (its specification, Primitive Types)."""


class Treatment(StrEnum):
    """What the lake has of a column."""

    PLAIN = "plain"
    HASHED = "hashed"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class LakeColumn:
    """A column of a model, and what the lake has of it."""

    name: str
    data_type: str
    description: str
    treatment: Treatment

    @property
    def type(self) -> pa.DataType:
        return pa.string() if self.treatment == Treatment.HASHED else lake_type(self.data_type)

    @property
    def is_list(self) -> bool:
        return bool(pa.types.is_list(self.type))


@dataclass(frozen=True)
class LakeTable:
    """A model as it is exported."""

    schema: str
    table: str
    name: str
    description: str
    all_columns: tuple[LakeColumn, ...]
    """With those that are left out."""
    entity: Entity | None = None
    """Whose changes it follows; a staging model has none, and is exported as a whole."""

    @property
    def columns(self) -> tuple[LakeColumn, ...]:
        return tuple(c for c in self.all_columns if c.treatment != Treatment.LEFT_OUT)

    @property
    def hidden(self) -> dict[str, list[str]]:
        """Names of the columns of which the lake has a hash, or nothing."""
        found: dict[str, list[str]] = {}
        for column in self.all_columns:
            if column.treatment != Treatment.PLAIN:
                found.setdefault(str(column.treatment), []).append(column.name)
        return found

    @property
    def arrow(self) -> pa.Schema:
        """Of the columns that the lake has, with their descriptions."""
        return pa.schema(
            [pa.field(c.name, c.type, metadata={"doc": c.description}) for c in self.columns]
        )

    def shape(self, hasher: "Hasher") -> dict[str, str]:
        """What each column is in the lake; rows of another shape cannot stand beside."""
        return {
            column.name: f"{column.type} {column.treatment}"
            + (f" {hasher.fingerprint}" if column.treatment == Treatment.HASHED else "")
            for column in self.all_columns
        }


class Hasher:
    """HMAC-SHA-256: equal values stay equal, and without the key nobody can try a dictionary."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"lake", hashlib.sha256)
        self.fingerprint = self.hash("fingerprint")[:16]
        """Says whether two hashers are the same."""

    def hash(self, value: str) -> str:
        """64 hexadecimal digits."""
        return hmac.digest(self._key, value.encode(), hashlib.sha256).hex()

    def hash_all(self, values: pa.ChunkedArray) -> pa.Array:
        hashes = [None if v is None else self.hash(v) for v in values.to_pylist()]
        return pa.array(hashes, pa.string())


def lake_type(data_type: str) -> pa.DataType:
    """As exports in Parquet have it, but exact, and lists are lists.

    A number without a declared precision is text, and so is what Iceberg has no type for.
    """
    try:
        base = base_type(data_type)
    except CatalogError:  # a staging model may have any type
        return pa.string()
    if base.endswith("[]"):
        return pa.list_(lake_type(data_type.strip().removesuffix("[]")))
    if base == "numeric":
        type_ = arrow_type(data_type)
        fits = pa.types.is_decimal(type_) and type_.scale <= type_.precision <= _MAX_DIGITS
        return type_ if fits else pa.string()
    return pa.int32() if base == "smallint" else arrow_type(data_type)


def table_of_entity(entity: Entity) -> LakeTable:
    """A key that is personal is hashed at least: without it nobody could tell rows apart."""
    treatments = {column.name: _treatment(entity, column) for column in entity.columns}
    if any(treatment != Treatment.PLAIN for treatment in treatments.values()):
        treatments |= {name: Treatment.LEFT_OUT for name in _OF_WHOLE_ROWS if name in treatments}

    return LakeTable(
        schema=entity.schema,
        table=entity.table,
        name=entity.name,
        description=entity.description,
        all_columns=tuple(
            LakeColumn(c.name, c.data_type, c.description, treatments[c.name])
            for c in entity.columns
        ),
        entity=entity,
    )


def _treatment(entity: Entity, column: Column) -> Treatment:
    """What the owner says of all that is personal, but a column that says `hash` is hashed."""
    if not column.is_personal or (entity.lake_pii == "keep" and not column.is_hashed):
        return Treatment.PLAIN
    is_hashed = column.is_hashed or column.name in entity.key or entity.lake_pii == "hash"
    return Treatment.HASHED if is_hashed else Treatment.LEFT_OUT


def table_of_staging(model: StagingModel, types: Mapping[str, str]) -> LakeTable:
    """With the columns that the view has; what is personal in a model that it feeds is so here."""
    treatments = dict(_strictest(model.feeds))
    return LakeTable(
        schema=model.schema,
        table=model.table,
        name=model.name,
        description=model.description,
        all_columns=tuple(
            LakeColumn(
                name,
                data_type,
                model.descriptions.get(name, ""),
                treatments.get(name, Treatment.PLAIN),
            )
            for name, data_type in types.items()
        ),
    )


def _strictest(entities: Iterable[Entity]) -> Iterable[tuple[str, Treatment]]:
    columns = [c for entity in entities for c in table_of_entity(entity).all_columns]
    for treatment in (Treatment.HASHED, Treatment.LEFT_OUT):
        yield from ((c.name, treatment) for c in columns if c.treatment == treatment)
    if any(column.treatment != Treatment.PLAIN for column in columns):
        yield from ((name, Treatment.LEFT_OUT) for name in _OF_WHOLE_ROWS)
