"""What kind of file a file is: what is not read is called by its name."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from loader.errors import LoadError
from loader.kinds import is_workbook, lock_of

CONTENT = b"a,b\n1,2\n"


def tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    return content.getvalue()


def empty_zip() -> bytes:
    content = io.BytesIO()
    zipfile.ZipFile(content, "w").close()
    return content.getvalue()


# Of programs that are at hand; of the others the marks of their specifications.
KINDS = {
    "packed (gzip)": gzip.compress(CONTENT),
    "packed (bzip2)": bz2.compress(CONTENT),
    "packed (xz)": lzma.compress(CONTENT),
    "packed (tar)": tar(),
    "packed (Zstandard)": bytes.fromhex("28b52ffd0458"),
    "packed (7-Zip)": bytes.fromhex("377abcaf271c0004"),
    "packed (RAR)": bytes.fromhex("526172211a0701"),
    "packed (LZ4)": bytes.fromhex("04224d186440"),
    "PDF, not a table": b"%PDF-1.7\n%\xe2\xe3",
    "an image, not": bytes.fromhex("89504e470d0a1a0a"),
    "Parquet, not": b"PAR1\x15\x04\x15",
    "a SQLite database": b"SQLite format 3\0\x10",
    "rich text (RTF)": rb"{\rtf1\ansi a,b}",
    "HTML or XML": b'\xef\xbb\xbf\r\n<?xml version="1.0"?><Workbook>',
    "HTML or XML, not": b"<TABLE><tr><td>a</td></tr></TABLE>",
    "old or a password-protected": bytes.fromhex("d0cf11e0a1b11ae1"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.csv.gz", "a", "a.xls"])
def test_a51_each_kind_is_called_by_its_name(
    write: Callable[..., Path], kind: str, name: str
) -> None:
    """Whatever the file's name ends in."""
    with pytest.raises(
        LoadError, match=re.escape(f"this is {'an ' * kind.startswith('old')}{kind}")
    ):
        is_workbook(write(KINDS[kind], name), name)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "A.TXT"])
@pytest.mark.parametrize(
    "content", [b"PAR1,PAR2\n", b"BZhang,b\n", b"GIF,b\n", b"MZ,b\n", b"Rar,b\n", b"7z,b\n", b""]
)
def test_text_that_begins_like_another_kind(
    write: Callable[..., Path], name: str, content: bytes
) -> None:
    """Letters of a header are no mark."""
    assert not is_workbook(write(content, name), name)


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (CONTENT, "a.dat", ".dat files are not read; save it as .xlsx or CSV"),
        (CONTENT, "a.json", ".json files are not read"),
        (CONTENT, "a.xls", ".xls files are not read"),
        (CONTENT, "a", "a file without an ending is not read"),
        (CONTENT, "a.xlsx", "ends in .xlsx but it is no workbook"),
        (empty_zip(), "a.csv", "a workbook or another zip file, not text"),
        (CONTENT, "~$a.xlsx", "the lock file that Excel keeps beside a workbook while it is open"),
        (CONTENT, ".~lock.a.csv#", "the lock file that LibreOffice keeps"),
    ],
)
def test_other_endings_are_refused(
    write: Callable[..., Path], content: bytes, name: str, sentence: str
) -> None:
    """What is read ends in .csv, .tsv or .txt and is text, or in .xlsx and is a workbook."""
    with pytest.raises(LoadError, match=re.escape(sentence)):
        is_workbook(write(content, name), name)


def test_what_an_owner_calls_it(write: Callable[..., Path]) -> None:
    """The owner's name counts, but for a file that was made of the owner's."""
    assert not is_workbook(write(CONTENT, "upload"), "mine.txt")
    assert not is_workbook(write(CONTENT, "mine.maf.csv"), "mine.maf")
    with pytest.raises(LoadError, match="maf files are not read"):
        is_workbook(write(CONTENT, "upload.csv"), "mine.maf")


def test_no_lock() -> None:
    """Only what such a program names so."""
    assert lock_of("a~$.xlsx") is None
