"""Writes what is made of the project: the kept OpenAPI document and the lists in the docs."""

import sys
from pathlib import Path

from assay.dbt import parse
from assay.settings import Settings
from tests.contract import snapshot

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    catalog = parse(Settings(project=ROOT), {})
    try:
        snapshot.keep(snapshot.document_of(catalog))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
