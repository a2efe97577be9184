"""Metabolites as a newcomer meets them: one command, then the secured API."""

import base64
import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
import xlsxwriter

from tests.conftest import SHARED
from tests.e2e.conftest import Project, copy_project

PATH = "/api/v1/metabolites"
REAL = SHARED / "inputs" / "metabolites" / "MetabolitesData_inputDataForTEst.csv"

GOOD = {"feature": "acetone", "id_inchi": "InChI=1S/C3H6O/c1-3(2)4/h1-2H3", "method": "GC"}
OTHER = {"feature": "water", "cas_number": "7732-18-5", "method": "GC"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, str]]:
    """The project after `assay up` with the bundled sample, and what the terminal said."""
    project = copy_project(tmp_path_factory.mktemp("metabolites"))
    done = project.assay("up", "--no-serve")
    assert done.returncode == 0, done.stdout + done.stderr
    yield project, done.stdout
    project.assay("db", "stop")


@pytest.fixture(scope="module")
def api(running: tuple[Project, str]) -> Iterator[httpx.Client]:
    with running[0].serve() as client:
        yield client


@pytest.fixture
def row(api: httpx.Client) -> Iterator[str]:
    """Key of a row, beside another one whose identifiers are taken."""
    keys = [api.post(PATH, json=document).json()["metabolite_id"] for document in (GOOD, OTHER)]
    yield keys[0]
    for key in keys:
        api.delete(f"{PATH}/{key}")


def test_sample_is_accounted_for(running: tuple[Project, str], api: httpx.Client) -> None:
    """The bundled sample: 77 rows, of which 72 are curated, 4 rejected, 1 a duplicate."""
    (account,) = api.get("/api/v1/loads/2").json()["entities"]
    assert (account["rows"], account["new"], account["rejected"], account["duplicates"]) == (
        77,
        72,
        4,
        1,
    )
    assert account["repairs"] == {"identification_level": 11, "cas_number": 2, "id_inchi": 2}
    assert account["warnings"]["feature_plain"]["count"] == 3
    rejected = api.get("/api/v1/loads/2/rejected").json()["items"]
    assert {r["row_number"]: [rule["name"] for rule in r["rules"]] for r in rejected} == {
        15: ["cas_number_valid"],
        21: ["sample_value_type"],
        53: ["identification_level_type"],
        70: ["inchi_or_cas"],
    }
    assert "Give an InChI or a CAS number" in running[1]


def test_second_run_changes_nothing(running: tuple[Project, str]) -> None:
    """A database that somebody wrote to gets no sample again."""
    project, _ = running
    loads = project.query("select count(*) from raw.loads")
    done = project.assay("up", "--no-serve")
    assert done.returncode == 0, done.stderr
    assert project.query("select count(*) from raw.loads") == loads


def test_pages_of_the_list(api: httpx.Client) -> None:
    """`next` leads through all rows once, in the order of their keys."""
    keys: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.get(PATH, params={"limit": 50, "cursor": cursor}).json()
        keys += [item["metabolite_id"] for item in page["items"]]
        cursor = page["next"]
    assert len(keys) == 72
    assert keys == sorted(set(keys))


def test_defaults_of_the_contract(api: httpx.Client) -> None:
    """No level gives 3, a value without a status `measured`, neither `not_available`."""
    made = api.post(PATH, json=GOOD)
    assert made.status_code == 201
    body = made.json()
    assert (body["identification_level"], body["sample_status"]) == (3, "not_available")
    assert body["updated_by"] == "admin"
    assert body["repairs"] == []
    replaced = api.put(made.headers["location"], json=GOOD | {"sample_value": 0.50})
    assert replaced.json()["sample_status"] == "measured"
    assert api.delete(made.headers["location"]).status_code == 204
    assert api.get(made.headers["location"]).status_code == 404


def test_warning_does_not_refuse(api: httpx.Client) -> None:
    """A feature with a blank in its name is written, and the answer warns of it."""
    made = api.post(PATH, json=GOOD | {"feature": "acetone (pure)"})
    assert made.status_code == 201
    assert [warning["name"] for warning in made.json()["warnings"]] == ["feature_plain"]
    api.delete(made.headers["location"])


