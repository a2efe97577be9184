"""Enrichment and exchange as people type them, with RDKit and without."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Project


def test_without_rdkit(project: Project, tmp_path: Path) -> None:
    """Everything builds; only `assay enrich` says what it needs."""
    hidden = tmp_path / "hidden" / "rdkit"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError\n")
    without = f"{hidden.parent}:{ROOT}"
    done = project.assay("up", "--no-serve", PYTHONPATH=without)
    assert done.returncode == 0, done.stdout + done.stderr
    done = project.assay("enrich", PYTHONPATH=without)
    assert (done.returncode, "pip install 'assay[chem]'" in done.stderr) == (1, True)
    with project.serve() as client:
        assert client.get("/api/v1/structures").json()["items"] == []


def test_enriched_exported_and_loaded_again(project: Project) -> None:
    """Of the sample's 72 metabolites 66 have an InChI; a rebuild then changes nothing."""
    pytest.importorskip("rdkit", reason="the extra `chem` is not installed")
    assert project.assay("up", "--no-serve").returncode == 0
    done = project.assay("enrich")
    assert "66 rows into rdkit.structures" in done.stdout, done.stdout + done.stderr
    assert project.assay("build").returncode == 0
    assert "rdkit.structures: all is answered" in project.assay("enrich").stdout
    for form, name in (("maf", "m_study_maf.tsv"), ("mwtab", "study.txt")):
        done = project.assay("exchange", "metabolites", name, "--form", form)
        assert done.returncode == 0, done.stderr
        done = project.assay("load", name)
        assert f"{name}: loaded as load" in done.stdout, done.stdout + done.stderr
        assert "72 rows into laboratory.metabolites" in done.stdout
    assert project.assay("build").returncode == 0
    done = project.assay("build", "--full-refresh")
    for table in ("metabolites", "structures"):
        assert f"{table}: recomputed from history, 0 rows changed" in done.stdout, done.stderr
    with project.serve() as client:
        found = client.get("/api/v1/structures?limit=200").json()["items"]
        assert len(found) == 66
        assert all(row["inchikey"] and row["monoisotopic_mass"] for row in found)
        assert len(client.get("/api/v1/metabolites?limit=200").json()["items"]) == 72
    done = project.assay("exchange", "metabolites", "x.sdf", "--form", "sdf")
    assert (done.returncode, "metabolites is exchanged as maf, mwtab" in done.stderr) == (1, True)
