"""What DESIGN.md, sections 4 and 5, says of metabolites, in plain Python and without a database.

One idea carries it: **the state of a key is its last event.** An event is an accepted row of a
load that says something new, or an edit. So the model keeps the events of each key, and its table
is what the last ones left; there is no second way to a state that could agree with the first by
accident, as there is in the engine.

Nothing here is taken from the engine but two texts that decision 0004 and the repairs fix: how a
row is hashed (it decides which of several equal rows is kept) and how a repair is worded.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import md5
from typing import Any
from uuid import UUID

SOURCE = (
    "features",
    "identification_level",
    "id_inchi",
    "cas_number",
    "method",
    "sample_data",
)
"""The columns of a file, in its order."""

ORIGINS = {
    "feature": "features",
    "identification_level": "identification_level",
    "id_inchi": "id_inchi",
    "cas_number": "cas_number",
    "method": "method",
    "sample_value": "sample_data",
    "sample_status": "sample_data",
}
"""The column of a file that each column of a row hangs on."""

Fields = tuple[str, ...]
"""A row of a file."""


@dataclass(frozen=True)
class File:
    """The headers of a file and the rows below."""

    rows: tuple[Fields, ...] = ()
    columns: tuple[str, ...] = SOURCE
    """Some of SOURCE, in its order. What is absent says nothing."""

    @property
    def absent(self) -> tuple[str, ...]:
        return tuple(column for column in SOURCE if column not in self.columns)

    @property
    def said(self) -> frozenset[str]:
        """The columns of a row that the file speaks of."""
        return frozenset(c for c, origin in ORIGINS.items() if origin in self.columns)

    def without(self, *absent: str) -> "File":
        """The file as somebody sends it who leaves out some of its columns."""
        places = [n for n, column in enumerate(self.columns) if column in absent]
        return File(
            tuple(
                tuple(text for n, text in enumerate(fields) if n not in places)
                for fields in self.rows
            ),
            tuple(column for column in self.columns if column not in absent),
        )


Document = Mapping[str, str | int | None]
"""A body of a request."""

Key = str
Rules = frozenset[str]


def key_of(feature: str | None) -> Key:
    """The key of a feature that is new; a row keeps it when its feature changes."""
    return str(UUID(md5((feature or "").encode(), usedforsecurity=False).hexdigest()))


# ---------- rows


@dataclass(frozen=True)
class Row:
    """A row as the contract has it, provenance apart. None is what is not there."""

    feature: str | None = None
    identification_level: int | None = 3
    id_inchi: str | None = None
    cas_number: str | None = None
    method: str | None = None
    sample_value: str | None = None
    """A number by its digits: 1 and 1.0 are two values."""
    sample_status: str = "not_available"
    repairs: tuple[str, ...] = ()


LINKS = {
    "one_identifier_per_feature": ("id_inchi",),
    "one_method_per_feature": ("method",),
}
"""The functional dependencies: what hangs on the feature."""

LINKED = ("id_inchi", "method")

UNIQUE = {
    "one_row_per_feature": "feature",
    "one_feature_per_inchi": "id_inchi",
    "one_feature_per_cas": "cas_number",
}

MANDATORY = {
    "feature": "feature_required",
    "identification_level": "identification_level_required",
    "method": "method_required",
}
"""The rules of a body that gives null; what has no default may not be left out either."""


RULES: dict[str, tuple[str, ...]] = {
    "feature_required": ("feature",),
    "feature_length": ("feature",),
    "method_required": ("method",),
    "method_filled": ("method",),
    "identification_level_type": ("identification_level",),
    "identification_level_range": ("identification_level",),
    "inchi_or_cas": ("id_inchi", "cas_number"),
    "inchi_valid": ("id_inchi",),
    "cas_number_valid": ("cas_number",),
    "sample_value_type": ("sample_value",),
    "measured_has_value": ("sample_status", "sample_value"),
}
"""The rules of one row, and the columns that each is about."""


def rules_broken_by(
    row: Row, unread: Iterable[str] = (), said: Iterable[str] = tuple(ORIGINS)
) -> Rules:
    """The rules of one row; a column that could not be read breaks that rule and no other.

    Where not all columns are `said` only the rules that are about those can be judged.
    """
    unread, said = frozenset(unread), frozenset(said)
    level = row.identification_level
    broken = {
        "feature_required": row.feature is None,
        "feature_length": row.feature is not None and not is_trimmed(row.feature),
        "method_required": row.method is None,
        "method_filled": row.method is not None and not row.method.strip(),
        "identification_level_type": "identification_level" in unread,
        "identification_level_range": level is not None and not 1 <= level <= 5,
        "inchi_or_cas": row.id_inchi is None and row.cas_number is None,
        "inchi_valid": row.id_inchi is not None and not is_inchi(row.id_inchi),
        "cas_number_valid": row.cas_number is not None and not is_cas(row.cas_number),
        "sample_value_type": "sample_value" in unread,
        "measured_has_value": "sample_value" not in unread
        and (row.sample_status == "measured") != (row.sample_value is not None),
    }
    return frozenset(
        rule for rule, is_broken in broken.items() if is_broken and said.issuperset(RULES[rule])
    )


def is_trimmed(text: str) -> bool:
    return bool(text) and text == text.strip()


def is_inchi(text: str) -> bool:
    """Enough of the grammar for the texts of these tests."""
    return re.fullmatch(r"InChI=1S/[A-Za-z0-9]+(/c[0-9-]+)?(/h[0-9,H-]+)?", text) is not None


def is_cas(text: str) -> bool:
    """The last digit is the sum of the others, each times its place from the right."""
    if not re.fullmatch(r"[1-9][0-9]{1,6}-[0-9]{2}-[0-9]", text):
        return False
    *digits, check = (int(digit) for digit in text.replace("-", ""))
    places = enumerate(reversed(digits), start=1)
    return sum(place * digit for place, digit in places) % 10 == check


# ---------- staging


@dataclass(frozen=True)
class Staged:
    """A row of a file that was read."""

    number: int
    """As a spreadsheet counts: the header is row 1."""
    row: Row
    """None where the file says nothing."""
    unread: Rules
    said: frozenset[str]
    hash: str
    """Of the text as it came, and of what it has no header for."""

    @property
    def key(self) -> Key:
        return key_of(self.row.feature)

    @property
    def meaning(self) -> dict[str, Any]:
        """What is said of each column; 1 and 1.0 say the same, whatever their digits."""
        return {
            column: Decimal(value) if column == "sample_value" and value else value
            for column in self.said
            for value in [getattr(self.row, column)]
        }


def stage(number: int, fields: Fields, file: File) -> Staged:
    """Clean, cast, default, repair; each repair is listed."""
    given = dict.fromkeys(SOURCE) | dict(zip(file.columns, map(clean, fields), strict=True))
    level, inchi, cas = (given[c] for c in ("identification_level", "id_inchi", "cas_number"))
    status, value = read_sample(given["sample_data"])
    row = Row(
        feature=given["features"],
        identification_level=3 if level is None else to_integer(level),
        id_inchi=inchi and re.sub(r"[\s\u200b\ufeff]+", "", inchi),
        cas_number=cas and repair_cas(cas),
        method=given["method"],
        sample_value=value,
        sample_status=status,
    )
    repairs = tuple(
        f"{column}: {given[column] or 'blank'} -> {repaired}"
        for column in ("identification_level", "id_inchi", "cas_number")
        if (repaired := getattr(row, column)) is not None
        and given[column] != str(repaired)
        and column in file.said
    )
    unread = {
        "identification_level": row.identification_level is None,
        "sample_value": status == "measured" and value is None,
    }
    nothing: dict[str, Any] = dict.fromkeys(ORIGINS.keys() - file.said)
    return Staged(
        number=number,
        row=replace(row, repairs=repairs, **nothing),
        unread=frozenset(column for column, is_unread in unread.items() if is_unread),
        said=file.said,
        hash=hash_of(fields, file),
    )


def clean(text: str) -> str | None:
    return text.strip(" \t\r\n\u00a0\u200b\ufeff") or None


def to_integer(text: str) -> int | None:
    """`2.0`, as spreadsheets write it, is 2."""
    return int(text.partition(".")[0]) if re.fullmatch(r"[+-]?[0-9]+(\.0*)?", text) else None


def to_number(text: str) -> str | None:
    is_number = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text)
    return f"{Decimal(text):f}" if is_number else None


def repair_cas(text: str) -> str:
    """A spreadsheet that takes a CAS number for a date puts a zero before the check digit."""
    repaired = re.sub(r"-0([0-9])$", r"-\1", text)
    return repaired if is_cas(repaired) else text


def read_sample(text: str | None) -> tuple[str, str | None]:
    """Status and value."""
    plain = (text or "NA").upper().replace(".", "")
    if plain in ("NA", "N/A", "#N/A"):
        return "not_available", None
    if plain == "ND":
        return "not_detected", None
    return "measured", to_number(text or "")


def hash_of(fields: Fields, file: File) -> str:
    """Decision 0004: `column=length:value` of what is there, in the order of the columns.

    Where columns are absent it is another: a blank says something, no header says nothing.
    """
    parts = [
        f"{column}={len(text.encode())}:{text}"
        for column, text in sorted(zip(file.columns, fields, strict=True))
        if text
    ]
    text = md5("\x1f".join(["", *parts]).encode(), usedforsecurity=False).hexdigest()
    if not file.absent:
        return text
    text = f"{UUID(text)} {{{','.join(sorted(file.absent))}}}"
    return md5(text.encode(), usedforsecurity=False).hexdigest()


# ---------- events


@dataclass(frozen=True)
class Event:
    """What set the state of a key: one version of it."""

    clock: int
    before: Row | None
    after: Row | None
    """None after a deletion."""
    by: str
    load_id: int | None = None
    """The load that the row came with; none for an edit."""

    @property
    def operation(self) -> str:
        if self.after is None:
            return "delete"
        return "insert" if self.before is None else "update"


@dataclass
class Account:
    """What became of the rows of a load: each is counted once."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    superseded: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass
