"""Judges what a storm was answered by the journal: the order in which edits really came."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.arena import Arena
from tests.faults.storm import CONFLICTS, Answer


@dataclass(frozen=True)
class History:
    """What happened to the keys of a storm, each moment by its place in the journal."""

    places: dict[int, int]
    """Of each mark."""
    deletions: dict[str, list[int]]
    """Of each key."""


def history_of(arena: Arena, begin: int) -> History:
    """After a place."""
    places: dict[int, int] = {}
    deletions: dict[str, list[int]] = defaultdict(list)
    for edit in arena.query(EDITS, begin):
        if edit["operation"] == "delete":
            deletions[edit["key"]].append(edit["clock"])
        else:
            assert edit["mark"] not in places, f"done twice: {edit}"
            places[edit["mark"]] = edit["clock"]
    return History(places, deletions)


def contradictions(history: History, answers: list[Answer]) -> Iterator[str]:
    """What cannot be, if each edit happens once, at one moment between request and answer.

    An edit that was not answered, or by 503 or 504, happened or not.
    """
    edits = [answer for answer in answers if answer.edit and answer.edit.mark]
    for answer in edits:
        assert answer.edit
        is_there = answer.edit.mark in history.places
        if answer.is_acknowledged and not is_there:
            yield f"lost: {answer}"
        if answer.status in CONFLICTS and is_there:
            yield f"refused, and done: {answer}"
    done = sorted((a for a in edits if a.is_acknowledged), key=lambda answer: answer.at)
    for read in answers:
        if read.edit is None and read.key.startswith("/") and read.status in (200, 404):
            yield from _contradictions_of_read(history, done, read)


def _contradictions_of_read(history: History, done: list[Answer], read: Answer) -> Iterator[str]:
    key, begun = read.key.removeprefix("/"), read.at - read.seconds
    known = [
        history.places.get(edit.edit.mark, 0)
        for edit in done
        if edit.edit and edit.edit.mark and edit.edit.key == key and edit.at < begun
    ]
    if read.status == 200:
        seen = history.places.get(read.seen or 0, 0)
    else:
        seen = max(history.deletions[key], default=0)
    if seen < max(known, default=0):
        yield f"older than what was acknowledged before: {read}"


EDITS = """
select
    key, operation, clock,
    coalesce(after -> 'sample_value', after -> 'page_count')::numeric::bigint as mark
from journal.edits
where clock > %s
"""
