"""Clients that are generated from the OpenAPI document: each generator makes all, and one works.

The generators stand in a folder of their own, which `make clients` fills.
"""

import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.contract import snapshot
from tests.contract.conftest import SAMPLE, Server

Document = dict[str, Any]

TOOLS = ROOT / ".venv" / "clients" / "bin"
OPENAPI_TYPESCRIPT = "openapi-typescript@7.13.0"
SECONDS = 300
"""The longest that a generator may take, on a busy machine."""
NOISE = ("OpenAPI 3.1 support is still in beta", "Failed to get the schema name: null")
"""openapi-generator says the one of each document of 3.1, the other of each with an object."""
FORMS = {"FileUpload", "LogIn"}
"""openapi-generator makes parameters of the fields of a form, not a model."""


@pytest.fixture(scope="module")
def document() -> Document:
    return snapshot.kept()


@pytest.fixture(scope="module")
def path(document: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document in a file, as it is served."""
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    return file


def operations(document: Document) -> list[str]:
    return [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]


def models(document: Document) -> set[str]:
    schemas = document["components"]["schemas"]
    return {name for name, schema in schemas.items() if "properties" in schema}


def tool(name: str) -> Path:
    if not (TOOLS / name).exists():
        pytest.skip(f"{name} is not installed: run `make clients`")
    return TOOLS / name


def run(*command: object) -> str:
    environment = os.environ | {"PATH": f"{TOOLS}:{os.environ['PATH']}"}
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_it_is_small(path: Path) -> None:
    assert path.stat().st_size < 500_000


@pytest.fixture(scope="module")
def client(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package that openapi-python-client makes, which can be imported as `assay_client`."""
    generator = tool("openapi-python-client")
    folder = tmp_path_factory.mktemp("client")
    package = folder / "assay_client"
    run(
        *(generator, "generate", "--path", path, "--output-path", package),
        *("--meta", "none", "--fail-on-warning"),
    )
    sys.path.insert(0, str(folder))
    yield package
    sys.path.remove(str(folder))


def test_openapi_python_client_makes_everything(client: Path, document: Document) -> None:
    """Without a warning, which would end it."""
    made = [file for file in client.glob("api/*/*.py") if "def _get_kwargs" in file.read_text()]
    assert len(made) == len(operations(document))
    listed = importlib.import_module("assay_client.models").__all__
    assert models(document) <= set(listed)


@pytest.mark.parametrize("language", ["python", "typescript-fetch"])
def test_openapi_generator_makes_everything(
    path: Path, document: Document, tmp_path: Path, language: str
) -> None:
    generator = tool("openapi-generator-cli")
    if not shutil.which("java"):
        pytest.skip("openapi-generator needs Java 11 or later")
    said = run(generator, "generate", "-i", path, "-g", language, "-o", tmp_path)
    warnings = [line for line in said.splitlines() if re.search(r"\b(WARN|ERROR)\b", line)]
    assert not [line for line in warnings if not any(noise in line for noise in NOISE)]
    if language == "python":
        apis, known = "openapi_client/api/*.py", "openapi_client/models/*.py"
        function, kind = r"^    def (\w+)\(", r"^class (\w+)\("
        wanted = {re.sub("([A-Z])", r"_\1", name).lower() for name in operations(document)}
    else:
        apis, known = "apis/*.ts", "models/*.ts"
        function, kind = r"^    async (\w+)\(", r"^export interface (\w+) "
        wanted = set(operations(document))
    assert wanted <= found(tmp_path, apis, function)
    assert models(document) - FORMS <= found(tmp_path, known, kind)


def found(folder: Path, files: str, pattern: str) -> set[str]:
    texts = (file.read_text() for file in folder.glob(files))
    return {name for text in texts for name in re.findall(pattern, text, re.MULTILINE)}


def test_openapi_typescript_makes_everything(
    path: Path, document: Document, tmp_path: Path
) -> None:
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("openapi-typescript needs npm")
    run(npm, "install", "--no-save", "--silent", "--prefix", tmp_path, OPENAPI_TYPESCRIPT)
    made = tmp_path / "assay.ts"
    said = run(tmp_path / "node_modules/.bin/openapi-typescript", path, "--output", made)
    assert "warn" not in said.lower()
    text = made.read_text()
    for name in (*operations(document), *models(document)):
        assert re.search(rf"^\s+{name}: {{", text, re.MULTILINE), name


class Made:
    """The modules of the generated client."""

    def __init__(self) -> None:
        self.models = importlib.import_module("assay_client.models")
        self.types = importlib.import_module("assay_client.types")

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"assay_client.api.metabolites.{name}")


@pytest.fixture
def caller(client: Path, served: Server) -> Iterator[Any]:
    """The generated client, with an editor's token."""
    assert client.is_dir()
    package = importlib.import_module("assay_client")
    with package.AuthenticatedClient(served.url, served.tokens["editor"]) as caller:
        yield caller


def test_a_generated_client_works(caller: Any) -> None:
    """It creates, reads, lists with a filter, changes with If-Match, deletes and uploads."""
    made = Made()
    body = made.models.MetabolitesCreate(
        feature="client_water", method="GC-MS, by a client", cas_number="7732-18-5"
    )
    created = made.create_metabolites.sync_detailed(client=caller, body=body)
    assert created.status_code == 201, created.content
    key, tag = created.parsed.metabolite_id, created.headers["etag"]
    assert created.parsed.identification_level == 3

    read = made.read_metabolites_row.sync(key, client=caller)
    assert (read.feature, read.cas_number) == ("client_water", "7732-18-5")

    for conditions in (
        {"filter_": ["feature__startswith=client_", "method__contains=S, by"]},
        {"filter_": ["feature__icontains=CLIENT_W"]},
        {"any_of": ["feature=client_water", "feature=nothing"]},
    ):
        page = made.list_metabolites.sync(client=caller, **conditions)
        assert [item.feature for item in page.items] == ["client_water"], conditions
    assert made.list_metabolites.sync(client=caller, filter_=["feature=nothing"]).items == []
    refused = made.list_metabolites.sync_detailed(client=caller, filter_=["nothing=1"])
    assert (refused.status_code, refused.parsed.errors[0].parameter) == (422, "filter")

    change = made.models.MetabolitesPatch(method="LC")
    changed = made.change_metabolites_row.sync_detailed(
        key, client=caller, body=change, if_match=tag
    )
    assert (changed.status_code, changed.parsed.method) == (200, "LC")
    stale = made.change_metabolites_row.sync_detailed(key, client=caller, body=change, if_match=tag)
    assert (stale.status_code, stale.parsed.title) == (412, "Precondition Failed")

    many = made.change_metabolites.sync(
        client=caller, body=change, filter_=["feature=client_water"]
    )
    assert many.count == 1
    tag = made.read_metabolites_row.sync_detailed(key, client=caller).headers["etag"]
    gone = made.delete_metabolites_row.sync_detailed(key, client=caller, if_match=tag)
    assert (gone.status_code, gone.parsed) == (204, None)

    header, *_ = (ROOT / SAMPLE).read_text().splitlines()
    csv = f"{header}\nclient_ethanol,2,,64-17-5,GC,0.5\nclient_nothing,4,,,GC,0.5\n".encode()
    file = made.types.File(payload=io.BytesIO(csv), file_name="client.csv", mime_type="text/csv")
    upload = made.models.FileUpload(file=file)
    report = made.upload_metabolites.sync(client=caller, body=upload, dry_run=True)
    assert isinstance(report, made.models.UploadReport), report
    (account,) = report.entities
    assert (account.rows, account.new, account.rejected) == (2, 1, 1)