class Load:
    load_id: int
    clock: int
    name: str
    file: File
    is_unloaded: bool = False
    account: Account | None = None
    """None until a build took the load."""
    verdicts: dict[int, Rules] = field(default_factory=dict)
    """The rules that each rejected row breaks, by its number."""

    @property
    def rows(self) -> dict[int, Fields]:
        """By row number. A blank line is no row, but it has a number."""
        return {n: fields for n, fields in enumerate(self.file.rows, start=2) if any(fields)}


@dataclass(frozen=True)
class Answer:
    """What a request gets: status, the rules that a refusal may name, the row after a success."""

    status: int
    rules: Rules = frozenset()
    row: Row | None = None

    @property
    def is_success(self) -> bool:
        return self.status < 300


NOT_FOUND = Answer(404)


class Model:
    """Loads, edits and builds, and the table that they make."""

    def __init__(self, editor: str) -> None:
        self.events: defaultdict[Key, list[Event]] = defaultdict(list)
        """In clock order, by key."""
        self.loads: list[Load] = []
        """In clock order."""
        self._ledger: dict[Key, str] = {}
        """The hash of the last accepted row of each key."""
        self._said: dict[Key, dict[str, Any]] = {}
        """What its source last said of each column."""
        self._editor = editor
        self._clock = 0

    # ---------- what is there

    @property
    def table(self) -> dict[Key, Row]:
        return {key: row for key in self.events if (row := self.row(key)) is not None}

    def row(self, key: Key) -> Row | None:
        return self.events[key][-1].after if self.events.get(key) else None

    # ---------- loads and builds

    def earlier(self, name: str, file: File) -> Load | None:
        """The load that makes a file no news: the latest of its name, or of all, if it is equal."""
        loaded = [load for load in self.loads if not load.is_unloaded]
        latest = loaded[-1:] + [load for load in loaded if load.name == name][-1:]
        return next((load for load in latest if load.file == file), None)

    def load(self, load_id: int, name: str, file: File) -> None:
        """A file that is news becomes visible; the next build takes it."""
        self.loads.append(Load(load_id, self._tick(), name, file))

    def build(self) -> None:
        """Loads are taken one after another, in clock order."""
        for load in self.loads:
            if load.account is None and not load.is_unloaded:
                load.account = self._take(load)

    def _take(self, load: Load) -> Account:
        """One load, in the order of DESIGN 4: alone, against what is curated, merge."""
        account = Account()
        news: dict[int, tuple[Staged, Row]] = {}
        copies_of: dict[int, list[Staged]] = {}
        staged, rejected = judge_alone(load)
        for key, (kept, *copies) in rows_of_keys(staged).items():
            account.duplicates += len(copies)
            if self._ledger.get(key) == kept.hash or not self._is_news(key, kept):
                account.unchanged += 1
                self._ledger[key] = kept.hash
            elif self._was_edited_after(key, load.clock):
                account.superseded += 1
                self._listen(key, kept)
            else:
                news[kept.number] = kept, filled(self.row(key), kept)
                copies_of[kept.number] = copies

        # Judged before any is merged, so that their order does not matter.
        wanted = {number: (read.key, row) for number, (read, row) in news.items()}
        lost = [(read.key, read.row) for read in rejected if read.row.feature is not None]
        for number, broken in self._refused(wanted, lost).items():
            read, _ = news.pop(number)
            copies = copies_of[number]
            load.verdicts |= {read.number: broken for read in (read, *copies)}
            account.duplicates -= len(copies)

        for read, row in news.values():
            current = self.row(read.key)
            if current is None:
                account.new += 1
            else:
                account.changed += 1
            self._listen(read.key, read)
            by = f"load {load.load_id} row {read.number}"
            event = Event(load.clock, current, row, by, load.load_id)
            self.events[read.key].append(event)

        account.rejected = len(load.verdicts)
        return account

    def _is_news(self, key: Key, read: Staged) -> bool:
        """Whether a row says of any column what its source did not say of it last."""
        said = self._said.get(key, {})
        return any(said.get(c, self) != value for c, value in read.meaning.items())

    def _listen(self, key: Key, read: Staged) -> None:
        """Remember what a source said: of other columns it said what it said before."""
        self._ledger[key] = read.hash
        self._said[key] = self._said.get(key, {}) | read.meaning

    def _refused(
        self, wanted: Mapping[int, tuple[Key, Row]], lost: Iterable[tuple[Key, Row]] = ()
    ) -> dict[int, Rules]:
        """Those of the whole rows of a load that break rules, which of them.

        An identifier of another key is free where that key's row is among them and gives it up;
        rows that need each other so are an exchange, of which all are accepted or none. The
        `lost` rows were refused before, and with each the exchange that it was part of.
        """
        places = {key: place for place, (key, _) in wanted.items()}
        found = {
            place: rules_broken_by(row) | self._breaks_links(row)
            for place, (_, row) in wanted.items()
        }
        steps: list[tuple[int, int, str]] = []
        claims = [(place, *claim) for place, claim in wanted.items()]
        claims += [(-place, *claim) for place, claim in enumerate(lost, start=1)]
        for place, key, row in claims:
            for rule, holder in self._holders(key, row):
                giver = places.get(holder)
                column = UNIQUE[rule]
                # What keys are computed from is not exchanged.
                if (
                    giver is not None
                    and column != "feature"
                    and (getattr(wanted[giver][1], column) != getattr(row, column))
                ):
                    steps.append((place, giver, rule))
                elif place in found:
                    found[place] |= {rule}
        broken = {place for place, rules in found.items() if rules} | {
            n for n, *_ in steps if n < 0
        }
        while (
            more := {end for *ends, _ in steps if broken.intersection(ends) for end in ends}
            - broken
        ):
            broken |= more
        # Who only gives has no other reason to be rejected, or that one.
        named = {place for place, *_ in steps} | {place for place, rules in found.items() if rules}
        for place, giver, rule in steps:
            for end in {place} | ({giver} - named):
                if end in broken and end in found:
                    found[end] |= {rule}
        return {place: rules for place, rules in found.items() if rules}

    def _holders(self, key: Key, row: Row) -> list[tuple[str, Key]]:
        """The rules by which other keys hold what a row claims, and those keys."""
        return [
            (rule, other)
            for rule, column in UNIQUE.items()
            for other, held in self.table.items()
            if other != key and getattr(row, column) == getattr(held, column) is not None
        ]

    def _was_edited_after(self, key: Key, clock: int) -> bool:
        return any(
            event.load_id is None and event.clock > clock for event in self.events.get(key, ())
        )

    def _breaks_links(self, row: Row) -> Rules:
        """Links of the feature that only an edit changes."""
        same_feature = [other for other in self.table.values() if other.feature == row.feature]
        return frozenset(
            rule
            for rule, columns in LINKS.items()
            for other in same_feature
            if any(differ([getattr(row, c), getattr(other, c)]) for c in columns)
        )

    def _taken(self, key: Key | None, row: Row) -> Rules:
        """The rules by which other rows hold what a row has."""
        others = [other for of, other in self.table.items() if of != key]
        return frozenset(
            rule
            for rule, column in UNIQUE.items()
            if getattr(row, column) is not None
            and any(getattr(row, column) == getattr(other, column) for other in others)
        )

    # ---------- edits

    def create(self, document: Document) -> Answer:
        if refusal := _misshapen(document, is_whole=True):
            return refusal
        row = _proposed(document)
        key = key_of(row.feature)
        if not self.row(key) or rules_broken_by(row):
            return self._edit(key, row, status=201)
        return Answer(409, self._taken(None, row) | {"metabolite_id_unique"})

    def replace(self, key: Key, document: Document) -> Answer:
        if refusal := _misshapen(document, is_whole=True):
            return refusal
        return self._edit(key, _proposed(document)) if self.row(key) else NOT_FOUND

    def change(self, key: Key, document: Document) -> Answer:
        if refusal := _misshapen(document, is_whole=False):
            return refusal
        current = self.row(key)
        return self._edit(key, _changed(current, document)) if current else NOT_FOUND

    def delete(self, key: Key) -> Answer:
        return self._edit(key, None, status=204) if self.row(key) else NOT_FOUND

    def revert(self, key: Key, version: int) -> Answer:
        """To the version at a place of the key's history, counted from the oldest."""
        if not 0 <= version < len(self.events.get(key, ())):
            return NOT_FOUND
        row = self.events[key][version].after
        return self._edit(key, row) if row else Answer(422)

    def _edit(self, key: Key, row: Row | None, *, status: int = 200) -> Answer:
        if row is not None:
            # PostgreSQL looks at a row by itself before it looks at others.
            if broken := rules_broken_by(row):
                return Answer(422, broken)
            if taken := self._taken(key, row):
                return Answer(409, taken)
        self._write(key, row, self._editor)
        return Answer(status, row=row)

    def _write(self, key: Key, row: Row | None, by: str) -> None:
        self.events[key].append(Event(self._tick(), self.row(key), row, by))

    # ---------- unloads

    def unload(self, load: Load, user: str) -> bool:
        """Take back what a load did where nothing newer stands; whether it was to be had."""
        if load.is_unloaded:
            return False
        load.is_unloaded = True
        undone = {
            key: events[-1].before
            for key, events in self.events.items()
            if events and events[-1].load_id == load.load_id
        }
        # What was added goes first: its identifiers are free then.
        for key, before in undone.items():
            if before is None:
                self._write(key, None, user)
        restored = {n: (key, row) for n, (key, row) in enumerate(undone.items()) if row}
        refused = {restored[n][0] for n in self._refused(restored)}
        for key, before in undone.items():
            if key in refused:
                continue
            if before is not None:
                self._write(key, before, user)
            del self._ledger[key]
            del self._said[key]
        return True

    def _tick(self) -> int:
        self._clock += 1
        return self._clock


