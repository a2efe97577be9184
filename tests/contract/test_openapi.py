"""The OpenAPI document breaks no client: it is compared with the one in the repository."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.catalog import Catalog
from tests.contract import snapshot
from tests.contract.breaking import breaking_changes

Document = dict[str, Any]
PATH = "/api/v1/things"
ONE = f"{PATH}/{{key}}"


def test_nothing_breaks_a_client(catalog: Catalog) -> None:
    broken = breaking_changes(snapshot.kept(), snapshot.document_of(catalog))
    assert not broken, "\n".join([*broken, snapshot.REASON])


def test_the_kept_document_is_current(catalog: Catalog) -> None:
    assert snapshot.kept() == snapshot.document_of(catalog), "Run `make docs`."


def document() -> Document:
    """A small one with all that is compared."""
    thing = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "size": {"type": "integer"},
            "maker": {"anyOf": [{"$ref": "#/components/schemas/Maker"}, {"type": "null"}]},
        },
    }
    new_thing = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": ["string", "null"], "maxLength": 20},
            "size": {"oneOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9]+$"}]},
            "kind": {"type": "string", "enum": ["soft", "hard"]},
        },
    }
    return {
        "components": {
            "schemas": {
                "Thing": thing,
                "Maker": {"type": "object", "properties": {"town": {"type": "string"}}},
            }
        },
        "paths": {
            PATH: {
                "get": {
                    "parameters": [
                        {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                        {"name": "name__in", "in": "query", "schema": list_of("string")},
                    ],
                    "responses": {"200": answer(list_of("$Thing")), "404": {}},
                },
                "post": {
                    "security": [],
                    "requestBody": {"content": {"application/json": {"schema": new_thing}}},
                    "responses": {"201": {**answer("$Thing"), "headers": {"ETag": {}}}},
                },
            },
            ONE: {"get": {"responses": {"200": answer("$Thing")}}},
        },
    }


def list_of(item: str) -> Document:
    return {"type": "array", "items": schema(item)}


def schema(name: str) -> Document:
    if name.startswith("$"):
        return {"$ref": f"#/components/schemas/{name[1:]}"}
    return {"type": name}


def answer(schema_: str | Document) -> Document:
    content = schema(schema_) if isinstance(schema_, str) else schema_
    return {"content": {"application/json": {"schema": content}}}


def body(d: Document) -> Document:
    sent: Document = d["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    return sent


def fields(d: Document) -> Document:
    members: Document = body(d)["schema"]["properties"]
    return members


def read(d: Document) -> Document:
    thing: Document = d["components"]["schemas"]["Thing"]
    return thing


def parameters(d: Document) -> list[Document]:
    listed: list[Document] = d["paths"][PATH]["get"]["parameters"]
    return listed


POST = f"POST {PATH}"
LIST = f"GET {PATH}"

BREAKING: dict[str, tuple[Callable[[Document], Any], str]] = {
    "a path": (lambda d: d["paths"].pop(ONE), f"GET {ONE}: is gone"),
    "a method": (lambda d: d["paths"][PATH].pop("post"), f"{POST}: is gone"),
    "a status": (
        lambda d: d["paths"][PATH]["get"]["responses"].pop("404"),
        f"{LIST}, 404: is gone",
    ),
    "a header": (
        lambda d: d["paths"][PATH]["post"]["responses"]["201"].pop("headers"),
        f"{POST}, 201: header ETag is gone",
    ),
    "a media type": (
        lambda d: d["paths"][PATH]["get"]["responses"]["200"].pop("content"),
        f"{LIST}, 200: application/json is gone",
    ),
    "a token": (
        lambda d: d["paths"][ONE]["get"].update(security=[]),
        f"GET {ONE}: takes a token now",
    ),
    "a parameter": (lambda d: parameters(d).pop(), f"{LIST}, parameter name__in: is gone"),
    "a mandatory parameter": (
        lambda d: parameters(d)[0].update(required=True),
        f"{LIST}, parameter limit: has to be there now",
    ),
    "a smaller parameter": (
        lambda d: parameters(d)[0]["schema"].update(maximum=10),
        f"{LIST}, parameter limit: maximum is 10, was None",
    ),
    "another item": (
        lambda d: parameters(d)[1].update(schema=list_of("integer")),
        f"{LIST}, parameter name__in[]: is integer, was string",
    ),
    "a mandatory body": (
        lambda d: d["paths"][PATH]["post"]["requestBody"].update(required=True),
        f"{POST}, body: has to be there now",
    ),
    "a mandatory field": (
        lambda d: body(d)["schema"]["required"].append("kind"),
        f"{POST}, body/kind: has to be there now",
    ),
    "a field that is taken": (lambda d: fields(d).pop("kind"), f"{POST}, body/kind: is gone"),
    "a null that is taken": (
        lambda d: fields(d)["name"].update(type="string"),
        f"{POST}, body/name: cannot be null now",
    ),
    "a shorter text": (
        lambda d: fields(d)["name"].update(maxLength=10),
        f"{POST}, body/name: maxLength is 10, was 20",
    ),
    "a word": (lambda d: fields(d)["kind"]["enum"].pop(), f"{POST}, body/kind: takes no more hard"),
    "an enum": (
        lambda d: fields(d)["name"].update(enum=["a"]),
        f"{POST}, body/name: takes no more anything else",
    ),
    "an alternative": (
        lambda d: fields(d)["size"]["oneOf"].pop(),
        f"{POST}, body/size: is number, was string",
    ),
    "a narrower number": (
        lambda d: fields(d)["size"]["oneOf"][0].update(type="integer"),
        f"{POST}, body/size: is integer, was number",
    ),
    "a field that comes": (
        lambda d: read(d)["properties"].pop("size"),
        f"GET {ONE}, 200/size: is gone",
    ),
    "a field that always came": (
        lambda d: read(d)["required"].pop(),
        f"GET {ONE}, 200/name: may not be there now",
    ),
    "a wider number": (
        lambda d: read(d)["properties"]["size"].update(type="number"),
        f"GET {ONE}, 200/size: is number, was integer",
    ),
    "a null that comes": (
        lambda d: read(d)["properties"]["name"].update(type=["string", "null"]),
        f"GET {ONE}, 200/name: can be null now",
    ),
    "a field behind a reference": (
        lambda d: d["components"]["schemas"]["Maker"]["properties"].pop("town"),
        f"GET {ONE}, 200/maker/town: is gone",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_is_named(change: Callable[[Document], Any], sentence: str) -> None:
    after = document()
    change(after)
    assert sentence in breaking_changes(document(), after)


ADDITIONS: dict[str, Callable[[Document], Any]] = {
    "nothing": lambda _: None,
    "a path": lambda d: d["paths"].update({f"{PATH}/new": copy.deepcopy(d["paths"][PATH])}),
    "a status": lambda d: d["paths"][PATH]["get"]["responses"].update({"429": {}}),
    "a parameter": lambda d: parameters(d).append(
        {"name": "q", "in": "query", "schema": {"type": "string"}}
    ),
    "a field that may be sent": lambda d: fields(d).update(colour={"type": "string"}),
    "a word": lambda d: fields(d)["kind"]["enum"].append("wet"),
    "a longer text": lambda d: fields(d)["name"].update(maxLength=30),
    "a field less to send": lambda d: body(d)["schema"]["required"].pop(),
    "another alternative": lambda d: fields(d)["size"]["oneOf"].append({"type": "boolean"}),
    "a field that comes": lambda d: read(d)["properties"].update(colour={"type": "string"}),
    "no more null": lambda d: read(d)["properties"]["maker"]["anyOf"].pop(),
}


@pytest.mark.parametrize("change", ADDITIONS.values(), ids=ADDITIONS)
def test_additions_break_nothing(change: Callable[[Document], Any]) -> None:
    after = document()
    change(after)
    assert breaking_changes(document(), after) == []


def test_what_breaks_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`make docs` takes additions, and refuses what breaks in the words of the test."""
    monkeypatch.setattr(snapshot, "FILE", tmp_path / "openapi.json")
    snapshot.keep(document())
    after = document()
    ADDITIONS["a path"](after)
    snapshot.keep(after)
    with pytest.raises(ValueError, match=r"is gone\n.* new model version"):
        snapshot.keep(document())
    assert snapshot.kept() == after
