"""Loading files by the command: those that fit, those that do not, those that are passed over."""

import gzip
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import typer

from assay import cli
from assay.catalog import Catalog
from loader.errors import LoadError

PRODUCTS = (
    "name,price,quantity,last_updated,barcode\nOil,2.5,3,2026-01-31T12:00:00Z,4006381333931\n"
)
CONDITIONS = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"
OTHERS = {
    "allergies.csv": f"{CONDITIONS},SYSTEM,TYPE,CATEGORY,REACTION1,SEVERITY1",
    "careplans.csv": f"Id,{CONDITIONS},REASONCODE,REASONDESCRIPTION",
    "medications.csv": f"{CONDITIONS},PAYER,BASE_COST,DISPENSES,TOTALCOST,REASONCODE",
    "procedures.csv": f"{CONDITIONS},BASE_COST,REASONCODE,REASONDESCRIPTION",
}


@pytest.fixture
def url(prepared: str, create_database: Callable[..., str]) -> str:
    return create_database(prepared)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def run(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return run


def loaded(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("select file_name from raw.loads where state = 'loaded'")
        return sorted(name for (name,) in found)


def test_a_refused_file_does_not_hold_up_the_others(
    url: str,
    catalog: Catalog,
    write: Callable[[str, str | bytes], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each that is refused is told, and the command ends with 1; lock files are passed over."""
    files = [
        write("~$products.xlsx", b"\x06ann"),
        write("products.csv.gz", gzip.compress(PRODUCTS.encode())),
        write("products.tsv", PRODUCTS.replace(",", "\t")),
        write("products.csv", PRODUCTS),
        write("x.csv", "a,b\n"),
        write("more.csv", PRODUCTS.replace("Oil", "Salt")),
    ]
    with pytest.raises(typer.Exit) as end:
        cli._load(url, catalog, files, None, force=False)  # noqa: SLF001
    assert end.value.exit_code == 1
    assert loaded(url) == ["more.csv", "products.csv"]
    said = capsys.readouterr()
    assert "~$products.xlsx is passed over: this is the lock file that Excel keeps" in said.out
    assert "products.csv.gz: this is packed (gzip)" in said.err
    assert "shop.products takes no .tsv" in said.err
    assert "x.csv: the headers fit no source table" in said.err


def test_one_file_that_is_refused(
    url: str, catalog: Catalog, write: Callable[[str, str | bytes], Path]
) -> None:
    """It ends the command as it always did; a lock file alone is no fault."""
    with pytest.raises(LoadError, match="fit no source table"):
        cli._load(url, catalog, [write("x.csv", "a,b\n")], None, force=False)  # noqa: SLF001
    lock = write("~$x.xlsx", b"\x06ann")
    assert cli._load(url, catalog, [lock], None, force=False) == []  # noqa: SLF001


@pytest.mark.parametrize("name", OTHERS)
def test_tables_that_have_all_mandatory_headers_of_another(
    url: str, catalog: Catalog, write: Callable[[str, str | bytes], Path], name: str
) -> None:
    """They are only loaded into it by name, which is noted."""
    path = write(name, OTHERS[name] + "\n")
    with pytest.raises(LoadError, match=r"may be the file of another table.*pass `--source NAME`"):
        cli._load(url, catalog, [path], None, force=False)  # noqa: SLF001
    (result,) = cli._load(url, catalog, [path], "synthea.conditions", force=False)  # noqa: SLF001
    assert "belong to nothing that synthea.conditions knows" in result.notes["other_table"]


def test_the_encoding_of_a_file(
    url: str, catalog: Catalog, write: Callable[[str, str | bytes], Path]
) -> None:
    """A European file: semicolons, and Windows-1252 as the refusal says."""
    header = "Features;Identification_level;ID_InChI;CAS_number;Method;Sample Data"
    path = write("semi.csv", f"{header}\ncaféine;2;;58-08-2;LC-µ;12.5\n".encode("cp1252"))
    with pytest.raises(LoadError, match="as Windows-1252 the value reads 'caféine'"):
        cli._load(url, catalog, [path], None, force=False)  # noqa: SLF001
    (result,) = cli._load(url, catalog, [path], None, "cp1252", force=False)  # noqa: SLF001
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select method, features from raw.laboratory__metabolites where _load_id = %s",
            [result.load_id],
        ).fetchone()
    assert row == ("LC-µ", "caféine")
