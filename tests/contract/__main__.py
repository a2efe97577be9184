"""Writes what is made of the project: the kept OpenAPI document and the lists in the docs."""

import sys
from pathlib import Path

from assay.dbt import parse
from assay.settings import Settings
from tests.contract import reference, snapshot

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    catalog = parse(Settings(project=ROOT), {})
    document = snapshot.document_of(catalog)
    try:
        snapshot.keep(document)
    except ValueError as error:
        sys.exit(str(error))
    text = reference.FILE.read_text(encoding="utf-8")
    reference.FILE.write_text(reference.with_lists(text, catalog, document), encoding="utf-8")


if __name__ == "__main__":
    main()
