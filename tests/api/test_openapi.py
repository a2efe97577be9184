"""The OpenAPI document: made from the contract, and fit for generators and viewers."""

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
from fastapi import FastAPI

from api.filter_documents import DESCRIPTIONS
from api.filters import CONDITIONS, Filters, operators_of
from api.schemas import schema_of, schemas_of
from assay.catalog import CatalogError
from assay.data_types import base_type
from tests.api.conftest import GEM, GEMS

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(app: FastAPI) -> Document:
    return app.openapi()


@pytest.fixture(scope="module")
def body(document: Document) -> Document:
    """Schema of a new gem."""
    schema: Document = document["components"]["schemas"]["GemsCreate"]
    return schema


def nodes(value: Any) -> Iterator[Document]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: Document, node: Document) -> Document:
    while "$ref" in node:
        _, components, kind, name = node["$ref"].split("/")
        node = document[components][kind][name]
    return node


def parameters_of(document: Document, operation: Document) -> dict[str, Document]:
    listed = (resolved(document, parameter) for parameter in operation.get("parameters", ()))
    return {parameter["name"]: parameter for parameter in listed}


def test_it_is_openapi_3_1(document: Document) -> None:
    """Whose schemas are JSON Schema: no `nullable`, no `example` in a schema."""
    assert document["openapi"].startswith("3.1.")
    for node in nodes(document):
        assert "nullable" not in node
    for schema in document["components"]["schemas"].values():
        for node in nodes(schema.get("properties", {})):
            assert "example" not in node or isinstance(node["example"], dict)


def test_it_says_what_it_describes(document: Document) -> None:
    info = document["info"]
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert info["version"] == version("assay")
    for operator in DESCRIPTIONS:
        assert f"`{operator}`" in info["description"]


def test_every_reference_leads_somewhere(document: Document) -> None:
    for node in nodes(document):
        if "$ref" in node:
            assert resolved(document, node)


def test_objects_have_names(document: Document) -> None:
    """Generators name what has none after its place; one that is there twice they drop."""
    for path, method, operation in operations(document):
        for node in nodes(operation):
            assert "properties" not in node, (path, method)
            for kind in ("oneOf", "anyOf", "allOf"):
                assert kind not in node, (path, method)
    for name, schema in document["components"]["schemas"].items():
        assert schema["title"] == name
        for node in list(nodes(schema))[1:]:
            assert "properties" not in node or "type" not in node, name


def test_a_body_has_one_media_type(document: Document) -> None:
    for path, method, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {"": {}})
        assert len(content) == 1, (path, method)


def test_operations_have_names_that_clients_can_use(document: Document) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert {"listGems", "createGems", "readGemsRow", "changeGemsRow", "uploadGems"} <= set(names)
    for name in names:
        assert re.fullmatch("[a-z]+[A-Za-z0-9]*", name)


def test_nothing_is_filled_in(document: Document) -> None:
    """Swagger UI sends what a parameter has as default or example."""
    for path, method, operation in operations(document):
        for name, parameter in parameters_of(document, operation).items():
            for place in (parameter, parameter["schema"]):
                assert not {"example", "examples", "default"} & set(place), (path, method, name)


def test_a_list_has_few_parameters(document: Document) -> None:
    """However many columns there are; the conditions are the values of three."""
    for path, method, operation in operations(document):
        assert len(operation.get("parameters", ())) <= 20, (path, method)


def test_a_condition_is_what_the_server_takes(document: Document) -> None:
    """For each column and operator: the pattern has it if and only if the server does."""
    listed = parameters_of(document, document["paths"][GEMS]["get"])
    for name in CONDITIONS:
        condition = resolved(document, listed[name]["schema"]["items"])
        assert condition["title"] == "GemsCondition"
    pattern = re.compile(condition["pattern"])
    for column in GEM.columns:
        for operator in DESCRIPTIONS:
            is_known = operator in operators_of(column)
            assert bool(pattern.match(f"{column.name}__{operator}=x")) == is_known
        assert bool(pattern.match(f"{column.name}=x")) == ("eq" in operators_of(column))
    for example in condition["examples"]:
        name, _, value = example.partition("=")
        assert Filters(GEM).read([("filter", example)]) == Filters(GEM).read([(name, value)])
        assert pattern.match(example)
    assert not pattern.match("nothing=1")


def test_a_new_row_has_the_fields_that_a_client_may_set(body: Document) -> None:
    owned = {"gem_id", "notes", "updated_at", "updated_by"}
    assert set(body["properties"]) == set(GEM.columns_by_name) - owned
    assert body["additionalProperties"] is False


def test_required_is_what_has_no_default_and_no_null(body: Document) -> None:
    assert body["required"] == ["label"]


def test_fields_are_described_by_the_contract(body: Document) -> None:
    """Their rules too, in the words that people read where one is broken."""
    assert body["properties"]["label"] == {
        "type": "string",
        "title": "Label",
        "description": "The label. Broken: label_short. Another gem has this label.",
        "examples": ["Koh-i-Noor"],
    }
    assert "Broken: weighed_has_carat." in body["description"]
    assert body["properties"]["state"]["enum"] == ["weighed", "unweighed"]
    assert body["properties"]["grade"]["maximum"] == 32767
    assert body["properties"]["mine"]["type"] == ["string", "null"]
    assert body["properties"]["colours"]["items"] == {"type": "string"}


