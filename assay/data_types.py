"""The types that columns of a contract may have."""

import re


class CatalogError(Exception):
    """The manifest is missing or says something that Assay cannot serve."""


BASE_TYPES = (
    "text",
    "uuid",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "boolean",
    "date",
    "timestamptz",
    "jsonb",
)
_SYNONYMS = {
    "character varying": "text",
    "varchar": "text",
    "int2": "smallint",
    "int4": "integer",
    "int": "integer",
    "int8": "bigint",
    "decimal": "numeric",
    "float8": "double precision",
    "real": "double precision",
    "float4": "double precision",
    "bool": "boolean",
    "timestamp with time zone": "timestamptz",
    "json": "jsonb",
}


def base_type(data_type: str) -> str:
    """A contract's type without its modifier and by one of its names: `varchar(20)` is `text`.

    Raises:
        CatalogError: It is none of a contract.
    """
    plain = " ".join(re.sub(r"\([^)]*\)", "", data_type).lower().split())
    element = plain.removesuffix("[]").strip()
    element = _SYNONYMS.get(element, element)
    if element not in BASE_TYPES:
        raise CatalogError(
            f"There are no columns of type {data_type}; use {', '.join(BASE_TYPES)}."
        )
    return f"{element}[]" if plain.endswith("[]") else element