RULES: list[tuple[str, dict[str, Any], int]] = [
    ("feature_required", {"feature": None}, 422),
    ("feature_length", {"feature": " "}, 422),
    ("feature_length", {"feature": "x" * 2001}, 422),
    ("one_row_per_feature", {"feature": "water"}, 409),
    ("identification_level_type", {"identification_level": "high"}, 422),
    ("identification_level_required", {"identification_level": None}, 422),
    ("identification_level_range", {"identification_level": 0}, 422),
    ("identification_level_range", {"identification_level": 6}, 422),
    ("inchi_or_cas", {"id_inchi": None, "cas_number": None}, 422),
    ("inchi_valid", {"id_inchi": "InChI=1S/banana"}, 422),
    ("inchi_valid", {"id_inchi": "InChI=1S/C" + "9" * 2000}, 422),
    ("one_feature_per_inchi", {"id_inchi": "TAKEN"}, 409),
    ("cas_number_valid", {"cas_number": "56-86-1"}, 422),
    ("one_feature_per_cas", {"cas_number": "7732-18-5"}, 409),
    ("method_required", {"method": None}, 422),
    ("method_filled", {"method": " "}, 422),
    ("sample_value_type", {"sample_value": "abc"}, 422),
    ("sample_value_range", {"sample_value": "1e400", "sample_status": "measured"}, 422),
    ("sample_status_required", {"sample_status": None}, 422),
    ("sample_status_known", {"sample_status": "lost"}, 422),
    ("measured_has_value", {"sample_status": "measured", "sample_value": None}, 422),
    ("measured_has_value", {"sample_status": "not_detected", "sample_value": 1}, 422),
]


@pytest.mark.parametrize(("rule", "change", "status"), RULES)
def test_rule_refuses(
    api: httpx.Client, row: str, rule: str, change: dict[str, Any], status: int
) -> None:
    """POST and PATCH that break a rule are refused with its name and its message."""
    if change.get("id_inchi") == "TAKEN":
        taken = api.get(PATH, params={"limit": 200}).json()["items"]
        change = {
            "id_inchi": next(
                r["id_inchi"] for r in taken if r["id_inchi"] and r["feature"] != "acetone"
            )
        }
    before = api.get(f"{PATH}/{row}").json()
    fresh = {
        "feature": "butanone",
        "id_inchi": "InChI=1S/C4H8O/c1-3-4(2)5/h3H2,1-2H3",
        "method": "GC",
    }
    for answer in (
        api.post(PATH, json=fresh | change),
        api.patch(f"{PATH}/{row}", json=change),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["errors"][0]["rule"]) == (status, rule), problem
        assert problem["errors"][0]["detail"] == message_of(rule)
    assert api.get(f"{PATH}/{row}").json() == before


def message_of(rule: str) -> str:
    """The message as the contract has it, read without the catalog."""
    import yaml  # noqa: PLC0415

    file = (
        Path(__file__).parents[2] / "dbt_project/models/marts/metabolites/_metabolites__models.yml"
    )
    (model,) = yaml.safe_load(file.read_text())["models"]
    return next(r["message"] for r in model["config"]["meta"]["rules"] if r["name"] == rule)


def test_an_edit_survives_builds(running: tuple[Project, str], api: httpx.Client, row: str) -> None:
    """What the API wrote is there after a build and after a full refresh, which changes 0 rows."""
    api.patch(f"{PATH}/{row}", json={"sample_value": 1.5, "sample_status": "measured"})
    before = api.get(f"{PATH}/{row}").json()
    project, _ = running
    for options in ([], ["--full-refresh"]):
        done = project.assay("build", *options)
        assert done.returncode == 0, done.stderr
    assert "metabolites: recomputed from history, 0 rows changed" in done.stdout
    assert api.get(f"{PATH}/{row}").json() == before


def requests_of(key: str, version: int) -> list[tuple[str, str, dict[str, Any] | None]]:
    return [
        ("GET", PATH, None),
        ("POST", PATH, GOOD | {"feature": "methanol", "id_inchi": "InChI=1S/CH4O/c1-2/h2H,1H3"}),
        ("GET", f"{PATH}/{key}", None),
        ("PUT", f"{PATH}/{key}", GOOD),
        ("PATCH", f"{PATH}/{key}", {"method": "LC"}),
        ("GET", f"{PATH}/{key}?as_of=2999-12-31T00:00:00Z", None),
        ("GET", f"{PATH}/{key}/history", None),
        ("POST", f"{PATH}/{key}/revert", {"version": version}),
        ("GET", f"{PATH}/changes", None),
        ("GET", "/api/v1/loads", None),
        ("GET", "/api/v1/loads/2", None),
        ("GET", "/api/v1/loads/2/rejected", None),
        ("GET", "/api/v1/users/me", None),
        ("DELETE", f"{PATH}/{key}", None),
    ]