@pytest.mark.parametrize(
    ("options", "schema"),
    [
        ({"minimum": "1", "maximum": "5"}, {"type": "integer", "minimum": 1, "maximum": 5}),
        ({"minimum": "0"}, {"type": "integer", "minimum": 0, "maximum": 32767}),
        ({"is_nullable": True, "enum": (1, 2)}, {"enum": [1, 2, None]}),
    ],
)
def test_limits_of_the_contract_are_those_of_the_schema(
    options: dict[str, Any], schema: Document
) -> None:
    described = schema_of(replace(GEM.columns_by_name["grade"], **options))
    assert schema.items() <= described.items()


def test_a_length_and_a_range_of_numbers_are_there_in_input_and_output() -> None:
    text = replace(GEM.columns_by_name["mine"], max_length=20)
    number = replace(GEM.columns_by_name["carat"], minimum="0.5")
    assert schema_of(text)["maxLength"] == 20
    assert schema_of(number)["minimum"] == 0.5
    kinds = schema_of(number, is_input=True)["anyOf"]
    assert kinds[0] == {"type": "number", "minimum": 0.5}
    assert kinds[2] == {"type": "null"}


def test_what_the_server_sets_is_read_only(document: Document) -> None:
    read = document["components"]["schemas"]["Gems"]
    assert read["required"] == [column.name for column in GEM.columns]
    assert {n for n, p in read["properties"].items() if p.get("readOnly")} == {
        "gem_id",
        "notes",
        "updated_at",
        "updated_by",
    }
    assert read["properties"]["carat"]["type"] == ["number", "null"]


def test_a_patch_requires_nothing(document: Document) -> None:
    content = document["paths"][f"{GEMS}/{{key}}"]["patch"]["requestBody"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/GemsPatch"}}}
    assert "required" not in document["components"]["schemas"]["GemsPatch"]


def test_a_key_and_a_page_have_their_types(document: Document) -> None:
    of_row = parameters_of(document, document["paths"][f"{GEMS}/{{key}}"]["get"])
    as_of, key = of_row["as_of"], of_row["key"]
    assert (as_of["in"], as_of["required"]) == ("query", False)
    assert as_of["schema"]["format"] == "date-time"
    assert (key["in"], key["schema"]["format"]) == ("path", "uuid")
    parameters = parameters_of(document, document["paths"][GEMS]["get"])
    assert {"limit", "cursor", "sort", "fields", "count", "q", *CONDITIONS} <= set(parameters)
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200}
    assert "50" in parameters["limit"]["description"]


def test_history_and_changes_have_the_types_of_the_contract(document: Document) -> None:
    schemas = document["components"]["schemas"]
    row = [{"$ref": "#/components/schemas/Gems"}, {"type": "null"}]
    version = schemas["GemsVersion"]["properties"]
    assert version["before"]["anyOf"] == version["after"]["anyOf"] == row
    assert version["operation"]["enum"] == ["insert", "update", "delete"]
    assert (version["version"]["type"], version["at"]["format"]) == ("integer", "date-time")
    change = schemas["GemsChange"]
    assert change["required"] == ["key", "operation", "row"]
    assert change["properties"]["operation"]["enum"] == ["upsert", "delete"]
    changes = document["paths"][f"{GEMS}/changes"]["get"]
    assert set(parameters_of(document, changes)) == {"since", "limit"}
    assert set(schemas["GemsChanges"]["required"]) == {"items", "next", "more"}
    revert = document["paths"][f"{GEMS}/{{key}}/revert"]["post"]["requestBody"]["content"]
    schema = resolved(document, revert["application/json"]["schema"])
    assert schema["required"] == ["version"]
    assert schema["properties"]["version"]["examples"] == [12]


def test_every_endpoint_but_three_takes_a_token(document: Document) -> None:
    open_to_all = {
        path
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if "security" not in operation
    }
    # What is sent there is a right of its own: a password, a refresh token, a code.
    assert open_to_all == {f"/api/v1/auth/{name}" for name in ("login", "refresh", "reset")}
    (scheme,) = document["components"]["securitySchemes"].values()
    assert scheme["flows"]["password"]["tokenUrl"] == "/api/v1/auth/login"


def test_every_error_is_documented_as_a_problem(document: Document) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            statuses = set(operation["responses"])
            assert {"422", "500", "503", "504"} <= statuses, path
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert set(resolved(document, response)["content"]) == {
                        "application/problem+json"
                    }, path


@pytest.mark.parametrize(
    ("data_type", "base"),
    [
        ("varchar(20)", "text"),
        ("numeric(10, 2)", "numeric"),
        ("timestamp(3) with time zone", "timestamptz"),
        ("TEXT[]", "text[]"),
        ("int", "integer"),
    ],
)
def test_a_type_has_many_names(data_type: str, base: str) -> None:
    assert base_type(data_type) == base


def test_a_type_that_the_api_does_not_have_is_named() -> None:
    with pytest.raises(CatalogError, match="no columns of type circle"):
        base_type("circle")


def test_models_take_any_name_of_a_column() -> None:
    assert schemas_of(GEM).create.__name__ == "GemsCreate"
