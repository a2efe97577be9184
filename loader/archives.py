"""The zip of a workbook: refused where it is damaged, or would unpack to too much."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import python_calamine

from loader.errors import LoadError
from loader.sheets import XmlError

MAX_UNPACKED = 200 * 1000 * 1000
"""Bytes of a workbook once unpacked, and characters of a sheet whose cells share their texts."""
MAX_ENTRIES = 1000
MAX_RATIO = 100
"""Unpacked to packed size of a part; sheets that people make stay far below."""
SMALL_PART = 10 * 1000 * 1000
"""Bytes up to which a part may be packed as tightly as it likes."""

_BLOCK = 1 << 20


def check_zip(path: Path) -> dict[str, str]:
    """Unpack every entry once, counting: what the zip says of its sizes may be a lie.

    Returns:
        The names of the entries, by `part_name`.
    """
    with damage_told(), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise LoadError(
                f"the workbook has more than {MAX_ENTRIES} parts", remedy="save the sheet as CSV"
            )
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
            raise too_large()
        left = MAX_UNPACKED
        for entry in entries:
            unpacked = 0
            entry.file_size = left + 1  # else reading stops at the size it claims
            with archive.open(entry) as part:
                while block := part.read(_BLOCK):
                    unpacked += len(block)
                    left -= len(block)
                    if left < 0:
                        raise too_large()
                    if unpacked > max(SMALL_PART, MAX_RATIO * entry.compress_size):
                        raise LoadError(
                            f"the workbook's {entry.filename} unpacks to more than {MAX_RATIO} "
                            "times its size",
                            remedy="save the sheet as CSV",
                        )
        names = {part_name(entry.filename): entry.filename for entry in entries}
        if len(names) < len(entries):
            raise damaged("two of its parts have one name")
        return names


def part_name(name: str) -> str:
    """Calamine finds parts in any spelling, so what is checked is what it finds."""
    return name.replace("\\", "/").casefold()


def too_large() -> LoadError:
    return LoadError(
        f"the workbook unpacks to more than {MAX_UNPACKED // 10**6} MB",
        remedy="save the sheet as CSV",
    )


_DAMAGE = (
    XmlError,
    python_calamine.CalamineError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,  # bzip2's
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)


@contextmanager
def damage_told() -> Iterator[None]:
    """Turns what the libraries raise for a damaged file into its refusal."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except _DAMAGE as error:
        raise damaged(error) from None
    except BaseException as error:
        # Calamine's panic, for a date beyond all dates for example, is no `Exception`.
        if type(error).__name__ != "PanicException":
            raise
        raise damaged(error) from None


def damaged(error: object) -> LoadError:
    return LoadError(
        f"the workbook cannot be read ({error})",
        remedy="open it in a spreadsheet program and save it again, or save the sheet as CSV",
    )
