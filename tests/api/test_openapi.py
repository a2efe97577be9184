"""The OpenAPI document: made from the contract, in the version that the bundled page reads."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from api.schemas import schemas_of
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
    content = document["paths"][GEMS]["post"]["requestBody"]["content"]
    schema: Document
    schema, many = content["application/json"]["schema"]["oneOf"]
    assert many["items"] == schema
    return schema


def nodes(value: Any) -> Iterator[Document]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def test_it_is_openapi_3_0(document: Document) -> None:
    """Not 3.1, whose `null` type, `const` and `$defs` the bundled Swagger UI does not read."""
    assert document["openapi"].startswith("3.0.")
    for node in nodes(document):
        assert node.get("type") != "null"
        assert not isinstance(node.get("type"), list)
        assert not {"const", "$defs", "prefixItems"} & set(node)


def test_every_reference_leads_somewhere(document: Document) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert {node["$ref"] for node in nodes(document) if "$ref" in node} <= known


def test_a_new_row_has_the_fields_that_a_client_may_set(body: Document) -> None:
    owned = {"gem_id", "notes", "updated_at", "updated_by"}
    assert set(body["properties"]) == set(GEM.columns_by_name) - owned
    assert body["additionalProperties"] is False


def test_required_is_what_has_no_default_and_no_null(body: Document) -> None:
    assert body["required"] == ["label"]


def test_fields_are_described_by_the_contract(body: Document) -> None:
    assert body["properties"]["label"] == {
        "type": "string",
        "title": "Label",
        "description": "The label.",
        "example": "Koh-i-Noor",
    }
    assert body["properties"]["state"]["enum"] == ["weighed", "unweighed"]
    assert body["properties"]["grade"]["maximum"] == 32767
    assert body["properties"]["mine"]["nullable"] is True
    assert body["properties"]["colours"]["items"] == {"type": "string"}


def test_what_the_server_sets_is_read_only(document: Document) -> None:
    read = document["components"]["schemas"]["Gems"]
    assert read["required"] == [column.name for column in GEM.columns]
    assert {n for n, p in read["properties"].items() if p.get("readOnly")} == {
        "gem_id",
        "notes",
        "updated_at",
        "updated_by",
    }
    assert read["properties"]["carat"]["type"] == "number"


def test_a_patch_requires_nothing(document: Document) -> None:
    content = document["paths"][f"{GEMS}/{{key}}"]["patch"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/merge-patch+json"}
    assert "required" not in content["application/json"]["schema"]


def test_a_key_and_a_page_have_their_types(document: Document) -> None:
    of_row = document["paths"][f"{GEMS}/{{key}}"]["get"]["parameters"]
    as_of, key, _ = sorted(of_row, key=lambda p: p["in"], reverse=True)
    assert (as_of["name"], as_of["in"], as_of["required"]) == ("as_of", "query", False)
    assert as_of["schema"]["format"] == "date-time"
    assert (key["name"], key["in"], key["schema"]["format"]) == ("key", "path", "uuid")
    parameters = {p["name"]: p for p in document["paths"][GEMS]["get"]["parameters"]}
    assert {"limit", "cursor", "sort", "fields", "count", "q", "or", "carat__gte"} <= set(
        parameters
    )
    limit = parameters["limit"]["schema"]
    assert (limit["type"], limit["minimum"], limit["maximum"], limit["default"]) == (
        "integer",
        1,
        200,
        50,
    )


def test_history_and_changes_have_the_types_of_the_contract(document: Document) -> None:
    schemas = document["components"]["schemas"]
    row = {"allOf": [{"$ref": "#/components/schemas/Gems"}], "nullable": True}
    version = schemas["GemsVersion"]["properties"]
    assert {"allOf": version["before"]["allOf"], "nullable": version["after"]["nullable"]} == row
    assert version["operation"]["enum"] == ["insert", "update", "delete"]
    assert (version["version"]["type"], version["at"]["format"]) == ("integer", "date-time")
    change = schemas["GemsChange"]
    assert change["required"] == ["key", "operation", "row"]
    assert change["properties"]["operation"]["enum"] == ["upsert", "delete"]
    changes = document["paths"][f"{GEMS}/changes"]["get"]
    assert {p["name"] for p in changes["parameters"]} == {"since", "limit"}
    assert set(schemas["GemsChanges"]["required"]) == {"items", "next", "more"}
    revert = document["paths"][f"{GEMS}/{{key}}/revert"]["post"]["requestBody"]["content"]
    schema = revert["application/json"]["schema"]
    assert schema["required"] == ["version"]
    assert schema["properties"]["version"]["example"] == 12


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
                    assert set(response["content"]) == {"application/problem+json"}, path


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
