"""Reads request bodies: bounded while they stream in, and JSON without its ambiguities."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from fastapi import Request
from starlette.types import Message, Receive

from api.errors import Fault, Problem, invalid, pointer_to

MAX_BYTES = 1 << 20
MAX_BYTES_OF_LIST = 16 << 20
MAX_VALUES = 400_000
"""Of a body, objects and arrays among them: each takes Python some 100 bytes, if it is short."""
LARGE_TEXT = 1 << 20
"""Characters from which bodies are parsed one after another."""
_LONG = 1 << 16
_MAX_DEPTH = 64
_SPACE = 1000
"""Bytes in which a list has to begin."""
PATIENCE_SECONDS = 30.0
SLOWEST = 10_000
"""Bytes a second: a body has its 30 seconds, and one more for each of these."""
# Python refuses to read a longer number as an int; Decimal reads it exactly, in linear time.
_INT_DIGITS = 100


def in_time(receive: Receive) -> Receive:
    """`receive`, which waits no longer for a body than it is worth.

    It raises `Problem` 408.
    """
    deadline: float | None = None
    is_whole = False

    async def receive_in_time() -> Message:
        nonlocal deadline, is_whole
        # Then it only waits for the client to go away.
        if is_whole:
            return await receive()
        deadline = deadline or time.monotonic() + PATIENCE_SECONDS
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise Problem(408) from None
        is_whole = not message.get("more_body", False)
        deadline += len(message.get("body", b"")) / SLOWEST
        return message

    return receive_in_time


def check_encoding(request: Request) -> None:
    """Raises `Problem` 415 for a body that is compressed: how long it is shows only afterwards."""
    codings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    if {coding.strip() for coding in codings} - {"", "identity"}:
        # RFC 9110, 12.5.3: in an answer, what a request may have.
        headers = {"Accept-Encoding": "identity"}
        raise Problem(415, "Send the body as it is, without Content-Encoding.", headers=headers)


async def read_body(request: Request, *media_types: str, lists: bool = False) -> str:
    """The body as text; where it may be a JSON array, that may be longer than an object.

    Raises:
        Problem: 415, 413, or 422 where it is not UTF-8.
    """
    check_encoding(request)
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in media_types:
        raise Problem(415, f"Send {' or '.join(media_types)}.", headers={"Accept": media_types[0]})
    body = bytearray()
    counter = ValueCounter()
    async for chunk in request.stream():
        body += chunk
        if counter.feed(chunk) > MAX_VALUES:
            raise Problem(413, f"The body has more than {MAX_VALUES:,} values.")
        is_list = lists and body[:_SPACE].lstrip()[:1] == b"["
        most = MAX_BYTES_OF_LIST if is_list else MAX_BYTES
        if len(body) > most:
            raise Problem(413, f"The body is larger than {most:,} bytes.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise invalid(Fault(f"The body is not UTF-8 at byte {error.start}.", "#")) from None


def turn_of(request: Request, text: str) -> AbstractAsyncContextManager[Any]:
    """Of two large bodies one waits for the other, so that one of them is in memory as values."""
    turns: asyncio.Semaphore = request.app.state.large_bodies
    return turns if len(text) > LARGE_TEXT else nullcontext()


async def parsed(text: str) -> object:
    """As `parse_json`; much of it in a thread, so that others are served meanwhile."""
    return await asyncio.to_thread(parse_json, text) if len(text) > _LONG else parse_json(text)


class ValueCounter:
    """Counts the values of JSON that comes in pieces, without making any of them."""

    _ESCAPED = re.compile(rb"\\.", re.DOTALL)
    _OTHERS = bytes(set(range(256)) - set(b'"{[,'))

    def __init__(self) -> None:
        self._is_in_string = False
        self._rest = b""
        self._count = 0

    def feed(self, piece: bytes) -> int:
        """How many there are so far: each but the first of its object or array follows a comma."""
        piece = self._rest + piece
        self._rest = b""
        if b"\\" in piece:
            backslashes = len(piece) - len(piece.rstrip(b"\\"))
            if backslashes % 2:  # what it escapes comes with the next piece
                piece, self._rest = piece[:-1], piece[-1:]
            piece = self._ESCAPED.sub(b"", piece)
        parts = piece.translate(None, self._OTHERS).split(b'"')
        self._count += sum(map(len, parts[self._is_in_string :: 2]))
        self._is_in_string ^= len(parts) % 2 == 0
        return self._count


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object; see `parse_json`."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise invalid(Fault("The body is not a JSON object.", "#"))
    return value


def parse_json(text: str) -> Any:  # noqa: ANN401 - it is JSON
    """JSON whose every reader sees the same, and PostgreSQL can hold.

    Numbers that are not whole become Decimal, with all their digits. Refused: duplicate names,
    NaN and Infinity, NUL and lone surrogates in strings, more than 64 levels.

    Raises:
        Problem: 422.
    """
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise invalid(Fault(f"This is not JSON: see {where}.", "#")) from None
    except InvalidOperation:
        raise invalid(Fault("A number is out of any range.", "#")) from None
    except RecursionError:
        raise invalid(Fault("The JSON is nested too deeply.", "#")) from None
    for member, string in _strings(value):
        if "\0" in string or any("\ud800" <= c <= "\udfff" for c in string):
            detail = "A text holds NUL or half of a surrogate pair."
            raise invalid(Fault(detail, member))
    return value


def as_json(value: object) -> str:
    """What `parse_json` gave as JSON again, its numbers with all their digits."""
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}: {as_json(item)}" for name, item in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_json, value))}]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _INT_DIGITS else Decimal(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise invalid(Fault(f"{name} is not a number in JSON.", "#"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise invalid(Fault("This member is there twice.", pointer_to(name)))
        members[name] = value
    return members


def _strings(document: object) -> Iterator[tuple[str, str]]:
    """All strings, names of members too, each with a pointer to the outermost member it is in."""
    waiting: list[tuple[str, int, object]] = [("#", 0, document)]
    while waiting:
        pointer, depth, value = waiting.pop()
        if depth > _MAX_DEPTH:
            raise invalid(Fault("The JSON is nested too deeply.", "#"))
        if isinstance(value, str):
            yield pointer, value
        elif isinstance(value, list):
            waiting += [(pointer, depth + 1, item) for item in value]
        elif isinstance(value, dict):
            for name, item in value.items():
                yield "#", name
                waiting.append((pointer if depth else pointer_to(name), depth + 1, item))
