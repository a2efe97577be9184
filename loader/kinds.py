"""What kind of file a file is: by its first bytes, and what its name ends in."""

from pathlib import Path

from assay.catalog import ENDINGS
from loader.errors import LoadError

WORKBOOK_ENDING = "xlsx"

_START = 512
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_PACKED = {
    "gzip": (b"\x1f\x8b",),
    "bzip2": (b"BZh91AY&SY", *(b"BZh%d1AY&SY" % level for level in range(1, 9))),
    "xz": (b"\xfd7zXZ\0",),
    "Zstandard": (b"\x28\xb5\x2f\xfd",),
    "LZ4": (b"\x04\x22\x4d\x18",),
    "compress": (b"\x1f\x9d",),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c",),
    "RAR": (b"Rar!\x1a\x07",),
}
_OTHERS = {
    "PDF": (b"%PDF-",),
    "an image": (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    "Parquet": (b"PAR1\x15",),
    "Avro": (b"Obj\x01",),
    "Arrow": (b"ARROW1\0\0",),
    "a SQLite database": (b"SQLite format 3\0",),
    "HDF5": (b"\x89HDF\r\n\x1a\n",),
    "SPSS": (b"$FL2@(#)", b"$FL3@(#)"),
    "Stata": (b"<stata_dta>",),
    "a dump of PostgreSQL": (b"PGDMP",),
    "rich text (RTF)": (b"{\\rtf",),
    "a program": (b"\x7fELF", b"MZ\x90\0"),
}
# Web applications send tables as such, and call them .xls or .csv.
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<body", b"<meta", b"<table", b"<?xml", b"<workbook")
_TAR = slice(257, 262), b"ustar"

_LOCKS = {"~$": "Excel", ".~lock.": "LibreOffice"}


def is_workbook(path: Path, name: str) -> bool:
    """Whether a file is a workbook, else it is text.

    Args:
        path: The file.
        name: The name that its owner knows.

    Raises:
        LoadError: It cannot be read, is of another kind, or its name ends as if it were.
    """
    if lock := lock_of(name):
        raise LoadError(lock, remedy="send the workbook itself")
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise LoadError(
            f"the file cannot be read ({error.strerror})", remedy="check its path"
        ) from None
    _refuse_other_kinds(start)
    ending = ending_of(path, name)
    if ending not in ENDINGS:
        raise LoadError(
            f".{ending} files are not read" if ending else "a file without an ending is not read",
            remedy="save it as .xlsx or CSV",
        )
    is_zip = start.startswith(_ZIP)
    if ending == WORKBOOK_ENDING and not is_zip:
        raise LoadError(
            "the file's name ends in .xlsx but it is no workbook",
            remedy="rename it to .csv if it is text, else save it again as .xlsx",
        )
    if ending != WORKBOOK_ENDING and is_zip:
        raise LoadError(
            "this is a workbook or another zip file, not text",
            remedy="rename it to .xlsx if it is a workbook",
        )
    return is_zip


def ending_of(path: Path, name: str) -> str:
    """What the name of a file ends in, without the point, in small letters.

    What was made of a file to be read has the name of that and an ending more.
    """
    called = path.name if path.name.startswith(f"{name}.") else name
    return Path(called).suffix.removeprefix(".").casefold()


def lock_of(name: str) -> str | None:
    """What to say of a file that a spreadsheet program keeps beside one that it has open."""
    for start, program in _LOCKS.items():
        if name.startswith(start):
            return f"this is the lock file that {program} keeps beside a workbook while it is open"
    return None


def _refuse_other_kinds(start: bytes) -> None:
    if start.startswith(_OLE2):
        raise LoadError(
            "this is an old or a password-protected Excel file",
            remedy="save it as .xlsx without a password, or as CSV",
        )
    place, mark = _TAR
    packed = next((kind for kind, marks in _PACKED.items() if start.startswith(marks)), None)
    if packed or start[place] == mark:
        raise LoadError(f"this is packed ({packed or 'tar'})", remedy="unpack it and send the file")
    other = next((kind for kind, marks in _OTHERS.items() if start.startswith(marks)), None)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_MARKUP):
        other = "HTML or XML"
    if other:
        raise LoadError(f"this is {other}, not a table of text", remedy="save it as .xlsx or CSV")
