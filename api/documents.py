"""Rows in request bodies: one as a JSON object, or many as an array."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.body import parse_json, read_body
from api.errors import Fault, Problem, fault_of_rule, in_item, invalid, pointer_to
from api.schemas import MAX_LINKS, Schemas, adapter_of
from api.security import Subject
from assay.catalog import Entity
from assay.data_types import base_type

MAX_ITEMS = 10_000
MAX_FAULTS = 100
_LONG = 1 << 16
_PATCH = ("application/json", "application/merge-patch+json")


@dataclass(frozen=True)
class Documents:
    """What a request wants to be written."""

    text: str
    """A JSON array, as it came: PostgreSQL reads numbers with all their digits."""
    names: frozenset[str]
    """Members that at least one has."""
    is_list: bool
    """Whether it came as one."""
    count: int


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
        value = await _parsed(text)
        if isinstance(value, list):
            return await asyncio.to_thread(self._many, text, value, self._schemas.create)
        return self._one(text, value, self._schemas.create)

    async def changes_of_rows(self, request: Request, _subject: Subject) -> Documents:
        """Fields for whatever a filter finds, or for many rows, each with its key."""
        text = await read_body(request, *_PATCH, lists=True)
        value = await _parsed(text)
        if isinstance(value, list):
            documents = await asyncio.to_thread(
                self._many, text, value, self._schemas.patch_of_list
            )
            keys = (document[self._key.name] for document in value)
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
        value = await _parsed(text)
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
        self._refuse_twice(value)
        return Documents(text, frozenset(), is_list=True, count=len(value))

    def _one(self, text: str, value: object, model: type[BaseModel]) -> Documents:
        _refuse(self._faults(value, model))
        assert isinstance(value, dict)  # noqa: S101 - it was judged
        return Documents(f"[{text}]", frozenset(value), is_list=False, count=1)

    def _many(self, text: str, values: list[Any], model: type[BaseModel]) -> Documents:
        _check_length(values)
        _refuse(
            in_item(fault, place)
            for place, value in enumerate(values)
            for fault in self._faults(value, model)
        )
        names = frozenset(name for value in values for name in value)
        return Documents(text, names, is_list=True, count=len(values))

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


async def _parsed(text: str) -> object:
    """Much of it in a thread, so that others are served meanwhile."""
    return await asyncio.to_thread(parse_json, text) if len(text) > _LONG else parse_json(text)


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
        return Fault(f"{column.title} has a wrong value.", pointer_to(name))
    return fault_of_rule(rule)
