"""Records of an API: exactly those it has, whatever happens on the way."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest

from assay.catalog import Catalog
from loader.errors import ListingError, LoadError, UnavailableError
from loader.http.access import recorded
from loader.http.extract import extract
from loader.tables import create_raw_tables
from tests.conftest import ROOT
from tests.http.conftest import FULL_SIZE, Records

MOMENTARY = (
    "restart",
    "token ran out",
    "busy",
    "failure",
    "cut off",
    "repeated page",
    "repeated token",
    "another page size",
    "no pagination",
)


def states(records: Records, **options: bool) -> list[str]:
    return [result.state for result in records.extract(**options)]


def test_a55_all_records_of_an_api_become_curated_rows(records: Records) -> None:
    apprenticeships, programmes, projects = FULL_SIZE
    records.provider.fill(apprenticeships, programmes, projects)
    records.provider.seconds = 0.01
    results = records.extract()
    assert [result.rows for result in results] == [apprenticeships, projects, programmes]
    records.check_raw()
    records.build()
    records.check_curated()
    assert 1 < records.provider.most_at_once <= 32
    assert records.provider.logins == 1


def test_a55_the_second_time_only_what_changed_is_asked_for(records: Records) -> None:
    records.extract()
    records.build()
    versions = records.curated("apprenticeships", "id, updated_at")
    records.provider.asked.clear()

    last = max(a["modified_date"] for a in records.provider.apprenticeships.values())
    results = records.extract()

    path, parameters = records.provider.asked[0]
    assert path == "/apprenticeships"
    overlap = datetime.fromisoformat(last) - datetime.fromisoformat(parameters["modified_after"])
    assert overlap == timedelta(minutes=10)
    # one lies in the overlap, with its projects
    asked = [path for path, _ in records.provider.asked]
    assert sorted(asked) == ["/apprenticeships", "/apprenticeships/a-59/projects", "/programmes"]
    assert [(r.state, r.rows) for r in results[:2]] == [
        ("already loaded", 1),
        ("already loaded", 2),
    ]
    assert results[2].state == "already loaded"
    records.build()
    assert records.curated("apprenticeships", "id, updated_at") == versions
    # and once more: nothing is new
    assert {result.state for result in records.extract()} == {"already loaded"}


def test_a55_a_change_is_fetched_with_its_projects_alone(records: Records) -> None:
    records.extract()
    records.build()
    provider = records.provider
    provider.put("a-7", "2026-03-01T12:00:00", "p-1", last_name="Birch")
    provider.put("a-new", "2026-03-01T12:00:01", "p-2")
    provider.projects["a-7"].append(
        {"id": "j-new", "title": "New", "description": "a\r\n b", "status": "pending"}
    )
    provider.asked.clear()

    results = records.extract()

    # the one in the overlap says what it said, as do all projects but one
    assert [result.rows for result in results] == [2, 1, 12]
    assert results[1].notes == {"known_records": len(provider.projects["a-7"]) - 1 + 2}
    asked = {path for path, _ in provider.asked}
    assert asked == {
        "/apprenticeships",
        "/apprenticeships/a-7/projects",
        "/apprenticeships/a-59/projects",
        "/apprenticeships/a-new/projects",
        "/programmes",
    }
    records.build()
    changed = records.warehouse.query(
        "select last_name from curated.apprenticeships where id in ('a-7', 'a-new') order by id"
    )
    assert [row["last_name"] for row in changed] == ["Birch", "Of a-new"]
    new = records.warehouse.query("select * from curated.projects where id = 'j-new'")
    assert (new[0]["apprenticeship_id"], new[0]["description"]) == ("a-7", "a b")


def test_all_can_be_asked_for_again(records: Records) -> None:
    records.extract()
    records.provider.asked.clear()
    assert states(records, full=True) == ["already loaded"] * 3
    assert len({path for path, _ in records.provider.asked}) == 60 + 2
    assert "modified_after" not in records.provider.asked[0][1]


def stored(records: Records) -> list[int]:
    tables = ("apprenticeships", "projects", "programmes")
    counted = [f"(select count(*) from raw.multiverse__{table})" for table in tables]
    (row,) = records.warehouse.query(f"select array[{', '.join(counted)}] as counts")
    counts: list[int] = row["counts"]
    return counts


def test_what_was_said_before_is_not_stored_again(records: Records) -> None:
    """Full, incremental, full: a record is compared with the last state of its key."""
    records.extract()
    records.build()
    first = stored(records)
    records.provider.put("a-7", "2026-03-01T12:00:00", "p-1", last_name="Birch")
    records.extract()
    records.build()
    assert stored(records) == [first[0] + 1, *first[1:]]
    assert states(records, full=True) == ["already loaded"] * 3
    assert stored(records) == [first[0] + 1, *first[1:]]
    # what comes back as it was is news again
    records.provider.put("a-8", "2026-03-02T12:00:00", "p-1", last_name="Elm")
    records.provider.put("a-7", "2026-03-02T12:00:01", "p-1", last_name="Oak")
    records.extract()
    records.provider.put("a-7", "2026-03-03T12:00:00", "p-1", last_name="Birch")
    (apprenticeships, *_) = records.extract(full=True)
    assert apprenticeships.rows == 1
    records.build()
    assert records.curated("apprenticeships", "last_name, id")
    names = "select last_name from curated.apprenticeships where id in ('a-7', 'a-8') order by id"
    assert [r["last_name"] for r in records.warehouse.query(names)] == ["Birch", "Elm"]
    # what was taken back was never said
    last = apprenticeships.load_id
    assert records.warehouse.operate("unload", load_id=last, user="clerk")
    (again, *_) = records.extract(full=True)
    assert (again.state, again.rows) == ("loaded", 1)


def test_the_sample_of_an_api_is_not_what_it_said(records: Records) -> None:
    """The first records of the API itself are all loaded, and the recorded ones go."""
    catalog = records.warehouse.catalog
    (api,) = catalog.listed
    access = recorded(api, ROOT)
    assert access
    samples = asyncio.run(
        extract(records.warehouse.url, api, catalog.listed[api], access, loaded_by="test")
    )
    assert samples
    records.build()
    assert len(records.curated("apprenticeships", "id")) == samples[0].rows
    assert {result.state for result in records.extract()} == {"loaded"}
    records.build()
    records.check_curated()
    assert {
        row["state"]
        for row in records.warehouse.query("select state from raw.loads where is_sample")
    } == {"unloaded"}


@pytest.mark.parametrize("at", [1, 3, 20])
@pytest.mark.parametrize("fault", MOMENTARY)
def test_a41_what_happens_on_the_way_changes_nothing(records: Records, fault: str, at: int) -> None:
    records.provider.largest_page = 20
    records.provider.faults = {at: fault}
    records.extract()
    assert not records.provider.faults, "it did not happen"
    records.check_raw()


def test_a41_many_faults_of_every_kind(records: Records) -> None:
    records.provider.largest_page = 20
    records.provider.faults = {4 * n + 2: fault for n, fault in enumerate(MOMENTARY * 2)}
    records.extract()
    assert not records.provider.faults
    records.check_raw()
    records.build()
    records.check_curated()


def test_a_listing_without_an_end_is_refused_whole(records: Records) -> None:
    records.provider.is_endless = True
    with pytest.raises(LoadError, match="more than 9 pages") as refused:
        records.extract(max_pages=9)
    assert not isinstance(refused.value, UnavailableError)
    assert records.raw("apprenticeships") == []
    failed = records.warehouse.query("select * from raw.loads")
    assert [(row["state"], row["error"]) for row in failed] == [("failed", str(refused.value))]

    records.provider.is_endless = False
    records.extract(max_pages=9)
    records.check_raw()


def test_a_page_that_always_comes_back_is_refused(records: Records) -> None:
    records.provider.largest_page = 20
    records.provider.faults = dict.fromkeys(range(1, 100), "repeated token")
    with pytest.raises(LoadError, match="leads back to pages before it"):
        records.extract()
    assert records.raw("apprenticeships") == []


def test_an_answer_that_never_says_what_comes_next_is_refused(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loader.http.client.ATTEMPTS", 3)
    records.provider.faults = dict.fromkeys(range(1, 100), "no pagination")
    with pytest.raises(LoadError, match=r"the answer has no 'pagination.next_token'"):
        records.extract()


def test_an_api_that_is_away_is_asked_again_later(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.provider.faults = {10: "failure", 11: "failure", 12: "failure"}
    monkeypatch.setattr("loader.http.client.ATTEMPTS", 1)
    with pytest.raises(UnavailableError, match=r"answered 500.; run it again"):
        records.extract()
    before = len(records.provider.asked)
    records.extract()
    # what was read is not asked for again
    assert len(records.provider.asked) < before + 62
    records.check_raw()


def test_a_wrong_password_is_refused(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.http.conftest.PASSWORD", "another")
    with pytest.raises(LoadError, match=r"refuses the login .401.; check MULTIVERSE_USERNAME"):
        records.extract()


def test_a_parent_that_went_away_has_no_records(records: Records) -> None:
    records.extract()
    provider = records.provider
    provider.put("a-7", "2026-03-01T12:00:00", "p-1")
    list_all = dict(provider.apprenticeships)

    class Forgetful(dict):  # type: ignore[type-arg]
        def __contains__(self, key: object) -> bool:
            return key != "a-7" and super().__contains__(key)

    provider.apprenticeships = Forgetful(list_all)
    _, projects, _ = records.extract()
    assert projects.notes == {"gone_parents": 1}


def test_records_that_no_table_can_hold_are_set_aside(records: Records) -> None:
    provider = records.provider
    provider.programmes["p-nul"] = {"id": "p-nul", "name": "nul \0 inside"}
    provider.programmes["p-half"] = {"id": "p-half", "name": "half \ud800 a sign"}
    provider.programmes["p-none"] = "not an object"  # type: ignore[assignment]
    provider.programmes["p-exact"] = {"id": "p-exact", "name": "exact", "more": 0.1 + 0.2}
    *_, programmes = records.extract()
    assert programmes.notes == {"malformed_rows": 3}
    records.build()
    account = records.warehouse.account(programmes.load_id)
    assert (account["new"], account["rejected"]) == (13, 3)
    rejected = records.warehouse.query("select rules, malformed from rejected.rejected_programmes")
    assert {tuple(row["rules"]) for row in rejected} == {("field_count",)}
    assert {row["malformed"] for row in rejected} == {
        '{"id": "p-nul", "name": "nul \\u0000 inside"}',
        '{"id": "p-half", "name": "half \\ud800 a sign"}',
        '"not an object"',
    }


def test_two_processes_do_not_read_at_once(records: Records) -> None:
    records.provider.seconds = 0.05

    async def both() -> list[object]:
        return await asyncio.gather(
            asyncio.to_thread(records.extract),
            asyncio.to_thread(records.extract),
            return_exceptions=True,
        )

    outcomes = asyncio.run(both())
    # the helper of these tests insists on results, and one had none
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AssertionError", "list"]
    records.check_raw()


def test_a_shared_address_warns_and_merges_nobody(records: Records) -> None:
    provider = records.provider
    for key in ("a-1", "a-2"):
        provider.put(key, "2026-03-01T12:00:00", "p-1", email_address="Both@example.org")
    apprenticeships, *_ = records.extract()
    records.build()
    account = records.warehouse.account(apprenticeships.load_id)
    assert account["warnings"] == {"email_address_shared": 2}
    assert account["new"] == 60
    records.build("--full-refresh")
    records.check_curated()


def test_another_place_has_nothing_to_do_with_what_came_before(records: Records) -> None:
    """Such as the API itself after its recorded answers."""
    ((api, _),) = records.warehouse.catalog.listed.items()
    records.access = recorded(api, ROOT)
    records.extract()
    records.access = None
    provider = records.provider
    results = records.extract()
    assert provider.asked[0] == ("/apprenticeships", {"page_size": "100"})
    assert [r.rows for r in results] == [60, 150, 12]
    keys = {record["parent"] for record in records.raw("projects")}
    assert set(provider.projects) <= keys


def stop_in_projects(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third listing of projects fails, and those after it."""
    with monkeypatch.context() as patch:
        patch.setattr("loader.http.client.ATTEMPTS", 1)
        asked = len(records.provider.asked)
        records.provider.faults = dict.fromkeys(range(asked + 4, asked + 300), "failure")
        with pytest.raises(UnavailableError):
            records.extract()
    records.provider.faults = {}


