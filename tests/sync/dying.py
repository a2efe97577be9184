"""`python -m tests.sync.dying STEP`: delivers, and is killed at one of its steps.

A step is a statement that is sent to PostgreSQL or a request that is sent to the receiver. Ends
with 0 where it has fewer steps.
"""

import asyncio
import sys

import httpx
import psycopg

from assay.catalog import read_catalog
from assay.settings import read_settings
from sync.delivery import deliver
from tests.dying import die


def main(last: int) -> None:
    die(
        last,
        (psycopg.AsyncConnection, "execute"),
        (psycopg.AsyncRawCursor, "execute"),
        (psycopg.AsyncConnection, "commit"),
        (httpx.AsyncClient, "post"),
    )
    settings = read_settings()
    assert settings.database_url
    url = settings.database_url.get_secret_value()
    asyncio.run(deliver(settings, url, read_catalog(settings.manifest)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
