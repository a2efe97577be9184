"""Random histories of loads, edits and builds end where an independent model says (P2 to P5).

`make test` plays the same 10 histories each time, `make test-long` 200 of a seed that it prints.
A failure is shrunk to the shortest history that hypothesis finds, written as a program.
"""

import functools
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.property.conftest import EDITOR
from tests.property.model import (
    SOURCE,
    Answer,
    Document,
    Fields,
    File,
    Model,
    key_of,
    rules_broken_in,
)
from tests.property.system import System, Version, row_of_response

STEPS = 30
UNLOADER = "keeper"

# ---------- small pools, so that histories meet the same keys and identifiers again and again

INCHIS = (
    "InChI=1S/CH4/h1H4",
    "InChI=1S/C2H6/c1-2/h1-2H3",
    "InChI=1S/C3H8/c1-3-2/h3H2,1-2H3",
)
CAS_NUMBERS = ("74-82-8", "74-84-0", "56-86-0")
WRONG_CAS = "56-86-1"
ZERO_PADDED_CAS = "56-86-00"
"""What a spreadsheet made of the last one."""

OWN = {
    "a": (INCHIS[0], CAS_NUMBERS[0]),
    "b": (INCHIS[1], CAS_NUMBERS[1]),
    "c": (INCHIS[2], ""),
    "d": ("", CAS_NUMBERS[2]),
    # where a and b are, this one has no place
    "e f": (INCHIS[0], CAS_NUMBERS[1]),
}
FEATURES = tuple(OWN)

# What is there more than once is drawn more often: most rows are good ones, or nothing would
# ever be curated.
METHODS = ("GC",) * 5 + ("LC",)
LEVELS = ("1",) * 6 + ("", "", "1.0", "2", "3", "0", "x")
VALUES = ("1", "1", "1", "1.0", "10e-1", "2", "2", "1e1", "ND", "n.d.", "NA", "", "a lot")


@st.composite
def identifiers(draw: st.DrawFn, feature: str) -> tuple[str, str]:
    """InChI and CAS number: mostly the feature's own, now and then another's, or a wrong one."""
    inchi, cas = OWN[feature]
    some = [(inchi, "") if inchi else ("", cas), ("", cas) if cas else (inchi, ""), (inchi, cas)]
    spaced = (inchi.replace("/h", "/ h"), cas)
    others = [(other, "") for other in INCHIS] + [("", other) for other in CAS_NUMBERS]
    wrong = [("", ""), ("InChI=1S/", ""), (inchi, WRONG_CAS), ("", ZERO_PADDED_CAS)]
    return draw(st.sampled_from([*some * 8, spaced, spaced, *others, *wrong]))


@st.composite
def rows(draw: st.DrawFn) -> Fields:
    """A row of a file, in all the shapes that files have."""
    feature = draw(st.sampled_from(FEATURES))
    inchi, cas = draw(identifiers(feature))
    method, level = draw(st.sampled_from(METHODS)), draw(st.sampled_from(LEVELS))
    row = (feature, level, inchi, cas, method, draw(st.sampled_from(VALUES)))
    shapes: list[Fields] = [
        row,
        (f" {feature}\u00a0", *row[1:]),
        ("", *row[1:]),
        (*row[:4], " ", row[5]),
        row[:5],
        (*row, "one field too many"),
        ("",) * len(row),
    ]
    return draw(st.sampled_from([row] * 30 + shapes))


# Some columns are absent of some files; the feature never is.
ABSENT = st.just(()) | st.lists(st.sampled_from(SOURCE[1:]), max_size=4).map(tuple)


@st.composite
def files(draw: st.DrawFn, min_size: int = 0) -> File:
    """The rows of a file below its header."""
    drawn = draw(st.lists(rows(), min_size=min_size, max_size=6))
    return File(tuple(drawn)).without(*draw(ABSENT))


FILES = files()
NAMES = st.sampled_from(("monday.csv", "tuesday.csv", "wednesday.csv"))

