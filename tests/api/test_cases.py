"""Each file that once failed is read as people mean it, or refused with what to do."""

from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.tokens import Tokens
from tests.api.conftest import client_of
from tests.conftest import PATIENCE, SHARED

CASES = SHARED / "cases"
FILES = CASES / "files"
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("patience"),
    pytest.mark.skipif(not CASES.exists(), reason="the files that failed are not on this machine"),
]

ACCEPTED = [
    # file, dataset, rows, notes that it has
    ("files/x05_inline_v/x05_inline_v.xlsx", "products", 1, {}),
    ("files/c01_trailing_delim_rows/c01_trailing_delim_rows.csv", "products", 2, {"long_rows": 2}),
    ("files/x09_workbook2/x09_workbook2.xlsx", "products", 1, {}),
    ("files/c03b_space_before_quote_name/c03b_space_before_quote_name.csv", "products", 2, {}),
    ("files/c03b_space_before_quote_name/c03c.csv", "products", 1, {}),
    ("files/c04_datetime2/c04_datetime2.csv", "products", 4, {}),
    ("files/c16_nfd/c16_nfd.csv", "products", 1, {}),
    (
        "files/x20_zero_padded/x20_zero_padded.xlsx",
        "products",
        3,
        {"padded_cells": {"barcode": 2}},
    ),
    (
        "files/c07_dup_unknown/c07_dup_unknown.csv",
        "products",
        1,
        {"unknown_columns": ["Unit", "Term Source REF", "Unit (2)", "Term Source REF (2)"]},
    ),
    ("synthea/same_value_other_text.csv", "products", 1, {}),
    ("synthea/patients_blank_ethnicity.csv", "patients", 3, {}),
    ("synthea/patients_without_income.csv", "patients", 5, {}),
    ("synthea/patients_postcode.csv", "patients", 2, {"renamed_headers": {"POSTCODE": "ZIP"}}),
    ("values/semi_cp1252.csv?encoding=cp1252", "metabolites", 2, {"encoding": "cp1252"}),
    ("domain/roundtrip.csv", "metabolites", 4, {}),
    ("domain/enrich_crash.csv", "metabolites", 1, {}),
]
REJECTED: list[tuple[str, str, int, dict[str, int]]] = [
    # file, dataset, rows accepted, rows that break each rule
    ("values/products_poison.csv", "products", 0, {"price_bound": 1}),
    ("values/sites_poison.csv", "sites", 0, {"max_power_megawatt_bound": 1}),
    (
        "files/c05_date_midnight/c05_date_midnight.csv",
        "sites",
        0,
        # three are read, as French sites of one day; 02/04/2019 may be either of two
        {"installation_date_type": 1, "one_french_site_per_date": 3},
    ),
    (
        "synthea/allergies_loaded_as_conditions.csv",
        "conditions",
        0,
        {"patient_exists": 5, "encounter_exists": 5},
    ),
]
REFUSED = [
    # file, dataset, what the sentence says
    ("files/c12_products/c12_products.csv.gz", "products", "this is packed (gzip); unpack it"),
    ("files/lock_file/~$Products.xlsx", "products", "this is the lock file that Excel keeps"),
    ("values/semi_cp1252.csv", "metabolites", "as Windows-1252 the value reads 'caféine'"),
    ("files/x24_hidden_lookup/x24_hidden_lookup.xlsx", "products", "header 'name', 'price'"),
]


@pytest.fixture
def client(project_app: FastAPI, project_url: str, tokens: Tokens) -> httpx.AsyncClient:
    """An editor of everything, personal values too."""
    with psycopg.connect(project_url) as connection:
        user = connection.execute(
            "update auth.users set scopes = %s where username = 'editor'"
            " returning user_id, token_version",
            (["*:write", "*:pii"],),
        ).fetchone()
    assert user
    return client_of(project_app, tokens.issue(*user))


async def rehearse(client: httpx.AsyncClient, case: str, dataset: str) -> Any:
    """What the dry run of a file says."""
    path, _, query = case.partition("?")
    file = CASES / path
    answer = await client.put(
        f"/api/v1/{dataset}?dry_run=true&{query}".rstrip("&"),
        files={"file": (Path(path).name, file.read_bytes())},
        timeout=PATIENCE,
    )
    return answer.json()


@pytest.mark.parametrize(("case", "dataset", "rows", "notes"), ACCEPTED)
async def test_what_people_mean_is_taken(
    client: httpx.AsyncClient, case: str, dataset: str, rows: int, notes: dict[str, Any]
) -> None:
    report = await rehearse(client, case, dataset)
    (account,) = report["entities"]
    assert (account["rows"], account["new"], account["rejected"]) == (rows, rows, 0), report
    assert report["notes"].items() >= notes.items()


@pytest.mark.parametrize(("case", "dataset", "rows", "rules"), REJECTED)
async def test_rows_that_are_wrong_are_rejected_by_name(
    client: httpx.AsyncClient, case: str, dataset: str, rows: int, rules: dict[str, int]
) -> None:
    report = await rehearse(client, case, dataset)
    (account,) = report["entities"]
    assert account["new"] == rows
    assert {name: rule["count"] for name, rule in account["rules"].items()} == rules


@pytest.mark.parametrize(("case", "dataset", "sentence"), REFUSED)
async def test_files_of_another_kind_are_refused_with_a_remedy(
    client: httpx.AsyncClient, case: str, dataset: str, sentence: str
) -> None:
    problem = await rehearse(client, case, dataset)
    assert problem["status"] == 422
    assert sentence in problem["detail"]
