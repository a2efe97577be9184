"""Rows in request bodies: one as a JSON object, or many as an array."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncpg import Record
from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.body import as_json, parse_json, parsed, read_body, turn_of
from api.errors import Fault, Problem, fault_of_rule, in_item, invalid, pointer_to
from api.schemas import MAX_LINKS, Schemas
from api.security import Subject
from api.value_types import adapter_of
from assay.catalog import Entity
from assay.data_types import base_type
from assay.grammar import composed, form_of, read

MAX_ITEMS = 10_000
MAX_FAULTS = 100
_PATCH = ("application/json", "application/merge-patch+json")
_LEFT_OUT = {
    "timestamptz": "digits below the microsecond were cut.",
    "date": "the time after the day, its midnight, was left out.",
}
_WRITTEN = ("text", *_LEFT_OUT)
"""Types of which one value has several forms."""


@dataclass(frozen=True)
class Documents:
    """What a request wants to be written."""

    text: str
    """A JSON array, as it came but for what notation means: PostgreSQL reads numbers with all their
    digits."""
    names: frozenset[str]
    """Members that at least one has."""
    is_list: bool
    """Whether it came as one."""
    count: int
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """What was left out of values, as warnings, by the place of the document."""
    keys: tuple[str, ...] = ()
    """Of the documents, in their order, where each has one."""

    def answers(self, rows: Iterable[Mapping[str, str] | Record]) -> list[str]:
        """The bodies of written rows, with the notes of their documents among their warnings."""
        if not self.notes:
            return [row["body"] for row in rows]
        places = {key: place for place, key in enumerate(self.keys)}
        return [
            _with_warnings(row["body"], self.notes.get(places.get(row["key"], place), []))
            for place, row in enumerate(rows)
        ]


def _with_warnings(body: str, notes: list[dict[str, Any]]) -> str:
    """The list of warnings is the last member of a written row."""
    added = ", ".join(map(as_json, notes))
    if not added or not body.endswith("]}"):
        return body
    return f"{body[:-2]}{'' if body[:-2].endswith('[') else ', '}{added}]}}"


class Bodies:
    """Reads what is to be written to one entity; all raise `Problem` 401, 413, 415 or 422."""

    def __init__(self, entity: Entity, schemas: Schemas, reserved: tuple[str, ...]) -> None:
        self._entity = entity
        self._schemas = schemas
        self._reserved = reserved
        self._key = entity.columns_by_name[entity.key[0]]
        self._adapter = adapter_of(self._key)

    async def row(self, request: Request, _subject: Subject) -> Documents:
        """One whole row."""
        text = await read_body(request, "application/json")
        return self._one(text, parse_json(text), self._schemas.create)

    async def changes(self, request: Request, _subject: Subject) -> Documents:
        """Some fields of a row (JSON merge patch)."""
        text = await read_body(request, *_PATCH)
        return self._one(text, parse_json(text), self._schemas.patch)

    async def rows(self, request: Request, _subject: Subject) -> Documents:
        """A row, or many."""
        text = await read_body(request, "application/json", lists=True)
        async with turn_of(request, text):
            value = await parsed(text)
            if isinstance(value, list):
                return await asyncio.to_thread(self._many, text, value, self._schemas.create)
            return self._one(text, value, self._schemas.create)

    async def changes_of_rows(self, request: Request, _subject: Subject) -> Documents:
        """Fields for whatever a filter finds, or for many rows, each with its key."""
        text = await read_body(request, *_PATCH, lists=True)
        async with turn_of(request, text):
            value = await parsed(text)
            if isinstance(value, list):
                documents = await asyncio.to_thread(
                    self._many, text, value, self._schemas.patch_of_list
                )
                keys = [document[self._key.name] for document in value]
                self._refuse_twice(keys, pointer_to(self._key.name))
                return documents
        found = self._one(text, value, self._schemas.patch)
        assert isinstance(value, dict)  # noqa: S101 - it was judged
        # The rows' constraint says so too, but there may be no row.
        _refuse(self._unlisted(value))
        return found

    async def keys(self, request: Request, _subject: Subject) -> Documents | None:
        """Keys of many rows; None where there is no body."""
        if not _has_body(request):
            return None
        text = await read_body(request, "application/json", lists=True)
        async with turn_of(request, text):
            value = await parsed(text)
        if not isinstance(value, list):
            raise invalid(Fault("Send the keys in a JSON array.", "#"))
        _check_length(value)
        name = self._key.name
        model = self._schemas.patch_of_list
        faults = (
            (place, fault)
            for place, key in enumerate(value)
            for fault in _faults_of(self._entity, model, {name: key})
        )
        _refuse(in_item(Fault(fault.detail), place) for place, fault in faults)
        value = [composed(key) if isinstance(key, str) else key for key in value]
        self._refuse_twice(value)
        return Documents(as_json(value), frozenset(), is_list=True, count=len(value))

    def _one(self, text: str, value: object, model: type[BaseModel]) -> Documents:
        _refuse(self._faults(value, model))
        assert isinstance(value, dict)  # noqa: S101 - it was judged
        notes = self._settle(value)
        text = text if notes is None else as_json(value)
        return Documents(
            f"[{text}]", frozenset(value), is_list=False, count=1, notes={0: notes} if notes else {}
        )

    def _many(self, text: str, values: list[Any], model: type[BaseModel]) -> Documents:
        _check_length(values)
        _refuse(
            in_item(fault, place)
            for place, value in enumerate(values)
            for fault in self._faults(value, model)
        )
        names = frozenset(name for value in values for name in value)
        settled = [self._settle(value) for value in values]
        is_changed = any(notes is not None for notes in settled)
        return Documents(
            as_json(values) if is_changed else text,
            names,
            is_list=True,
            count=len(values),
            notes={place: notes for place, notes in enumerate(settled) if notes},
            keys=tuple(self._key_of(value) for value in values)
            if model is self._schemas.patch_of_list
            else (),
        )

    def _settle(self, document: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Put each value into the form in which PostgreSQL reads it as it is meant.

        None where nothing had to be put; else what was left out, as warnings.
        """
        notes: list[dict[str, Any]] = []
        is_changed = False
        for name, value in document.items():
            settled = _composed(value)
            column = self._entity.columns_by_name.get(name)
            if column and isinstance(settled, str) and base_type(column.data_type) in _WRITTEN:
                found = read(column.data_type, settled)
                settled = found.text
                if found.is_changed:
                    left_out = _LEFT_OUT[base_type(column.data_type)]
                    message = f"{column.title}: {left_out}"
                    notes.append({"name": f"{name}_read", "message": message, "columns": [name]})
            if settled != value:
                is_changed = True
                document[name] = settled
        return notes if is_changed else None

    def _key_of(self, document: dict[str, Any]) -> str:
        key = str(document[self._key.name])
        return key.lower() if base_type(self._key.data_type) == "uuid" else key

    def _faults(self, value: object, model: type[BaseModel]) -> tuple[Fault, ...]:
        if not isinstance(value, dict):
            return (Fault("This is not a JSON object.", "#"),)
        if faults := _faults_of(self._entity, model, value):
            return faults
        if model is self._schemas.patch and not value:
            return (Fault("There is nothing to change.", "#"),)
        if model is self._schemas.patch_of_list and len(value) == 1:
            return (Fault("There is nothing to change.", "#"),)
        if value.get(self._key.name) in self._reserved:
            words = " or ".join(self._reserved)
            detail = f"{self._key.title} cannot be {words}: the API uses this word."
            return (Fault(detail, pointer_to(self._key.name)),)
        return ()

    def _unlisted(self, document: object) -> Iterator[Fault]:
        assert isinstance(document, dict)  # noqa: S101 - it was judged
        for name, value in document.items():
            column = self._entity.columns_by_name.get(name)
            if column and column.enum and value is not None and value not in column.enum:
                options = ", ".join(map(str, column.enum))
                yield Fault(f"{column.title} is one of {options}.", pointer_to(name))

    def _refuse_twice(self, keys: Iterable[object], pointer: str | None = None) -> None:
        seen: dict[str, int] = {}
        for place, key in enumerate(keys):
            text = str(self._adapter.validate_python(key))
            if base_type(self._key.data_type) == "uuid":
                text = text.lower()
            if text in seen:
                detail = f"Item {seen[text]} has this key too."
                raise invalid(in_item(Fault(detail, pointer), place))
            seen[text] = place


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _check_length(values: list[Any]) -> None:
    if not 1 <= len(values) <= MAX_ITEMS:
        raise invalid(Fault(f"A list has 1 to {MAX_ITEMS:,} items.", "#"))