LEVEL_GIVEN: st.SearchStrategy[Document] = st.sampled_from((1, 1, 2, 2, 3, 3, 9, None)).map(
    lambda level: {"identification_level": level}
)
SAMPLE_GIVEN: st.SearchStrategy[Document] = st.sampled_from(
    (
        {"sample_value": "1", "sample_status": "measured"},
        {"sample_value": "1.0", "sample_status": "measured"},
        {"sample_value": None, "sample_status": "not_detected"},
        {"sample_value": None, "sample_status": "measured"},
        {"sample_value": 7},
        {"sample_value": None},
    )
)
NOTHING: Document = {}


@st.composite
def documents(draw: st.DrawFn, features: tuple[str, ...] = FEATURES) -> Document:
    """A whole row as a client sends it."""
    feature = draw(st.sampled_from(features))
    inchi, cas = draw(identifiers(feature))
    return {
        "feature": draw(st.sampled_from((feature,) * 20 + (f" {feature}", None))),
        "method": draw(st.sampled_from((*METHODS * 3, " "))),
        "id_inchi": inchi or None,
        "cas_number": cas or None,
        **draw(st.just(NOTHING) | LEVEL_GIVEN),
        **draw(st.just(NOTHING) | SAMPLE_GIVEN),
    }


@st.composite
def changes(draw: st.DrawFn) -> Document:
    """A few fields of a row, mostly one."""
    one_of: list[st.SearchStrategy[Document]] = [
        st.sampled_from(METHODS).map(lambda method: {"method": method}),
        st.sampled_from((*INCHIS, *INCHIS, None, "InChI=1S/")).map(lambda x: {"id_inchi": x}),
        st.sampled_from((*CAS_NUMBERS, None, ZERO_PADDED_CAS)).map(lambda x: {"cas_number": x}),
        st.sampled_from(FEATURES).map(lambda feature: {"feature": feature}),
        LEVEL_GIVEN,
        SAMPLE_GIVEN,
        SAMPLE_GIVEN,
        documents(),
        st.sampled_from((NOTHING, {"updated_by": "somebody"})),
    ]
    return {**draw(st.one_of(one_of)), **draw(st.just(NOTHING) | SAMPLE_GIVEN)}


# A row by the feature that it was made with, whatever it is called today; mostly one that is
# there.
BORN = st.runner().flatmap(lambda histories: st.sampled_from(histories.present * 12 + FEATURES))
NEW_ROWS = st.runner().flatmap(lambda histories: documents(histories.absent * 6 + FEATURES))

PLAYED: Counter[str] = Counter()
"""What was done, for the sentence at the end."""


