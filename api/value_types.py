"""A value of each type of the contract: how a body has it, and what OpenAPI says of it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr, TypeAdapter

from assay.catalog import Column
from assay.data_types import base_type
from assay.grammar import NUMBER, read


def _written_as(data_type: str) -> Callable[[Any], Any]:
    """A text of the grammar, so that Python and PostgreSQL cannot read it differently."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - pydantic wants it so
        read(data_type, value)
        return value

    return check


def _whole(value: object) -> object:
    # 3.0 is an integer in JSON Schema. The exponent first: as an int, 1e999999 is long.
    if isinstance(value, Decimal) and value.adjusted() < _BIGINT_DIGITS and value % 1 == 0:
        return int(value)
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, str):
        value = Decimal(read("numeric", value).text)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError  # noqa: TRY004 - pydantic wants it so
    number = Decimal(value)
    # as the grammar takes exponents, which PostgreSQL has room for
    if abs(number.adjusted()) >= _EXPONENT or -int(number.as_tuple().exponent) >= _EXPONENT:
        raise ValueError
    return number


def _double(value: Decimal) -> Decimal:
    if abs(float(value)) == float("inf"):
        raise ValueError
    return value


_BIGINT_DIGITS = 19
_EXPONENT = 10_000
DIGITS_AS_TEXT = {"type": "string", "pattern": f"^{NUMBER.pattern}$"}


def _integer(bits: int) -> tuple[Any, dict[str, Any]]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    annotation = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=low, le=high)]
    return annotation, {"type": "integer", "minimum": low, "maximum": high}


_TYPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (StrictStr, {"type": "string"}),
    "uuid": (
        Annotated[str, BeforeValidator(_written_as("uuid"))],
        {"type": "string", "format": "uuid"},
    ),
    "smallint": _integer(16),
    "integer": _integer(32),
    "bigint": _integer(64),
    "numeric": (Annotated[Decimal, BeforeValidator(_number)], {"type": "number"}),
    "double precision": (
        Annotated[Decimal, BeforeValidator(_number), AfterValidator(_double)],
        {"type": "number"},
    ),
    "boolean": (StrictBool, {"type": "boolean"}),
    "date": (
        Annotated[str, BeforeValidator(_written_as("date"))],
        {"type": "string", "format": "date"},
    ),
    "timestamptz": (
        Annotated[str, BeforeValidator(_written_as("timestamptz"))],
        {"type": "string", "format": "date-time"},
    ),
    "jsonb": (Any, {}),
}


def is_whole(data_type: str) -> bool:
    return base_type(data_type) in ("smallint", "integer", "bigint")


def type_of(data_type: str) -> tuple[Any, dict[str, Any]]:
    base = base_type(data_type)
    if base.endswith("[]"):
        annotation, schema = _TYPES[base.removesuffix("[]")]
        return list[annotation], {  # type: ignore[valid-type]
            "type": "array",
            "items": schema,
        }
    return _TYPES[base]


def adapter_of(column: Column) -> TypeAdapter[Any]:
    """Judges one value of a column, as in keys and cursors."""
    return type_adapter(column.data_type)


def type_adapter(data_type: str, *, is_nullable: bool = False) -> TypeAdapter[Any]:
    """Judges one value of a type of PostgreSQL."""
    annotation = type_of(data_type)[0]
    return TypeAdapter(annotation | None if is_nullable else annotation)
