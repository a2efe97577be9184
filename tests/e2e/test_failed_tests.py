"""A test of dbt that fails: what `assay build` says of it, and what it leaves."""

from tests.e2e.conftest import Project

TESTS = {
    "no_level_one": "select * from {{ ref('metabolites') }} where identification_level = 1",
    "no_patients": "select * from {{ ref('patients') }}",
}
STATE = "select xmin::text, metabolites::text from curated.metabolites order by metabolite_id"


def test_a08_a_failed_test_names_its_rows_and_changes_nothing(project: Project) -> None:
    """At most 20 of each; rows of a person are in no terminal."""
    assert project.assay("up", "--no-serve").returncode == 0
    before = project.query(STATE)
    for name, query in TESTS.items():
        (project.folder / "dbt_project" / "tests" / f"{name}.sql").write_text(query)
    failed = project.assay("build", "--select", "test_type:singular")
    assert failed.returncode == 1
    for name in TESTS:
        assert f"{name}: Got " in failed.stderr
    shown = [line for line in failed.stdout.splitlines() if '"identification_level": 1' in line]
    assert len(shown) == 20
    assert all(line.startswith("no_level_one: {") for line in shown)
    assert "birth" not in failed.stdout + failed.stderr
    assert project.query(STATE) == before
