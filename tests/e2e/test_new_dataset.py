"""The test of the design: a dataset is SQL and YAML, and the engine knows none by name."""

import re
import shutil
from pathlib import Path

from tests.conftest import ROOT
from tests.e2e.conftest import Project

BOOKS = """\
isbn,TITLE,pages
1,Emma,474
2,Ulysses,many
3,,12
4,Persuasion,0
5,Dune,412
6,Dune,413
7,"Walden, or Life in the Woods",
8,too,many,fields
"""


def test_dataset_of_sql_and_yaml(project: Project) -> None:
    """A folder of SQL and YAML gets its load, its rejects and its endpoints."""
    shutil.copytree(
        Path(__file__).parent / "dataset", project.folder / "dbt_project", dirs_exist_ok=True
    )
    file = project.folder / "books.csv"
    file.write_text(BOOKS)
    done = project.assay("up", "--no-serve", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A book has at least one page." in done.stdout
    none_left = project.folder / "none left.csv"
    none_left.write_text("isbn,title,pages\n9,,\n")
    done = project.assay("up", "--no-serve", str(none_left))
    assert done.returncode == 0, done.stdout + done.stderr

    with project.serve() as client:
        load = client.get("/api/v1/loads").json()["items"][1]
        (account,) = client.get(f"/api/v1/loads/{load['load_id']}").json()["entities"]
        assert (account["rows"], account["new"], account["rejected"]) == (8, 2, 6)
        rejected = client.get(f"/api/v1/loads/{load['load_id']}/rejected").json()["items"]
        assert {row["row_number"]: row["rules"][0]["name"] for row in rejected} == {
            3: "page_count_type",
            4: "title_required",
            5: "pages_positive",
            6: "one_book_per_title",
            7: "one_book_per_title",
            9: "field_count",
        }
        books = client.get("/api/v1/books").json()["items"]
        assert {book["isbn"] for book in books} == {"1", "7"}
        made = client.post("/api/v1/books", json={"isbn": "10", "title": "Middlemarch"})
        assert (made.status_code, made.json()["page_count"]) == (201, 1)
        refused = client.patch("/api/v1/books/10", json={"page_count": 0})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["rule"] == "pages_positive"
        taken = client.post("/api/v1/books", json={"isbn": "11", "title": "Emma"})
        assert taken.status_code == 409
        assert taken.json()["errors"][0]["detail"] == "Another book has this title."
        assert client.delete("/api/v1/books/10").status_code == 204
        events = client.get("/api/v1/books/10/history").json()["items"]
        assert [event["operation"] for event in events] == ["delete", "insert"]
        odd = client.post("/api/v1/books", json={"isbn": "a/b%", "title": "Odd"})
        assert client.get(odd.headers["location"]).json()["isbn"] == "a/b%"
        changes = client.get("/api/v1/books/changes").json()["items"]
        assert {c["key"]: c["operation"] for c in changes} == {
            "1": "upsert",
            "7": "upsert",
            "10": "delete",
            "a/b%": "upsert",
        }


# Words of the project's datasets that are also words of the platform or of SQL.
KEPT = {"repairs", "updated_at", "updated_by", "name", "type", "description"}


def names_of_datasets(project: Path) -> set[str]:
    """Every name that a dataset brings: folders, models, sources, columns, rules."""
    names: set[str] = set()
    models = project / "dbt_project" / "models"
    for file in (*models.glob("staging/*/_*__sources.yml"), *models.glob("marts/*/_*__models.yml")):
        names |= set(re.findall(r"- (?:\{)?name: (\w+)", file.read_text()))
    names |= {folder.name for folder in models.glob("*/*") if folder.is_dir()}
    return {name for name in names if not name.startswith(("_", "stg_", "rejected_"))} - KEPT


def test_renamed_project_works_the_same(project: Project) -> None:
    """With every dataset, column and rule renamed mechanically, load, rules and API still work."""
    names = names_of_datasets(project.folder)
    assert {"metabolites", "feature", "inchi_or_cas", "laboratory"} <= names
    longest_first = "|".join(sorted(names, key=len, reverse=True))
    # `is_cas_number` is a function, `load_id` the platform's, and text such as `Features` is what
    # stands in files
    name = re.compile(rf"(?<![a-z0-9-])(?<!is_)(?<!load_)({longest_first})(?![a-z0-9-])")
    models = project.folder / "dbt_project" / "models"
    for file in [path for path in models.rglob("*") if path.is_file()]:
        file.write_text(name.sub(r"zz_\1", file.read_text()))
    for path in sorted(models.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        path.rename(path.with_name(name.sub(r"zz_\1", path.name)))
    (project.folder / "data").rename(project.folder / "files")
    for path in (path for path in (project.folder / "files").rglob("*") if path.is_file()):
        renamed = (
            project.folder / "data" / name.sub(r"zz_\1", str(path.relative_to(path.parents[1])))
        )
        renamed.parent.mkdir(parents=True, exist_ok=True)
        # headers in small letters are names of columns too
        renamed.write_text(name.sub(r"zz_\1", path.read_text()))
    done = project.assay("up", "--no-serve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "zz_inchi_or_cas" in done.stdout
    with project.serve() as client:
        page = client.get("/api/v1/zz_metabolites").json()
        assert page["items"][0]["zz_feature"]
        (group, *_) = client.get("/api/v1/zz_groups?expand=zz_sites").json()["items"]
        assert [site["zz_id"] for site in group["_expanded"]["zz_sites"]] == group["zz_site_ids"]


def test_no_python_names_a_dataset() -> None:
    """Nothing under these packages holds a name of a dataset, its columns or its rules."""
    names = names_of_datasets(ROOT)
    # English words that a program needs too; only a name with an underscore gives itself away
    telling = {name for name in names if "_" in name} | {
        path.name for path in (ROOT / "dbt_project/models/marts").iterdir()
    }
    for package in ("assay", "loader", "api", "sync", "lake"):
        for file in (ROOT / package).rglob("*.py"):
            found = telling & set(re.findall(r"\w+", file.read_text()))
            assert not found, f"{file.relative_to(ROOT)} names {found}: say it in the contract"