def test_all_is_asked_for_after_a_part_was_not_read_to_its_end(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.extract()
    provider = records.provider
    for number in range(5):
        provider.put(f"a-late{number}", f"2026-03-01T12:00:0{number}", "p-1")
        provider.projects[f"a-late{number}"] = [
            {"id": f"j-late{number}", "title": "Late", "description": None, "status": "graded"}
        ]
    stop_in_projects(records, monkeypatch)
    # its apprenticeship was not changed
    provider.projects["a-0"][0]["title"] = "Another"
    provider.asked.clear()
    records.extract(full=True)
    assert len({path for path, _ in provider.asked}) == 65 + 2
    titles = {record["title"] for record in records.raw("projects")}
    assert {"Late", "Another"} <= titles


def test_a_walk_goes_on_only_where_it_began(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in_projects(records, monkeypatch)
    asked = len(records.provider.asked)
    results = records.extract(path="/programmes", for_each=None)
    assert [result.rows for result in results] == [12, 12, 12]
    assert len(records.provider.asked) == asked + 3


def test_nothing_changed_leaves_the_mark_where_it_was(records: Records) -> None:
    records.extract()
    provider = records.provider
    for key in [k for k in provider.apprenticeships if k != "a-0"]:
        del provider.apprenticeships[key]
    records.extract()
    mark = "select modified_until from raw.walks order by load_id desc limit 3"
    marks = [row["modified_until"] for row in records.warehouse.query(mark)]
    assert marks == [None, None, "2026-02-03 19:40:00.000295"]


def test_where_no_parent_has_anything_the_path_is_wrong(records: Records) -> None:
    class Forgetful(dict[str, dict[str, object]]):
        def __contains__(self, key: object) -> bool:
            return False

    records.provider.apprenticeships = Forgetful(records.provider.apprenticeships)
    with pytest.raises(ListingError, match="nothing at any of 60 paths"):
        records.extract()
    assert records.raw("apprenticeships") == []
    # and the next one begins anew
    records.provider.apprenticeships = dict(records.provider.apprenticeships)
    records.extract()
    records.check_raw()


def test_failures_of_a_gateway_do_not_make_a_token_stale(records: Records) -> None:
    provider = records.provider
    provider.fill(200, 2, 2)
    provider.largest_page = 5
    provider.faults = {n + k: "bad gateway" for n in range(5, 60, 13) for k in range(4)}
    records.extract()
    records.check_raw()
    starts = [
        p for p, q in provider.asked if p == "/apprenticeships" and "pagination_token" not in q
    ]
    assert len(starts) == 1


def test_what_was_read_stays_when_the_api_asks_to_wait_long(records: Records) -> None:
    """A listing that is whole is not asked for again, whatever was under way at the refusal."""
    provider = records.provider
    # 62 requests are needed, so each of three rounds of 20 is refused in the end
    for _ in range(3):
        provider.allowed = len(provider.asked) + 20
        kept, before = whole_listings(records), len(provider.asked)
        with pytest.raises(UnavailableError, match="it answered 429"):
            records.extract()
        assert not kept & {path for path, _ in provider.asked[before:]}
        assert whole_listings(records) >= kept | {"/apprenticeships"}
    provider.allowed = None
    kept, before = whole_listings(records), len(provider.asked)
    records.extract()
    asked = [path for path, _ in provider.asked[before:]]
    assert len(asked) == len(set(asked)) == 62 - len(kept)
    assert not kept & set(asked)
    records.check_raw()


def whole_listings(records: Records) -> set[str]:
    """Paths of those that were read to their end, in walks that are not recorded yet."""
    tables = records.warehouse.catalog.source_tables
    found = records.warehouse.query(
        """
        select source_table, parent from raw.listings inner join raw.walks using (load_id)
        where is_whole
        """
    )
    listings = [(tables[row["source_table"]].listing, row["parent"] or {}) for row in found]
    return {listing.path.format_map(parent) for listing, parent in listings if listing}


def test_a_mended_field_is_computed_for_all_records(records: Records) -> None:
    records.extract()
    table = records.warehouse.catalog.source_tables["multiverse.projects"]
    columns = tuple(
        replace(column, header="title") if column.name == "status" else column
        for column in table.columns
    )
    mended = Catalog({}, {table.name: replace(table, columns=columns)})
    with psycopg.connect(records.warehouse.url) as connection:
        create_raw_tables(connection, mended)
    query = "select status = title as is_same from raw.multiverse__projects"
    assert all(row["is_same"] for row in records.warehouse.query(query))
