"""What rows look like in requests and responses: made from the contract at start-up.

The models only judge the shape of a request, and describe both in OpenAPI; values go to and come
from PostgreSQL as the JSON text they are.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from api.fields import NextCursor
from api.value_types import DIGITS_AS_TEXT, type_of
from assay.catalog import LARGEST, Column, Entity, Link
from assay.data_types import base_type

MAX_LINKS = 10_000
"""Of one row, in one field of a body."""


def nullable(model: type[BaseModel]) -> Any:  # noqa: ANN401 - a type
    """The model or null."""
    schema = {"anyOf": [reference_to(model), {"type": "null"}]}
    return Annotated[model | None, WithJsonSchema(schema)]


def reference_to(model: type[BaseModel]) -> dict[str, str]:
    """Another endpoint has to answer with the model, or `documented_body` has to name it."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def schema_of(column: Column, *, is_input: bool = False) -> dict[str, Any]:
    """The column in OpenAPI 3.1, with what the contract says of its values."""
    schema = {**type_of(column.data_type)[1], **_limits(column)}
    if is_input and base_type(column.data_type) == "numeric":
        kinds = [schema, DIGITS_AS_TEXT, *([{"type": "null"}] if column.is_nullable else [])]
        schema = {"anyOf": kinds}
    elif column.is_nullable and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    if column.enum:
        schema["enum"] = [*column.enum, *([None] if column.is_nullable else [])]
    if column.examples:
        schema["examples"] = [column.examples[0]]
    if column.is_server_owned:
        schema["readOnly"] = True
    return {**schema, "title": column.title, "description": column.description}


def _limits(column: Column) -> dict[str, Any]:
    """The range of a number, and the length of a text."""
    limits: dict[str, Any] = {"minimum": -LARGEST, "maximum": LARGEST} if column.is_bounded else {}
    limits |= {
        name: float(limit) if "." in limit else int(limit)
        for name, limit in (("minimum", column.minimum), ("maximum", column.maximum))
        if limit is not None
    }
    if column.max_length is not None:
        limits["maxLength"] = column.max_length
    return limits


_OUTPUTS = ("read", "written", "item")
_BRIEF = ("written", "item", "change", "key")
"""Uses in models that repeat another one, where the columns are described."""


@dataclass(frozen=True)
class Schemas:
    """Models of one entity: rows as they are created, changed and read."""

    create: type[BaseModel]
    patch: type[BaseModel]
    patch_of_list: type[BaseModel]
    """With the key of the row."""
    read: type[BaseModel]
    written: type[BaseModel]
    written_list: type[BaseModel]
    page: type[BaseModel]


def name_of(entity: Entity) -> str:
    """How the names of its models begin."""
    return words(entity.name)


def words(name: str) -> str:
    """A name with a capital for each of its words, and nothing between them."""
    return "".join(word.capitalize() for word in re.split("[^A-Za-z0-9]+", name))


def schemas_of(entity: Entity) -> Schemas:
    """Raises `CatalogError` for a type that the API does not have."""
    name = name_of(entity)
    inputs = [column for column in entity.columns if not column.is_server_owned]
    key = entity.columns_by_name[entity.key[0]]
    links = {link.name: _keys(link) for link in entity.links}
    read = _model(name, entity, {c.name: _field(c, "read") for c in entity.columns} | links)
    item = {c.name: _field(c, "item") for c in entity.columns} | links
    rules = {column.name: _rules_of(entity, column) for column in inputs}
    if links or any(column.references for column in entity.columns):
        schema = {
            "type": "object",
            "additionalProperties": True,
            "description": "The rows that `expand` asked for, by name.",
        }
        expanded = Annotated[dict[str, Any], WithJsonSchema(schema)]
        item["_expanded"] = (expanded, Field(None, alias="_expanded"))
    listed = _model(f"{name}Item", entity, item)
    warnings = {"warnings": (list[Warned], Field(alias="warnings"))}
    written = {c.name: _field(c, "written") for c in entity.columns} | links | warnings
    written_row = _model(f"{name}Written", entity, written)
    return Schemas(
        create=_model(
            f"{name}Create",
            entity,
            {c.name: _field(c, "create", rules[c.name]) for c in inputs} | links,
            _rules_of(entity),
        ),
        patch=_model(
            f"{name}Patch",
            entity,
            {c.name: _field(c, "patch", rules[c.name]) for c in inputs} | links,
        ),
        patch_of_list=_model(
            f"{name}PatchOfList",
            entity,
            {c.name: _field(c, "change") for c in inputs} | links | {key.name: _field(key, "key")},
        ),
        read=read,
        written=written_row,
        written_list=create_model(f"{name}WrittenList", items=(list[written_row], ...)),  # type: ignore[valid-type]
        page=create_model(
            f"{name}Page",
            items=(list[listed], ...),  # type: ignore[valid-type]
            next=(NextCursor, ...),
            count=(int, Field(None, description="Where it was asked for.")),
        ),
    )


def _model(
    name: str, entity: Entity, fields: dict[str, Any], rules: tuple[str, ...] = ()
) -> type[BaseModel]:
    # A column may have a name that a model has a use for, such as `json`: hence the aliases.
    renamed: dict[str, Any] = {f"column_{i}": field for i, field in enumerate(fields.values())}
    configuration = ConfigDict(
        extra="forbid", json_schema_extra={"description": " ".join((entity.description, *rules))}
    )
    return create_model(name, __config__=configuration, **renamed)


def _rules_of(entity: Entity, column: Column | None = None) -> tuple[str, ...]:
    """What has to be true of a column, or of several together, in the contract's words."""
    return tuple(
        rule.message
        for rule in entity.rules
        if rule.severity == "error"
        and (rule.columns == (column.name,) if column else len(rule.columns) > 1)
        and rule.kind not in ("cast", "not_null", "fields")
    )


def _field(column: Column, use: str, rules: tuple[str, ...] = ()) -> tuple[Any, Any]:
    schema = schema_of(column, is_input=use not in _OUTPUTS)
    if use in _BRIEF:
        del schema["description"]
        schema.pop("examples", None)
    else:
        schema["description"] = " ".join((column.description, *rules))
    if use == "key":
        schema.pop("readOnly", None)
    annotation = type_of(column.data_type)[0]
    if column.is_nullable:
        annotation = annotation | None
    is_required = use in ("read", "written", "key") or (use == "create" and is_mandatory(column))
    default = ... if is_required else None
    return Annotated[annotation, WithJsonSchema(schema)], Field(default, alias=column.name)


def _keys(link: Link) -> tuple[Any, Any]:
    annotation, schema = type_of(link.far.data_type)
    whole = {
        "type": "array",
        "items": schema,
        "maxItems": MAX_LINKS,
        "title": link.name,
        "description": (
            f"Keys of the {link.path} that the row is linked with. What is left out of a body "
            "stays; rows of the past have none."
        ),
    }
    keys = Annotated[list[annotation], Field(max_length=MAX_LINKS), WithJsonSchema(whole)]  # type: ignore[valid-type]
    return keys, Field(None, alias=link.name)


def is_mandatory(column: Column) -> bool:
    """Whether a new row cannot do without it."""
    return not column.is_nullable and column.default is None and not column.is_server_owned


class Warned(BaseModel):
    """A rule of severity `warn` that the row breaks; the row was written all the same."""

    name: str
    message: str
    columns: list[str]
