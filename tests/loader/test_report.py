"""The report of a load and the rows that were rejected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from assay.catalog import Catalog, Entity, Rule
from loader.copy import load_file
from loader.errors import LoadError
from loader.report import read_examples, read_report
from tests.loader.conftest import THINGS

RULES = (
    Rule("known_colour", "check", ("colour",), "The colour is not known."),
    Rule("heavy", "check", ("weight",), "That is heavy.", "warn"),
)
ENTITY = Entity("things", "curated", "things", "", "", None, ("thing",), (), RULES, (THINGS.name,))
CATALOG = Catalog({"things": ENTITY}, {THINGS.name: THINGS})

Write = Callable[..., Path]


@pytest.fixture
def loaded(conninfo: str, write: Write) -> int:
    """Id of a load of four rows: two accepted, one rejected by rules, one malformed."""
    content = "Thing Name,Colour,Batch\ncup,red,1\n\npot,grue,2\njug\nmug,tan,4\n"
    return load_file(conninfo, THINGS, write(content), loaded_by="ann").load_id


@pytest.fixture
def judged(conninfo: str, loaded: int) -> int:
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "insert into journal.accounts (entity, load_id, rows, new, changed, unchanged, "
            "superseded, duplicates, rejected, rules, repairs, warnings) values "
            """('things', %s, 4, 2, 0, 0, 0, 0, 2, '{"known_colour": 1, "gone_rule": 1}', """
            """'{"colour": 3}', '{"heavy": 2}')""",
            [loaded],
        )
        connection.execute(
            "insert into journal.verdicts values "
            "('things', %(id)s, 4, '{known_colour,gone_rule}'), "
            "('things', %(id)s, 5, '{field_count}'), ('things', %(id)s + 0, 9, '{known_colour}')",
            {"id": loaded},
        )
    return loaded


def test_report_before_a_build(conninfo: str, loaded: int) -> None:
    """A load that no entity has taken yet has no entities."""
    with psycopg.connect(conninfo) as connection:
        report = read_report(connection, CATALOG, loaded)
    assert report.pop("started_at") < report.pop("finished_at")
    assert len(report.pop("sha256")) == 64
    assert report == {
        "load_id": loaded,
        "source_table": "shop.things",
        "file_name": "things.csv",
        "state": "loaded",
        "size_bytes": 60,
        "row_count": 4,
        "loaded_by": "ann",
        "notes": {
            "delimiter": ",",
            "encoding": "utf-8",
            "unknown_columns": ["Batch"],
            "other_table": "1 of 3 headers belong to nothing that shop.things knows",
            "blank_rows": 1,
            "malformed_rows": 1,
        },
        "error": None,
        "entities": [],
        "pending": ["things"],
        "unloads": [],
    }


def test_report_after_a_build(conninfo: str, judged: int) -> None:
    """Rules and warnings are counted and explained; a rule that is gone by its name."""
    with psycopg.connect(conninfo) as connection:
        report = read_report(connection, CATALOG, judged)
    (account,) = report["entities"]
    assert account.pop("done_at")
    assert account == {
        "entity": "things",
        "rows": 4,
        "new": 2,
        "changed": 0,
        "unchanged": 0,
        "superseded": 0,
        "duplicates": 0,
        "rejected": 2,
        "rules": {
            "known_colour": {"count": 1, "message": "The colour is not known."},
            "gone_rule": {"count": 1, "message": "gone_rule"},
        },
        "repairs": {"colour": 3},
        "warnings": {"heavy": {"count": 2, "message": "That is heavy."}},
    }
    assert report["pending"] == []


def test_report_of_a_failed_load(
    conninfo: str, write: Write, query: Callable[..., list[dict[str, Any]]]
) -> None:
    """A load that failed has the sentence that says why."""
    with pytest.raises(LoadError) as refusal:
        load_file(conninfo, THINGS, write(""), loaded_by="ann")
    (record,) = query("select load_id from raw.loads")
    with psycopg.connect(conninfo) as connection:
        report = read_report(connection, CATALOG, record["load_id"])
    assert (report["state"], report["error"]) == ("failed", str(refusal.value))


def test_examples_of_each_rule(conninfo: str, judged: int) -> None:
    """The first rows that a rule rejected come as they were; one that is gone has its number."""
    row = {"thing": "pot", "colour": "grue", "weight": None}
    pot = {"row_number": 4, "proposals": [], "row": row, "malformed": None}
    jug = {"row_number": 5, "proposals": [], "row": None, "malformed": "jug"}
    gone = {"row_number": 9, "proposals": [], "row": None, "malformed": None}
    with psycopg.connect(conninfo) as connection:
        connection.execute("update journal.accounts set rules = rules || '{\"field_count\": 1}'")
        for limit, more in ((1, []), (2, [gone])):
            examples = read_examples(connection, CATALOG, THINGS.name, judged, limit)
            assert examples == {
                "things": {
                    "field_count": [jug],
                    "gone_rule": [pot],
                    "known_colour": [pot, *more],
                }
            }