# ---------- a load by itself


def judge_alone(load: Load) -> tuple[list[Staged], list[Staged]]:
    """The rows that break no rule of one row or between rows of the load, and those that do."""
    staged, rejected = [], []
    for number, fields in load.rows.items():
        if len(fields) != len(load.file.columns):
            load.verdicts[number] = frozenset({"field_count"})
            continue
        read = stage(number, fields, load.file)
        if broken := rules_broken_by(read.row, read.unread, read.said):
            load.verdicts[number] = broken
            rejected.append(read)
        else:
            staged.append(read)
    contradictions = contradictions_among(staged)
    load.verdicts |= contradictions
    rejected += [read for read in staged if read.number in contradictions]
    return [read for read in staged if read.number not in contradictions], rejected


def contradictions_among(staged: Sequence[Staged]) -> dict[int, Rules]:
    """Rows that contradict each other, all of them: nobody knows which is right."""
    found: defaultdict[int, Rules] = defaultdict(frozenset)

    def blame(group: list[Staged], rule: str) -> None:
        found.update({read.number: found[read.number] | {rule} for read in group})

    of_features = grouped(staged, "feature")
    for group in of_features:
        for rule, columns in LINKS.items():
            if any(differ([getattr(read.row, column) for read in group]) for column in columns):
                blame(group, rule)
    for rule in ("one_feature_per_inchi", "one_feature_per_cas"):
        for group in grouped(staged, UNIQUE[rule]):
            if differ([read.row.feature for read in group]):
                blame(group, rule)
    # Said only where no other rule says more exactly what is wrong.
    for group in of_features:
        if any(read.meaning != group[0].meaning for read in group):
            blame([read for read in group if read.number not in found], "one_row_per_feature")
    return dict(found)


