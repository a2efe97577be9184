"""The OpenAPI document of the project, kept beside this file.

`make docs` writes it anew, but not when that would break clients.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

from api.app import create_app
from assay.catalog import Catalog
from assay.settings import Settings
from tests.contract.breaking import breaking_changes

FILE = Path(__file__).with_name("openapi.json")
REASON = "A change that breaks clients is a new model version: keep the old one and add another."


def document_of(catalog: Catalog) -> dict[str, Any]:
    """As the API serves it."""
    with TemporaryDirectory() as name:
        project = Path(name)
        (project / "target").mkdir()
        (project / "target" / "manifest.json").write_text('{"nodes": {}, "sources": {}}')
        settings = Settings(
            project=project,
            database_url=SecretStr("postgresql://localhost/nothing"),
            assay_secret=SecretStr("of no use, but more than 32 bytes long"),
        )
        document: dict[str, Any] = json.loads(json.dumps(create_app(settings, catalog).openapi()))
        return document


def kept() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def keep(document: dict[str, Any]) -> None:
    """Raises `ValueError` for what breaks clients of the kept one."""
    if FILE.exists() and (broken := breaking_changes(kept(), document)):
        raise ValueError("\n".join([*broken, REASON]))
    FILE.write_text(_spread(document, 3) + "\n", encoding="utf-8")


def _spread(value: object, depth: int) -> str:
    """JSON with a line for each operation and each schema."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    members = (f"{json.dumps(name)}: {_spread(v, depth - 1)}" for name, v in value.items())
    return "{\n" + ",\n".join(members) + "\n}"
