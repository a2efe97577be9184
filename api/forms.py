"""Receives a file in a form: from the network to the disk, with little of it in memory."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir
from typing import IO

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from api.body import check_encoding
from api.dispositions import names_of
from api.errors import Fault, Problem, invalid, pointer_to

MEDIA_TYPE = "multipart/form-data"
MEGABYTE = 1 << 20
TEMPORARY = "assay-upload-"
_MAX_NAME = 255
_MAX_HEADER = 4096
_DAY = 24 * 60 * 60

# It warns of each form that is malformed; who sent it is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


@dataclass(frozen=True)
class ReceivedFile:
    path: Path
    name: str
    """As its owner calls it: for people to read, never a path."""


def boundary_of(request: Request, max_megabytes: int) -> bytes:
    """What stands between the parts of the form; nothing of the body is read.

    Raises:
        Problem: 415, 413 where the client says so beforehand, 422.
    """
    check_encoding(request)
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != MEDIA_TYPE.encode():
        raise Problem(415, f"Send one file as {MEDIA_TYPE}.", headers={"Accept": MEDIA_TYPE})
    if not options.get(b"boundary"):
        raise _malformed()
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_megabytes * MEGABYTE:
        raise _too_large(max_megabytes)
    return options[b"boundary"]


@asynccontextmanager
async def receive_file(
    request: Request, boundary: bytes, max_megabytes: int
) -> AsyncIterator[ReceivedFile]:
    """The one file of the form, on the disk until the context ends.

    Raises:
        Problem: 413, 422, 503 where the disk has no room.
    """
    try:
        file = NamedTemporaryFile(prefix=TEMPORARY)  # noqa: SIM115 - closed below, in a thread
    except OSError as error:
        raise _no_room() from error
    try:
        form = _Form(boundary, file)
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_megabytes * MEGABYTE:
                raise _too_large(max_megabytes)
            # in a thread, since it writes
            await asyncio.to_thread(form.feed, chunk)
        name = await asyncio.to_thread(form.end)
        yield ReceivedFile(Path(file.name), name)
    finally:
        # Also in a thread, to the end if the request is cancelled: deleting much takes a while.
        await asyncio.shield(asyncio.to_thread(_close, file))


def _close(file: IO[bytes]) -> None:
    # What a full disk did not take is tried again; the file goes either way.
    with suppress(OSError):
        file.close()


def remove_left_over() -> None:
    """Remove the files of a server that was killed; nobody has written to them for a day."""
    for path in Path(gettempdir()).glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


class _Form:
    """Writes the file of a form; its methods raise `Problem` 422 and 503."""

    def __init__(self, boundary: bytes, file: IO[bytes]) -> None:
        self._file = file
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._name: str | None = None
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._read_header,
                    "on_header_value": self._read_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._write,
                    "on_end": self._end,
                },
                max_header_size=_MAX_HEADER,
            )
        except FormParserError:
            raise _malformed() from None

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            # It has no other sign.
            is_header = str(error) == "Maximum header size exceeded"
            raise _long_header() if is_header else _malformed() from None
        except OSError as error:
            raise _no_room() from error

    def end(self) -> str:
        """Name of the file, which is on the disk then."""
        if not self._is_complete:
            raise _malformed()
        if not self._name:
            raise invalid(Fault("There is no file in the form.", "#"))
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room() from error
        return self._name

    def _begin_part(self) -> None:
        self._disposition = b""

    def _read_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _read_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _end_headers(self) -> None:
        field, name = names_of(self._disposition)
        name = _plain(name)
        if not name:
            raise invalid(Fault("This is not a file.", pointer_to(field)))
        if self._name:
            raise invalid(Fault("There is more than one file in the form.", "#"))
        self._name = name

    def _write(self, data: bytes, start: int, end: int) -> None:
        self._file.write(memoryview(data)[start:end])

    def _end(self) -> None:
        self._is_complete = True


def _plain(name: str) -> str:
    """The last part of what may be a path, without what a terminal would obey."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in last)[-_MAX_NAME:]


def _malformed() -> Problem:
    return invalid(Fault(f"The body is not {MEDIA_TYPE}, or not all of it.", "#"))


def _long_header() -> Problem:
    sentence = f"A header of the file's part has more than {_MAX_HEADER:,} bytes: "
    return invalid(Fault(f"{sentence}shorten the name of the file.", "#"))


def _no_room() -> Problem:
    return Problem(503, "The file cannot be kept now: the disk of the server is full or away.")


def _too_large(max_megabytes: int) -> Problem:
    return Problem(413, f"The body is larger than {max_megabytes:,} MB.")