def grouped(staged: Sequence[Staged], column: str) -> list[list[Staged]]:
    """The rows by their values of a column; nulls are no value."""
    groups: defaultdict[str, list[Staged]] = defaultdict(list)
    for read in staged:
        if (value := getattr(read.row, column)) is not None:
            groups[value].append(read)
    return list(groups.values())


def rows_of_keys(staged: Sequence[Staged]) -> dict[Key, list[Staged]]:
    """Rows that say the same of one key; the first is kept, whatever their order in the file."""
    rows: defaultdict[Key, list[Staged]] = defaultdict(list)
    for read in sorted(staged, key=lambda read: (read.hash, read.number)):
        rows[read.key].append(read)
    return rows


def differ(values: Iterable[str | None]) -> bool:
    """Nulls neither agree nor differ."""
    return len({value for value in values if value is not None}) > 1


def filled(current: Row | None, read: Staged) -> Row:
    """The whole row: what its file says nothing of stays as it is, or takes its default.

    A null in a later load does not erase what hangs on the feature.
    """
    row, absent = read.row, set(ORIGINS) - read.said
    if current is None:
        defaults = {
            "identification_level": 3,
            "sample_status": "not_available" if row.sample_value is None else "measured",
        }
        taken: dict[str, Any] = {c: v for c, v in defaults.items() if c in absent}
        # In the order of the contract.
        notes = tuple(f"{column}: blank -> {value}" for column, value in taken.items())
        return replace(row, **taken, repairs=(*row.repairs, *notes))
    kept = absent | {column for column in LINKED if getattr(row, column) is None}
    known: dict[str, Any] = {column: getattr(current, column) for column in kept}
    return replace(row, **known)


