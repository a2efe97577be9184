"""What the terminal says of a load."""

import io

from rich.console import Console

from assay.report import print_results
from loader.copy import LoadResult


def test_how_a_file_was_understood_is_said() -> None:
    """All notes in one line, without what a terminal would obey."""
    notes = {
        "delimiter": "\t",
        "header_row": 3,
        "renamed_headers": {"Sample [red]Data\x1b": "Sample_Data"},
        "unknown_columns": ["Batch", "Note"],
        "date_cells": {"CAS_number": 2},
    }
    text = io.StringIO()
    result = LoadResult(7, "shop.things", "a.csv", "loaded", 1200, notes, 0.1)
    print_results(Console(file=text, width=300), [result])
    assert text.getvalue() == (
        "a.csv: loaded as load 7, 1,200 rows into shop.things\n"
        "  delimiter '\\t'; header row 3; renamed headers Sample [red]Data\N{REPLACEMENT CHARACTER}"
        " -> 'Sample_Data'; unknown columns 'Batch', 'Note'; date cells CAS_number -> 2\n"
    )