class Histories(RuleBasedStateMachine):
    """Does everything twice, to the system and to the model, and compares."""

    earlier: Bundle[File] = Bundle("earlier")

    def __init__(self, new_system: Callable[[], System]) -> None:
        super().__init__()
        self.model = Model(EDITOR)
        self.system = new_system()
        self.is_news = False
        """Whether anything was done since a build for its own sake: else it would be idle."""
        PLAYED["histories"] += 1

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(feature for feature in FEATURES if self.model.row(key_of(feature)))

    @property
    def absent(self) -> tuple[str, ...]:
        return tuple(feature for feature in FEATURES if not self.model.row(key_of(feature)))

    # ---------- loads

    @initialize(target=earlier, file=files(min_size=3))
    def load_first(self, file: File) -> File:
        """So that there is something to edit."""
        self._load("sunday.csv", file, build=True)
        return file

    @rule(target=earlier, file=FILES, name=NAMES, build=st.booleans())
    def load(self, file: File, name: str, build: bool) -> File:
        """A new file."""
        self._load(name, file, build)
        return file

    @rule(file=earlier, name=NAMES, is_reversed=st.booleans(), build=st.booleans())
    def load_again(self, file: File, name: str, is_reversed: bool, build: bool) -> None:
        """The rows of an earlier file."""
        rows = file.rows[::-1] if is_reversed else file.rows
        self._load(name, replace(file, rows=rows), build)

    @rule(file=earlier, name=NAMES, absent=st.sampled_from(SOURCE[1:]))
    def load_without(self, file: File, name: str, absent: str) -> None:
        """The rows of an earlier file, one of its columns left out."""
        self._load(name, file.without(absent), build=True)

    @rule(file=earlier, name=NAMES, order=st.permutations(range(6)))
    def load_exchanged(self, file: File, name: str, order: list[int]) -> None:
        """The rows of an earlier file, which exchange their CAS numbers."""
        if "cas_number" in file.columns:
            place = file.columns.index("cas_number")
            whole = [n for n, row in enumerate(file.rows) if len(row) == len(file.columns)]
            order = [n for n in order if n in whole]
            rows = list(file.rows)
            for n, other in zip(whole, order, strict=True):
                cas = file.rows[other][place]
                rows[n] = (*file.rows[n][:place], cas, *file.rows[n][place + 1 :])
            self._load(name, replace(file, rows=tuple(rows)), build=True)

    @rule(target=earlier, file=earlier, name=NAMES, place=st.integers(0, 5), row=rows())
    def load_changed(self, file: File, name: str, place: int, row: Fields) -> File:
        """The rows of an earlier file but one."""
        (row,) = File((row,)).without(*file.absent).rows
        changed = replace(file, rows=(*file.rows[:place], row, *file.rows[place + 1 :]))
        self._load(name, changed, build=True)
        return changed

    def _load(self, name: str, file: File, build: bool) -> None:
        PLAYED["steps"] += 1
        self.is_news = True
        result = self.system.load(name, file)
        if earlier := self.model.earlier(name, file):
            assert (result.state, result.load_id) == ("already loaded", earlier.load_id)
        else:
            PLAYED["loads"] += 1
            assert result.state == "loaded"
            self.model.load(result.load_id, name, file)
        if build:
            self._build()

    @precondition(lambda self: self.model.loads)
    @rule(back=st.integers(0, 6))
    def unload(self, back: int) -> None:
        """A load that a build took or not, the latest first; a second time it is refused."""
        PLAYED["steps"] += 1
        PLAYED["unloads"] += 1
        self.is_news = True
        load = self.model.loads[-1 - back % len(self.model.loads)]
        is_done = self.model.unload(load, UNLOADER)
        assert self.system.unload(load.load_id, UNLOADER) == is_done
        self._check_table()

    # ---------- builds

    @precondition(lambda self: self.is_news)
    @rule(how=st.sampled_from(("", "", "--full-refresh", "table lost")))
    def build(self, how: str) -> None:
        """Maybe with loads that wait; a table that is missing is computed again, not left empty."""
        PLAYED["steps"] += 1
        if how == "table lost":
            self.system.lose_table()
        self._build(*[how] if how.startswith("--") else [])
        self.is_news = False

    def _build(self, *options: str) -> None:
        PLAYED["builds"] += 1
        self.system.build(*options)
        self.model.build()
        self._check_table()

    # ---------- edits

    @rule(document=NEW_ROWS)
    def create(self, document: Document) -> None:
        self._edit("POST", "", document, self.model.create(document))

    @rule(born=BORN, document=documents())
    def replace(self, born: str, document: Document) -> None:
        key = key_of(born)
        self._edit("PUT", f"/{key}", document, self.model.replace(key, document))

    @rule(born=BORN, document=changes())
    def change(self, born: str, document: Document) -> None:
        key = key_of(born)
        self._edit("PATCH", f"/{key}", document, self.model.change(key, document))

    @rule(born=BORN, feature=st.sampled_from(FEATURES))
    def rename(self, born: str, feature: str) -> None:
        """The natural key changes, the key does not."""
        self.change(born, {"feature": feature})

    @rule(born=BORN)
    def delete(self, born: str) -> None:
        key = key_of(born)
        self._edit("DELETE", f"/{key}", None, self.model.delete(key))

    @rule(born=st.sampled_from(FEATURES), back=st.integers(0, 6))
    def revert(self, born: str, back: int) -> None:
        """To one of the latest versions, also of a row that is gone; or to one that never was."""
        PLAYED["reverts"] += 1
        key = key_of(born)
        place = len(self.model.events.get(key, ())) - 1 - back
        versions = self.system.history(key) if place >= 0 else []
        document = {"version": versions[place].version if versions else 10**9}
        self._edit("POST", f"/{key}/revert", document, self.model.revert(key, place))

    def _edit(self, method: str, path: str, document: Document | None, expected: Answer) -> None:
        PLAYED["steps"] += 1
        self.is_news = True
        PLAYED["edits" if expected.is_success else "refusals"] += 1
        response = self.system.api.request(method, path, document)
        assert response.status_code == expected.status, response.text
        if expected.row is not None:
            assert row_of_response(response) == expected.row
        if not expected.is_success:
            # PostgreSQL stops at the first rule that is broken, the model knows all of them.
            named = {error["rule"] for error in response.json()["errors"] if "rule" in error}
            assert named <= expected.rules
            assert bool(named) == bool(expected.rules)

    # ---------- what must be true

    def _check_table(self) -> None:
        events = self.model.events
        expected = {key: (row, events[key][-1].by) for key, row in self.model.table.items()}
        found = self.system.table()
        differing = {
            key: {"system": found.get(key), "model": expected.get(key)}
            for key in found.keys() | expected.keys()
            if found.get(key) != expected.get(key)
        }
        assert not differing

    def _check_reports(self) -> None:
        """Each row of each load is counted once, and each rejected one has its reasons."""
        taken = [load for load in self.model.loads if load.account]
        for load in taken:
            assert sum(vars(load.account).values()) == len(load.rows)
        assert self.system.accounts() == {
            load.load_id: (load.account, len(load.rows), broken_rules(load.verdicts.values()))
            for load in taken
        }
        verdicts = {load.load_id: load.verdicts for load in taken if load.verdicts}
        assert self.system.verdicts() == verdicts

    def _check_histories(self) -> None:
        for key, events in self.model.events.items():
            if events:
                assert [version_of(v) for v in self.system.history(key)] == [
                    (event.operation, event.before, event.after) for event in events
                ]

    def teardown(self) -> None:
        try:
            # Not where a step has failed, or hypothesis has broken a history off.
            if sys.exc_info()[0] is None:
                self._check_end()
        finally:
            self.system.close()

    def _check_end(self) -> None:
        self._build()
        self._check_reports()
        self._check_histories()
        assert rules_broken_in(self.model.table.values()) == frozenset()
        self.system.test()
        assert self.system.rows_with_wrong_time() == []
        writers = self.system.writers()
        self._build("--full-refresh")
        assert self.system.writers() == writers


