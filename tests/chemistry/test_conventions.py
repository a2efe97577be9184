"""The engine knows no field: each rule names its reason and its remedy."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

ENGINE = ("api", "assay", "loader", "sync")
MODULES = sorted((ROOT / "chemistry").glob("*.py"))


def imported(module: Path, *, at_import: bool = False) -> set[str]:
    """First parts of the names that a module imports, at all or when it is imported itself."""
    tree = ast.parse(module.read_text())
    nodes = tree.body if at_import else list(ast.walk(tree))
    found = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    found |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("package", ENGINE)
def test_the_engine_does_not_import_a_field(package: str) -> None:
    """Reason: a field is a package beside it. Remedy: name the module in the YAML."""
    for module in (ROOT / package).rglob("*.py"):
        assert not imported(module) & {"chemistry", "rdkit"}, module


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_rdkit_is_optional(module: Path) -> None:
    """Reason: all but `assay enrich` works without it. Remedy: import it where it is used."""
    assert "rdkit" not in imported(module, at_import=True)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_small(module: Path) -> None:
    """Reason: it is one noun. Remedy: split it."""
    assert len(module.read_text().splitlines()) <= 300
