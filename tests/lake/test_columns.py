"""What a column of a contract is in the lake."""

import hashlib
import hmac
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest
from psycopg.types.json import Jsonb

from lake.columns import Hasher, lake_type
from tests.lake import things
from tests.lake.conftest import Things

FULL: dict[str, Any] = {
    "code": UUID(int=5),
    "small": -(2**15),
    "whole": 2**31 - 1,
    "large": -(2**63),
    "price": Decimal("-1234567890.12"),
    "exact": Decimal("0.1234567890123456789012345678901234567890"),
    "ratio": 0.1,
    "is_good": True,
    "day": date(1900, 2, 28),
    "moment": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    "document": Jsonb({"a": [1, None, "\u00e9"]}),
    "words": ["", "a,b", 'quo"te', "line\nbreak", "\\N", "NULL", "null"],
    "numbers": [1, -2, 3],
    "updated_by": "ann",
}


def test_values_are_the_same(of_things: Things) -> None:
    """Of every type, with what CSV could confuse; and nulls, which are no empty texts."""
    things.put(of_things.connection, "full", **FULL)
    things.put(of_things.connection, "empty")
    things.put(of_things.connection, "", words=[], numbers=[], is_good=False)
    things.put(of_things.connection, 'a "b",\r\n\\N', words=[None], numbers=[None, 1])
    of_things.exporter.export()
    assert of_things.state() == of_things.rows()
    (full,) = (row for row in of_things.state() if row["thing"] == "full")
    assert full == {
        "thing": "full",
        **FULL,
        "code": str(UUID(int=5)),
        "exact": "0.1234567890123456789012345678901234567890",
        "document": {"a": [1, None, "\u00e9"]},
    }


def test_types(of_things: Things) -> None:
    """As another engine sees them."""
    of_things.exporter.export()
    assert dict(of_things.exporter.written("things").schema) == {
        "_operation": pl.String,
        "_clock": pl.Int64,
        "_exported_at": pl.Datetime("us", "UTC"),
        "thing": pl.String,
        "code": pl.String,
        "small": pl.Int32,
        "whole": pl.Int32,
        "large": pl.Int64,
        "price": pl.Decimal(12, 2),
        "exact": pl.String,
        "ratio": pl.Float64,
        "is_good": pl.Boolean,
        "day": pl.Date,
        "moment": pl.Datetime("us", "UTC"),
        "document": pl.String,
        "words": pl.List(pl.String),
        "numbers": pl.List(pl.Int32),
        "updated_by": pl.String,
    }
    table = of_things.exporter.table("things")
    assert table.schema().find_field("price").doc == "The price."
    assert table.properties["comment"] == "One row per thing."
    (field,) = table.spec().fields
    assert (field.name, str(field.transform)) == ("_exported_at_day", "day")


@pytest.mark.parametrize(
    ("data_type", "expected"),
    [
        ("numeric(38, 10)", pa.decimal128(38, 10)),
        ("numeric(39, 10)", pa.string()),
        ("numeric(2, 4)", pa.string()),
        ("varchar(20)", pa.string()),
        ("numeric(5, 1)[]", pa.list_(pa.decimal128(5, 1))),
        ("timestamp without time zone", pa.string()),
        ("point", pa.string()),
    ],
)
def test_types_that_have_bounds(data_type: str, expected: pa.DataType) -> None:
    assert lake_type(data_type) == expected


@pytest.mark.parametrize("day", ["infinity", "4713-01-01 BC"])
def test_a_value_that_the_lake_cannot_have(of_things: Things, day: str) -> None:
    """The message names model and column, not the value; nothing is committed."""
    things.put(of_things.connection, "good")
    of_things.exporter.export()
    of_things.connection.execute(
        "insert into curated.things (thing, day) values ('bad', %s)", [day]
    )
    with pytest.raises(ValueError, match=r"things: day has a value that .* date32.* infinity"):
        of_things.exporter.export()
    assert [row["thing"] for row in of_things.state()] == ["good"]
    things.put(of_things.connection, "bad", day=date(2026, 1, 1))
    of_things.exporter.export()
    assert of_things.state() == of_things.rows()


def test_a_hash_is_hmac_of_a_key_of_its_own() -> None:
    """So what signs tokens hashes nothing that is told to others."""
    key = hmac.new(b"secret", b"lake", hashlib.sha256).digest()
    expected = hmac.new(key, "Zo\u00eb".encode(), hashlib.sha256).hexdigest()
    assert Hasher("secret").hash("Zo\u00eb") == expected
