"""Feeds the readers bytes that a coverage-guided fuzzer makes: `make fuzz SECONDS=3600`.

Any bytes are either records or a refusal: no other exception, no hang, bounded memory. What breaks
that is kept by the fuzzer in `target/fuzz/`; once mended it belongs into `tests/fuzz/found/`, whose
files `test_found.py` reads in each run of the tests.

    python -m tests.fuzz.readers csv|xlsx [SECONDS]
"""

import contextlib
import csv
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import xlsxwriter  # type: ignore[import-untyped]

HERE = Path(__file__).parent
CORPUS = HERE.parent.parent / "target" / "fuzz"
EXAMPLES = HERE.parent / "loader" / "examples"
FOUND = HERE / "found"

TIMEOUT = 20
"""Seconds for one input."""
MAX_MEMORY = 512
"""MB of the process, the interpreter and the fuzzer among them."""
MAX_LENGTH = 1 << 16

DECLARED = (
    {},
    {"encoding": "cp1252"},
    {"encoding": "latin-1", "delimiter": ";"},
    {"encoding": "utf-16"},
    {"encoding": "utf-8", "delimiter": "\t"},
)
"""What a source table may say of its files; the first byte of an input chooses."""
PARTS = (
    "xl/worksheets/sheet1.xml",
    "xl/sharedStrings.xml",
    "xl/workbook.xml",
    "xl/_rels/workbook.xml.rels",
    "xl/styles.xml",
)


def read_csv(data: bytes, path: Path) -> None:
    """Read a CSV file in both ways; the first byte says what is declared, and how long rows may be.

    Rows that are not too long are those of Python's own reader.
    """
    from loader import csv_files, lines  # noqa: PLC0415  # once the fuzzer instruments them
    from loader.errors import LoadError  # noqa: PLC0415
    from loader.headers import ReadAgain  # noqa: PLC0415
    from loader.quotes import NotWellFormed, QuoteCheck  # noqa: PLC0415
    from tests.loader.conftest import THINGS, source  # noqa: PLC0415

    choice = data[0] if data else 0
    lines.MAX_RECORD = (1 << 20, 100)[choice // 128]
    csv_files.CHUNK = lines.MAX_RECORD // 4
    path.write_bytes(data[1:])
    declared = DECLARED[choice % len(DECLARED)]
    with contextlib.suppress(LoadError), csv_files.CsvFile(path) as document:
        layout = document.layout(source("things", *THINGS.columns, **declared))
        is_spaced = True
        if document.is_pipeable(layout):
            with contextlib.suppress(NotWellFormed):
                piped = b"".join(document.chunks(QuoteCheck(layout.delimiter or "")))
                assert piped == data[1:].removeprefix(b"\xef\xbb\xbf")
        with contextlib.suppress(ReadAgain):
            records = list(document.records(layout))
            is_spaced = False
        if is_spaced:  # quotes behind blanks, which Python's reader takes for text
            list(document.records(replace(layout, is_spaced=True)))
            return
        with path.open(encoding=layout.encoding, newline="") as text:
            csv.field_size_limit(MAX_LENGTH)
            rows = csv.reader(text, delimiter=layout.delimiter or "", strict=True)
            expected = list(enumerate(rows, start=1))[layout.row :]
        assert len(records) == len(expected)
        for record, oracle in zip(records, expected, strict=True):
            assert record == oracle or isinstance(record[1], csv_files.Fragment)


def read_xlsx(data: bytes, path: Path) -> None:
    """Read a zip as it is, or a workbook whose parts, parted by NUL bytes, are the input."""
    from loader.errors import LoadError  # noqa: PLC0415
    from loader.workbooks import Workbook  # noqa: PLC0415
    from tests.loader.conftest import THINGS  # noqa: PLC0415

    path.write_bytes(data if data.startswith(b"PK") else rezip(data.split(b"\0")))
    with contextlib.suppress(LoadError), Workbook(path) as document:
        layout = document.layout(THINGS)
        for _, fields in document.records(layout):
            assert all(type(text) is str for text in fields)


def rezip(parts: list[bytes]) -> bytes:
    """A workbook with these parts, but for empty ones, in the place of its own."""
    changed = {name: part for name, part in zip(PARTS, parts, strict=False) if part}
    content = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(_BASE)) as base,
        zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in base.namelist():
            archive.writestr(name, changed.get(name, base.read(name)))
    return content.getvalue()


def unzip(workbook: bytes) -> bytes:
    """What `rezip` makes a workbook of."""
    with zipfile.ZipFile(BytesIO(workbook)) as archive:
        names = archive.namelist()
        return b"\0".join(archive.read(name) if name in names else b"" for name in PARTS)


def _base() -> bytes:
    """A workbook with cells of each kind."""
    content = BytesIO()
    book = xlsxwriter.Workbook(content, {"default_date_format": "yyyy-mm-dd"})
    sheet = book.add_worksheet("Data")
    sheet.write_row(0, 0, ["Thing Name", "Colour", "Weight (g)"])
    sheet.write_row(1, 0, ["cup", True, 1.5])
    sheet.write_formula(2, 0, "=NA()", None, "#N/A")
    sheet.write_formula(2, 1, "=1+1", None, 2)
    sheet.write_number(2, 2, 45000, book.add_format({"num_format": "yyyy-mm-dd"}))
    sheet.merge_range(5, 0, 6, 1, "jug")
    book.close()
    return content.getvalue()


_BASE = _base()
READERS: dict[str, Callable[[bytes, Path], None]] = {"csv": read_csv, "xlsx": read_xlsx}


def seeds(kind: str) -> list[bytes]:
    """Inputs to begin with: the examples, what was found before, each part of a workbook."""
    endings = {"csv": (".csv", ".tsv", ".txt"), "xlsx": (".xlsx",)}[kind]
    paths = (path for path in sorted(EXAMPLES.iterdir()) if path.suffix in endings)
    examples = [path.read_bytes() for path in paths]
    found = [path.read_bytes() for path in sorted((FOUND / kind).glob("*"))]
    if kind == "csv":
        return [first + example for first in (b"\0", b"\x80") for example in examples] + found
    workbooks = [example for example in examples if zipfile.is_zipfile(BytesIO(example))]
    return [*examples, *found, *map(unzip, [_BASE, *workbooks])]


def main(kind: str, seconds: str = "3600") -> None:
    import atheris  # type: ignore[import-not-found]  # noqa: PLC0415  # of `make fuzz` only

    # the regular expressions of these packages stay as they are
    with atheris.instrument_imports(include=["loader"]):
        import loader.readers  # noqa: PLC0415
        import loader.workbooks  # noqa: F401, PLC0415
    corpus = CORPUS / kind
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(kind)):
        (corpus / f"seed-{number}").write_bytes(seed)
    read = READERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input.{kind}"
        options = (
            *(f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-max_len={MAX_LENGTH}"),
            *(f"-rss_limit_mb={MAX_MEMORY}", f"-artifact_prefix={CORPUS}/{kind}-"),
            "-print_final_stats=1",
        )
        atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: read(data, path))
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