def bad_tokens(project: Project, good: str) -> dict[str, str]:
    secret = next(
        line.partition("=")[2]
        for line in (project.folder / ".env").read_text().splitlines()
        if line.startswith("ASSAY_SECRET=")
    )
    claims = jwt.decode(good, options={"verify_signature": False})
    past = datetime.now(UTC) - timedelta(hours=1)
    kid = jwt.get_unverified_header(good)
    header, _, signature = good.split(".")
    other = (
        base64.urlsafe_b64encode(json.dumps(claims | {"jti": "x"}).encode()).decode().rstrip("=")
    )
    return {
        "expired": jwt.encode(claims | {"exp": past}, secret, headers=kid),
        "tampered": f"{header}.{other}.{signature}",
        "alg none": jwt.encode(claims, None, algorithm="none", headers={"typ": "at+jwt"}),
        "garbage": "not.a.token",
    }


def test_only_a_good_token_opens(running: tuple[Project, str], api: httpx.Client, row: str) -> None:
    """The requests that pass with a good token get 401 without, and with any other."""
    good = api.headers["Authorization"].removeprefix("Bearer ")
    version = api.get(f"{PATH}/{row}/history").json()["items"][-1]["version"]
    tokens = {"none": None} | bad_tokens(running[0], good)
    for method, path, body in requests_of(row, version):
        for name, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"} if token else {"Authorization": ""}
            answer = api.request(method, path, json=body, headers=headers)
            assert answer.status_code == 401, (name, method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for method, path, body in requests_of(row, version):
        assert api.request(method, path, json=body).is_success, (method, path)
    made = next(
        r
        for r in api.get(PATH, params={"limit": 200}).json()["items"]
        if r["feature"] == "methanol"
    )
    api.delete(f"{PATH}/{made['metabolite_id']}")


def test_pages_for_people(api: httpx.Client) -> None:
    """Swagger UI and the dbt docs need nothing from outside."""
    for path in ("/docs", "/dbt", "/openapi.json"):
        answer = api.get(path, headers={"Authorization": ""})
        assert answer.status_code == 200, path
    document = api.get("/openapi.json").json()
    assert set(document["paths"][PATH]) == {"delete", "get", "patch", "post", "put"}
    assert 'src="http' not in api.get("/docs").text


@pytest.mark.skipif(not REAL.exists(), reason="the real input files are not on this machine")
def test_real_file_as_csv_and_xlsx(project: Project) -> None:
    """The real file gives 16 rows, none rejected; as XLSX it gives the same rows."""
    original = REAL.read_bytes()
    done = project.assay("up", "--no-serve", str(REAL))
    assert done.returncode == 0, done.stdout + done.stderr
    again = project.assay("up", "--no-serve", str(REAL))
    assert "already loaded" in again.stdout
    workbook = project.folder / "same rows.xlsx"
    write_workbook(workbook)
    assert project.assay("up", "--no-serve", str(workbook)).returncode == 0
    assert REAL.read_bytes() == original
    with project.serve() as client:
        items = client.get(PATH).json()["items"]
        assert len(items) == 16
        accounts = [client.get(f"/api/v1/loads/{n}").json()["entities"][0] for n in (1, 2)]
        assert (accounts[0]["new"], accounts[0]["rejected"]) == (16, 0)
        assert (accounts[1]["rows"], accounts[1]["unchanged"]) == (16, 16)
        one = next(item for item in items if item["feature"] == "ammonium")
        assert one["cas_number"] == "14798-03-9"
        assert client.get(f"{PATH}/{quote(one['metabolite_id'])}").json() == one


def write_workbook(path: Path) -> None:
    """The real rows in the template's sheet, numbers as numbers."""
    with REAL.open(newline="") as file:
        rows = list(csv.reader(file))
    with xlsxwriter.Workbook(path) as workbook:
        workbook.add_worksheet("Read me")
        sheet = workbook.add_worksheet("Data to upload")
        for number, cells in enumerate(rows):
            for place, cell in enumerate(cells):
                is_number = number and place in (1, 5) and cell.replace(".", "").isdigit()
                sheet.write(number, place, float(cell) if is_number else cell)