def _refuse(faults: Iterable[Fault]) -> None:
    """Raise for the first hundred, if there are any."""
    found = tuple(fault for fault, _ in zip(faults, range(MAX_FAULTS), strict=False))
    if found and found[0].pointer == "#":
        raise invalid(*found)
    if found:
        raise Problem(422, "The body does not fit.", found)


def _faults_of(
    entity: Entity, model: type[BaseModel], document: dict[str, Any]
) -> tuple[Fault, ...]:
    """Each member that does not fit the model; where the contract has a rule for it, in its words.

    A key that the server computes may be there where the model has it.
    """
    try:
        model.model_validate(document)
    except ValidationError as error:
        faults = {str(e["loc"][0]): _fault(entity, str(e["loc"][0]), e) for e in error.errors()}
        return tuple(faults.values())
    return ()


def _fault(entity: Entity, name: str, error: ErrorDetails) -> Fault:
    column = entity.columns_by_name.get(name)
    if name in (link.name for link in entity.links):
        detail = f"These are keys, in a JSON array of at most {MAX_LINKS:,}."
        return Fault(detail, pointer_to(name))
    if column is None:
        return Fault("There is no such field.", pointer_to(name))
    if error["type"] == "extra_forbidden":
        return Fault("The server sets this field.", pointer_to(name))
    rule = None
    if error["type"] == "missing" or (error["input"] is None and not column.is_nullable):
        rule = entity.rule_of_null(name)
    else:
        casts = (r for r in entity.rules if r.kind == "cast" and r.columns == (name,))
        rule = next(casts, None)
    if rule is None:
        detail = f"{column.title}: give {form_of(column.data_type)}."
        return Fault(detail, pointer_to(name), columns=(name,))
    return fault_of_rule(rule)


def _composed(value: Any) -> Any:  # noqa: ANN401 - it is JSON
    """All texts in it in Unicode's composed form."""
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [_composed(item) for item in value]
    if isinstance(value, dict):
        return {composed(name): _composed(item) for name, item in value.items()}
    return value
