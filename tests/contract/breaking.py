"""What of a newer OpenAPI document breaks a client of the older one.

What could be sent still can be, and what was promised still comes. A new path, parameter, field or
status breaks nobody, and neither does a new word of an enum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]
METHODS = ("get", "put", "post", "patch", "delete")
_LEAST = ("minimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "maxLength", "maxItems", "maxProperties")
_NULL = {"type": "null"}
_EXACT = ("pattern", "format", "uniqueItems")


def breaking_changes(old: Node, new: Node) -> list[str]:
    """A sentence for each, which begins with its place."""
    return list(_Documents(old, new).changes())


@dataclass(frozen=True)
class _Documents:
    old: Node
    new: Node

    def changes(self) -> Iterator[str]:
        for path, operations in self.old["paths"].items():
            for method in METHODS:
                if method not in operations:
                    continue
                place = f"{method.upper()} {path}"
                after = self.new["paths"].get(path, {}).get(method)
                if after is None:
                    yield f"{place}: is gone"
                else:
                    yield from self._of_operation(place, operations[method], after)

    def _of_operation(self, place: str, old: Node, new: Node) -> Iterator[str]:
        if "security" in new and "security" not in old:
            yield f"{place}: takes a token now"
        yield from self._of_parameters(place, old, new)
        yield from self._of_body(f"{place}, body", old.get("requestBody"), new.get("requestBody"))
        for status, response in old["responses"].items():
            where = f"{place}, {status}"
            before = _resolved(self.old, response)
            after = _resolved(self.new, new["responses"].get(status, {}))
            if status not in new["responses"]:
                yield f"{where}: is gone"
                continue
            for name in before.get("headers", {}):
                if name not in after.get("headers", {}):
                    yield f"{where}: header {name} is gone"
            yield from self._of_content(where, before, after, is_sent=False)

    def _of_parameters(self, place: str, old: Node, new: Node) -> Iterator[str]:
        before, after = (
            {
                (p["in"], p["name"]): p
                for p in (_resolved(document, p) for p in operation.get("parameters", ()))
            }
            for document, operation in ((self.old, old), (self.new, new))
        )
        for key, parameter in before.items():
            where = f"{place}, parameter {key[1]}"
            if key not in after:
                yield f"{where}: is gone"
                continue
            yield from self._of_schema(
                where, parameter["schema"], after[key]["schema"], is_sent=True
            )
        for key, parameter in after.items():
            if parameter.get("required") and not before.get(key, {}).get("required"):
                yield f"{place}, parameter {key[1]}: has to be there now"

    def _of_body(self, place: str, old: Node | None, new: Node | None) -> Iterator[str]:
        if new and new.get("required") and not (old and old.get("required")):
            yield f"{place}: has to be there now"
        if old and not new:
            yield f"{place}: is gone"
        elif old and new:
            yield from self._of_content(place, old, new, is_sent=True)

    def _of_content(self, place: str, old: Node, new: Node, *, is_sent: bool) -> Iterator[str]:
        for media_type, before in old.get("content", {}).items():
            after = new.get("content", {}).get(media_type)
            if after is None:
                yield f"{place}: {media_type} is gone"
            else:
                yield from self._of_schema(
                    place, before.get("schema", {}), after.get("schema", {}), is_sent=is_sent
                )

    def _of_schema(self, place: str, old: Node, new: Node, *, is_sent: bool) -> Iterator[str]:
        old, new = _resolved(self.old, old), _resolved(self.new, new)
        # Whatever a client may send has to fit what is taken; what comes, what was promised.
        wide, narrow = (new, old) if is_sent else (old, new)
        if _alternatives(old) != [old] or _alternatives(new) != [new]:
            yield from self._of_alternatives(place, old, new, is_sent=is_sent)
            return
        if _kind(wide) and not _is_type(_kind(narrow), _kind(wide)):
            yield f"{place}: is {_kind(new)}, was {_kind(old)}"
            return
        if _can_be_null(narrow) and _kind(wide) and not _can_be_null(wide):
            yield f"{place}: {'cannot' if is_sent else 'can'} be null now"
        if is_sent:
            yield from _tightened(place, old, new)
        yield from self._of_members(place, old, new, is_sent=is_sent)
        if "items" in old and "items" in new:
            yield from self._of_schema(f"{place}[]", old["items"], new["items"], is_sent=is_sent)

    def _of_alternatives(self, place: str, old: Node, new: Node, *, is_sent: bool) -> Iterator[str]:
        for one in _alternatives(old if is_sent else new):
            others = _alternatives(new if is_sent else old)
            found = [
                list(
                    self._of_schema(
                        place,
                        one if is_sent else other,
                        other if is_sent else one,
                        is_sent=is_sent,
                    )
                )
                for other in others
            ]
            if all(found):
                yield from min(found, key=len)

    def _of_members(self, place: str, old: Node, new: Node, *, is_sent: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        is_closed = new.get("additionalProperties") is False
        for name, schema in before.items():
            where = f"{place}/{name}"
            if name in after:
                yield from self._of_schema(where, schema, after[name], is_sent=is_sent)
            elif is_closed or not is_sent:
                yield f"{where}: is gone"
        was, is_ = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(is_ - was if is_sent else was - is_):
            if is_sent or name in after:
                yield f"{place}/{name}: {'has to be' if is_sent else 'may not be'} there now"


def _resolved(document: Node, schema: Node) -> Node:
    """A schema, parameter or response behind references; one that may be null as one with types."""
    while "$ref" in schema:
        _, _, kind, name = schema["$ref"].split("/")
        schema = document["components"][kind][name]
    others = [part for part in schema.get("anyOf", ()) if part != _NULL]
    if len(others) == 1 and len(schema["anyOf"]) == 2:
        (part,) = others
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        resolved = _resolved(document, part)
        return {**rest, **resolved, "type": [resolved.get("type", "object"), "null"]}
    return schema


def _alternatives(schema: Node) -> list[Node]:
    alternatives: list[Node] = schema.get("oneOf") or schema.get("anyOf") or [schema]
    return alternatives


def _kind(schema: Node) -> str | None:
    """The type beside null."""
    kind = schema.get("type")
    return next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind


def _can_be_null(schema: Node) -> bool:
    kind = schema.get("type")
    return isinstance(kind, list) and "null" in kind


def _is_type(narrow: str | None, wide: str | None) -> bool:
    return narrow == wide or (narrow, wide) == ("integer", "number")


def _tightened(place: str, old: Node, new: Node) -> Iterator[str]:
    for name in _EXACT:
        if name in new and new[name] != old.get(name):
            yield f"{place}: {name} is {new[name]}, was {old.get(name)}"
    for name in (*_LEAST, *_MOST):
        if name in new and (
            name not in old or (new[name] > old[name] if name in _LEAST else new[name] < old[name])
        ):
            yield f"{place}: {name} is {new[name]}, was {old.get(name)}"
    if "enum" in new:
        gone = [word for word in old.get("enum", ("anything else",)) if word not in new["enum"]]
        if gone:
            yield f"{place}: takes no more {', '.join(map(str, gone))}"
