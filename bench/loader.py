"""The loader without its start-up: seconds of `load_file`, its commit included."""

import sys
import time
from pathlib import Path

from assay.catalog import read_catalog
from loader.copy import load_file
from loader.sources import find_source


def main(url: str, manifest: Path, file: Path) -> None:
    catalog = read_catalog(manifest)
    source_table = find_source(catalog, file, None)
    begun = time.perf_counter()
    load_file(url, source_table, file, loaded_by="bench")
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