def rules_broken_in(rows: Iterable[Row]) -> Rules:
    """All rules that a table breaks: none, at every moment."""
    rows = list(rows)
    repeated = {
        rule
        for rule, column in UNIQUE.items()
        for value, count in Counter(getattr(row, column) for row in rows).items()
        if value is not None and count > 1
    }
    return frozenset(repeated).union(*map(rules_broken_by, rows))


# ---------- bodies of requests


def _misshapen(document: Document, *, is_whole: bool) -> Answer | None:
    """The refusal of a body that no table could take, if it is one."""
    absent = {"feature", "method"} - document.keys() if is_whole else set()
    null = {name for name in MANDATORY if name in document and document[name] is None}
    unknown = document.keys() - Row.__dataclass_fields__.keys()
    if absent or null or unknown or not document:
        return Answer(422, frozenset(MANDATORY[name] for name in absent | null))
    return None


def _changed(row: Row, document: Document) -> Row:
    changes: dict[str, Any] = dict(document)
    if (value := document.get("sample_value")) is not None:
        changes["sample_value"] = to_number(str(value))
    return replace(row, **changes)


def _proposed(document: Document) -> Row:
    """A whole row: what is left out gets its default."""
    has_value = document.get("sample_value") is not None
    return _changed(Row(sample_status="measured" if has_value else "not_available"), document)
