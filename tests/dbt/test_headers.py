"""What a file has no header for it says nothing of; the same in other words is no news."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from loader.copy import load_file
from tests.warehouse import NewWarehouse, Warehouse

POWERS = ["max_power_megawatt", "min_power_megawatt"]
SITE = ["id", "name", "country", "installation_date", *POWERS]
OPTIONAL = ["useful_energy_at_1_megawatt", "efficiency"]
FIGURES = ("new", "changed", "unchanged", "superseded", "duplicates", "rejected")


class Sites:
    """The sites of a warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self._loads = 0

    def build(self, *options: str) -> None:
        result = self.warehouse.invoke(
            self.warehouse.url, "run", "--select", "stg_energy__sites", "sites", *options
        )
        assert result.success, [r.message for r in result.result]

    def load(self, header: list[str], *rows: list[str]) -> dict[str, int]:
        """Load and build; the account, without what is nothing."""
        self._loads += 1
        path = self.warehouse.folder / f"{self._loads}.csv"
        path.write_text("\n".join(",".join(row) for row in (header, *rows)))
        source = self.warehouse.catalog.source_tables["energy.sites"]
        load_id = load_file(self.warehouse.url, source, path, loaded_by="test").load_id
        self.build()
        account = self.warehouse.account(load_id)
        return {name: account[name] for name in FIGURES if account[name]}

    def rows(self) -> dict[int, dict[str, Any]]:
        return {
            row["id"]: row["site"]
            for row in self.warehouse.query(
                "select id, to_jsonb(sites) - '_transaction_id' as site from curated.sites"
            )
        }

    def edit(self, number: int, **values: Any) -> None:
        """As the API does: row and journal in one statement."""
        assignments = ", ".join(f"{column} = %({column})s" for column in values)
        self.warehouse.connection.execute(
            f"""
            with written as (
                update curated.sites
                set {assignments}, updated_at = now(), updated_by = 'editor'
                where id = %(number)s
                returning to_jsonb(old) as before, to_jsonb(new) as after
            )
            insert into journal.edits (
                entity, key, operation, before, after, edited_by, edited_at
            )
            select 'sites', %(number)s, 'update', before, after, 'editor', now() from written
            """,
            {**values, "number": number},
        )

    def is_the_same_when_recomputed(self) -> bool:
        writers = "select xmin::text, id from curated.sites order by 2"
        before = self.warehouse.query(writers)
        self.build("--full-refresh")
        return self.warehouse.query(writers) == before

    def history(self, number: int, column: str) -> list[Any]:
        return [
            row["value"]
            for row in self.warehouse.query(
                f"select image ->> '{column}' as value"
                " from staging.sites__versions(%s) order by version",
                str(number),
            )
        ]


@pytest.fixture(scope="module")
def built(new_warehouse: NewWarehouse) -> str:
    with new_warehouse() as warehouse:
        Sites(warehouse).build()
        return warehouse.save_as("built_for_headers")


@pytest.fixture
def sites(new_warehouse: NewWarehouse, built: str) -> Iterator[Sites]:
    with new_warehouse(built) as warehouse:
        yield Sites(warehouse)


BUGEY = ["1", "Le Bugey", "france", "2019-04-06", "12.5", "0.5"]
FOCE = ["2", "Foce", "italy", "2021-05-01", "3", "1"]


def test_what_has_no_header_stays(sites: Sites) -> None:
    """Whatever the file lacks, and whatever else it changes; a blank under a header is a blank."""
    assert sites.load([*SITE, *OPTIONAL], [*BUGEY, "0.93", ""], [*FOCE, "", "0.88"]) == {"new": 2}
    changed = [*BUGEY[:4], "13", "0.5"]
    assert sites.load(SITE, changed, FOCE) == {"changed": 1, "unchanged": 1}
    row = sites.rows()[1]
    assert (row["max_power_megawatt"], row["useful_energy_at_1_megawatt"]) == (13, 0.93)
    assert sites.rows()[2]["efficiency"] == 0.88
    assert sites.history(1, "useful_energy_at_1_megawatt") == ["0.93", "0.93"]
    assert sites.load([*SITE, OPTIONAL[0]], [*changed, ""]) == {"changed": 1}
    assert sites.rows()[1]["useful_energy_at_1_megawatt"] is None
    assert sites.history(1, "useful_energy_at_1_megawatt") == ["0.93", "0.93", None]
    assert sites.is_the_same_when_recomputed()


def test_what_an_edit_wrote_stays_too(sites: Sites) -> None:
    """A row that says something new sets what it says and nothing else."""
    sites.load([*SITE, OPTIONAL[0]], [*BUGEY, "0.93"])
    sites.edit(1, useful_energy_at_1_megawatt=0.5, name="Bugey")
    assert sites.load(SITE, BUGEY) == {"unchanged": 1}
    assert sites.load(SITE, [*BUGEY[:5], "0.25"]) == {"changed": 1}
    row = sites.rows()[1]
    assert (row["name"], row["min_power_megawatt"]) == ("Le Bugey", 0.25)
    assert row["useful_energy_at_1_megawatt"] == 0.5
    assert sites.is_the_same_when_recomputed()