def broken_rules(verdicts: Any) -> dict[str, int]:
    return dict(Counter(name for rules in verdicts for name in rules))


def version_of(version: Version) -> tuple[Any, Any, Any]:
    return version.operation, version.before, version.after


def play(new_system: Callable[[], System], histories: int, seed: int | None = None) -> None:
    PLAYED.clear()
    machine: Any = functools.partial(Histories, new_system)
    if seed is not None:
        machine = hypothesis.seed(seed)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=STEPS,
            derandomize=seed is None,
            # All that hypothesis knows of a failure is in its report.
            database=None,
            phases=(Phase.generate, Phase.shrink),
            # A step is a build; time is no fault of it.
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_histories(new_system: Callable[[], System]) -> None:
    """The same few in each run: what fails here fails everywhere."""
    play(new_system, 10)


@pytest.mark.long
def test_many_histories(
    new_system: Callable[[], System], capsys: pytest.CaptureFixture[str]
) -> None:
    """Others in each run; HISTORIES says how many, SEED plays those of an earlier run again."""
    seed = int(os.environ.get("SEED") or secrets.randbelow(1 << 32))
    print(f"\nSEED={seed}")  # noqa: T201 - shown where the test fails
    play(new_system, int(os.environ.get("HISTORIES") or 200), seed)
    with capsys.disabled():
        played = ", ".join(f"{count} {what}" for what, count in PLAYED.items())
        print(f"\nSEED={seed}: {played}")  # noqa: T201 - the point of a long run
