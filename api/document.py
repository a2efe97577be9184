"""The OpenAPI document: what the routes say, with a name for everything that generators name."""

import asyncio
import json
from importlib.metadata import version
from itertools import chain, count
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import MEDIA_TYPE, SCHEMAS
from api.filter_documents import DESCRIPTIONS
from api.schemas import words

Node = dict[str, Any]

_INTRODUCTION = """
Each dataset has the same endpoints, made from its contract. Errors are problems (RFC 9457), with
the rule that is broken, in the contract's words.

**Conditions.** A list takes `column__operator=value` as parameters of their own, or as values of
`filter`, which is what this document describes: `?filter=column__operator=value`. All of them hold.
Of those in `any_of`, and of those in `any_of2`, one holds. The operators:

{operators}

**Versions.** A row comes with an `ETag`; who changes the row sends it back in `If-Match`.
"""


class Document:
    """The document of an application: made once, beside the event loop."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._made: asyncio.Task[bytes] | None = None

    def prepare(self) -> "asyncio.Task[bytes]":
        """Begin to make it, if nobody has."""
        if self._made is None:
            self._made = asyncio.create_task(asyncio.to_thread(self._json))
        return self._made

    async def read(self) -> bytes:
        """The document as JSON."""
        return await asyncio.shield(self.prepare())

    def _json(self) -> bytes:
        return json.dumps(self._app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()


def document_of(app: FastAPI) -> Node:
    """OpenAPI 3.1."""
    operators = "\n".join(f"- `{name}` {means}" for name, means in DESCRIPTIONS.items())
    document: Node = get_openapi(
        title=app.title,
        version=version("assay"),
        openapi_version="3.1.0",
        summary="Tested tables, by a REST API that is made from their contracts.",
        description=_INTRODUCTION.strip().format(operators=operators),
        license_info={"name": "MIT", "identifier": "MIT"},
        routes=app.routes,
    )
    components = document["components"]
    components["schemas"] |= SCHEMAS
    operations = [one for path in document["paths"].values() for one in path.values()]
    for operation in operations:
        _name_schemas(operation, components["schemas"])
        _name_problems(operation, components.setdefault("responses", {}))
    _name_parameters(operations, components.setdefault("parameters", {}))
    return document


def _name_schemas(operation: Node, schemas: Node) -> None:
    """Make components of what has a title, and of what a body or an answer is."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        for name in ("title", "default"):  # FastAPI's; viewers fill in a default
            schema.pop(name, None)
        if "title" in schema.get("items", ()):
            schema["items"] = _component(schema["items"], schemas)
    name = operation["operationId"][:1].upper() + operation["operationId"][1:]
    body = operation.get("requestBody", {})
    bodies = [(f"{name}Body", content) for content in body.get("content", {}).values()]
    answers = [
        (f"{name}Answer", content)
        for status, response in operation["responses"].items()
        if status < "300"
        for content in response.get("content", {}).values()
    ]
    for title, content in (*bodies, *answers):
        schema = _with_references(content["schema"], schemas)
        if not {"$ref", "format"} & set(schema):
            schema = _component({**schema, "title": schema.get("title", title)}, schemas)
        content["schema"] = schema


def _with_references(schema: Node, schemas: Node) -> Node:
    """The schema, with a reference where it, or a part of it, is an object with a title."""
    for kind in ("oneOf", "anyOf"):
        if kind in schema:
            parts = [_with_references(part, schemas) for part in schema[kind]]
            return {kind: parts}
    if "items" in schema:
        return {**schema, "items": _with_references(schema["items"], schemas)}
    if "properties" in schema:
        return _component(schema, schemas)
    return schema


def _component(schema: Node, schemas: Node) -> Node:
    """A reference to the schema, which gets the name that is its title."""
    name = schema["title"]
    if schemas.setdefault(name, schema) != schema:
        raise RuntimeError(f"There are two schemas with the name {name}.")
    return {"$ref": f"#/components/schemas/{name}"}


def _name_problems(operation: Node, responses: Node) -> None:
    has_body = any("content" in r for s, r in operation["responses"].items() if s < "300")
    if not has_body:
        # What has no body is acceptable to everybody.
        operation["responses"].pop("406", None)
    for status, response in operation["responses"].items():
        if MEDIA_TYPE in response.get("content", {}):
            responses[status] = response
            operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}


def _name_parameters(operations: list[Node], parameters: Node) -> None:
    """Make components of the parameters that several operations have."""
    found: dict[str, list[Node]] = {}
    tags: dict[str, set[str]] = {}
    for operation in operations:
        for parameter in operation.get("parameters", ()):
            text = json.dumps(parameter, sort_keys=True)
            found.setdefault(text, []).append(parameter)
            tags.setdefault(text, set()).update(operation["tags"])
    for text, alike in found.items():
        if len(alike) == 1:
            continue
        (tag, *others) = tags[text]
        name = words(alike[0]["name"])
        name = name if others else words(tag) + name
        # Two of a name have other bounds or say something else.
        name = next(
            n for n in chain((name,), (f"{name}{i}" for i in count(2))) if n not in parameters
        )
        parameters[name] = dict(alike[0])
        for parameter in alike:
            parameter.clear()
            parameter["$ref"] = f"#/components/parameters/{name}"