def test_what_was_said_longer_ago_is_still_no_news(sites: Sites) -> None:
    """The source's last word on each column counts, in whichever file it stood."""
    sites.load([*SITE, *OPTIONAL], [*BUGEY, "0.93", ""])
    sites.load(SITE, [*BUGEY[:5], "0.25"])
    sites.edit(1, name="Bugey")
    assert sites.load([*SITE, OPTIONAL[0]], [*BUGEY[:5], "0.250", "0.930"]) == {"unchanged": 1}
    assert sites.rows()[1]["name"] == "Bugey"
    assert sites.load([*SITE, OPTIONAL[0]], [*BUGEY[:5], "0.25", "0.9"]) == {"changed": 1}
    assert sites.rows()[1]["name"] == "Le Bugey"
    assert sites.is_the_same_when_recomputed()


def test_a_row_is_judged_with_what_stays(sites: Sites) -> None:
    """A French site that becomes Italian keeps what only a French one has, and is rejected."""
    sites.load([*SITE, *OPTIONAL], [*BUGEY, "0.93", ""])
    assert sites.load(SITE, ["1", "Le Bugey", "italy", *BUGEY[3:]]) == {"rejected": 1}
    assert sites.load([*SITE, *OPTIONAL], ["1", "Le Bugey", "italy", *BUGEY[3:], "", "0.9"]) == {
        "changed": 1
    }
    assert sites.is_the_same_when_recomputed()


def test_a_load_without_a_column_is_taken_back(sites: Sites) -> None:
    """The row is what it was, the column included; then the file is news again."""
    sites.load([*SITE, *OPTIONAL], [*BUGEY, "0.93", ""])
    before = sites.rows()
    later = [*BUGEY[:4], "13", "0.5"]
    sites.load(SITE, later)
    (load,) = sites.warehouse.query("select max(load_id) as load_id from raw.loads")
    assert sites.warehouse.operate("unload", load_id=load["load_id"], user="keeper")
    after = sites.rows()
    for row in (*before.values(), *after.values()):
        del row["updated_at"], row["updated_by"]
    assert after == before
    assert sites.load(SITE, later) == {"changed": 1}
    assert sites.rows()[1]["useful_energy_at_1_megawatt"] == 0.93
    assert sites.is_the_same_when_recomputed()


def test_history_judged_again_knows_the_headers(sites: Sites) -> None:
    """As it knows what is the same in other words."""
    sites.load([*SITE, *OPTIONAL], [*BUGEY, "0.93", ""])
    sites.edit(1, name="Bugey")
    sites.load(SITE, [*BUGEY[:4], "12.50", "0.5"])
    sites.load(SITE, [*BUGEY[:4], "12.5", "0.25"])
    before = sites.rows()
    assert sites.warehouse.operate("rejudge", model_name="sites", user="admin", apply=True)
    assert sites.rows() == before
    assert sites.warehouse.query("select count(*) from journal.edits") == [{"count": 1}]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("12.5", "12.50"),
        ("12.5", "0012.5"),
        ("12.5", "1.25e1"),
        ("12.5", " 12.5 "),
    ],
)
def test_the_same_in_other_words_is_no_news(sites: Sites, first: str, second: str) -> None:
    """The edit holds; the same text twice is compared by its hash, and other rows in one file."""
    place = SITE.index("max_power_megawatt")

    def row(text: str) -> list[str]:
        return [*BUGEY[:place], text, *BUGEY[place + 1 :]]

    sites.load(SITE, row(first))
    sites.edit(1, name="Bugey")
    assert sites.load(SITE, row(second)) == {"unchanged": 1}
    assert sites.load([*SITE, "note"], [*row(second), "x"]) == {"unchanged": 1}
    assert sites.load(SITE, row(first), row(second)) == {
        "unchanged": 1,
        "duplicates": 1,
    }
    assert sites.rows()[1]["name"] == "Bugey"
    assert sites.is_the_same_when_recomputed()
    assert sites.load(SITE, row("12.51")) == {"changed": 1}
    assert sites.rows()[1]["name"] == "Le Bugey"


def test_a_load_of_before_had_all_headers(sites: Sites) -> None:
    """Nothing is known of the headers of what was loaded before this was kept."""
    sites.load([*SITE, *OPTIONAL], [*BUGEY, "0.93", ""])
    sites.load(SITE, [*BUGEY[:5], "0.25"])
    with psycopg.connect(sites.warehouse.url) as connection:
        connection.execute("update raw.loads set absent_columns = default")
    sites.build("--full-refresh")
    assert sites.rows()[1]["useful_energy_at_1_megawatt"] is None
