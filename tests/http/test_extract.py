"""Records of an API: exactly those it has, whatever happens on the way."""

import asyncio
from datetime import datetime, timedelta

import pytest

from loader.errors import LoadError, UnavailableError
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
    assert [(r.state, r.rows) for r in results[:2]] == [("loaded", 1), ("loaded", 2)]
    assert results[2].state == "already loaded"
    records.build()
    account = records.warehouse.account(results[0].load_id)
    assert (account["unchanged"], account["changed"]) == (1, 0)
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

    # with the one in the overlap
    assert [result.rows for result in results] == [3, len(provider.projects["a-7"]) + 2, 12]
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
