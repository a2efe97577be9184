"""`python -m tests.http.dying STEP`: extracts, and is killed at one of its steps.

A step is a statement or a row that is sent to PostgreSQL, or a request that is sent to the API.
Ends with 0 where it has fewer steps.
"""

import asyncio
import sys

import httpx
import psycopg

from assay.catalog import read_catalog
from assay.settings import read_settings
from loader.http.access import access_to
from loader.http.extract import extract
from tests.sync.dying import dying


def main(last: int) -> None:
    for owner, name in (
        (psycopg.AsyncConnection, "execute"),
        (psycopg.AsyncCursor, "executemany"),
        (psycopg.AsyncCopy, "write_row"),
        (psycopg.AsyncTransaction, "__aexit__"),
        (httpx.AsyncClient, "send"),
    ):
        setattr(owner, name, dying(getattr(owner, name), last))
    settings = read_settings()
    assert settings.database_url
    url = settings.database_url.get_secret_value()
    ((api, tables),) = read_catalog(settings.manifest).listed.items()
    access = access_to(api, settings)
    assert access
    asyncio.run(extract(url, api, tables, access, loaded_by="test"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
