"""`assay up --folder`, as compose runs it: samples, and what people put there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Project, copy_project

HEADER = "barcode,name,price,quantity,last_updated\n"
SAMPLE = ROOT / "data" / "products" / "products.csv"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = copy_project(tmp_path_factory.mktemp("folder"))
    yield made
    made.assay("db", "stop")


def barcodes(project: Project) -> set[str]:
    return {barcode for (barcode,) in project.query("select barcode from curated.products")}


def test_what_is_new_in_a_folder_is_loaded(project: Project) -> None:
    """Once; a sample that lies there stays one, and what fits nothing is said and passed over."""
    began = project.assay("up", "--no-serve", "--folder", "data")
    assert began.returncode == 0, began.stdout + began.stderr
    assert "http://" not in began.stdout
    assert "Nothing is served" in began.stdout
    samples = barcodes(project)
    assert len(samples) == 5
    assert project.query("select distinct is_sample from raw.loads") == [(True,)]

    added = project.folder / "data" / "inbox" / "of today"
    added.mkdir(parents=True)
    (added / "Products.CSV").write_text(f"{HEADER}4006381333931,Tea,2.50,3,2026-04-01\n")
    (added / "notes.txt").write_text("nobody's\n")
    (added / "~$Products.xlsx").write_bytes(b"\0" * 165)
    again = project.assay("up", "--no-serve", "--folder", "data")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Products.CSV: loaded" in again.stdout
    assert "notes.txt" in again.stdout
    assert barcodes(project) == {"4006381333931"}
    loads = project.query("select count(*) from raw.loads where state <> 'failed'")
    once_more = project.assay("up", "--no-serve", "--folder", "data")
    assert once_more.returncode == 0
    assert project.query("select count(*) from raw.loads where state <> 'failed'") == loads
    assert barcodes(project) == {"4006381333931"}


def test_a_sample_that_somebody_names_is_his_own(project: Project) -> None:
    """Its rows are loaded as those of any file."""
    named = project.assay("up", "--no-serve", str(SAMPLE))
    assert named.returncode == 0, named.stdout + named.stderr
    assert "products.csv: loaded" in named.stdout
    assert len(barcodes(project)) == 5
    assert "already loaded" in project.assay("load", str(SAMPLE)).stdout


def test_no_folder(project: Project, tmp_path: Path) -> None:
    refused = project.assay("up", "--no-serve", "--folder", str(tmp_path / "nowhere"))
    assert refused.returncode == 1
    assert "is no folder" in refused.stderr
