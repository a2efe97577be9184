"""`python -m tests.sync.dying STEP`: delivers, and is killed at one of its steps.

A step is a statement that is sent to PostgreSQL or a request that is sent to the receiver, and each
has a before and an after. Ends with 0 where it has fewer steps.
"""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import psycopg

from assay.catalog import read_catalog
from assay.settings import read_settings
from sync.delivery import deliver

_steps = itertools.count(1)


def dying(method: Callable[..., Coroutine[Any, Any, Any]], last: int) -> Callable[..., Any]:
    async def run(*arguments: Any, **options: Any) -> Any:
        if next(_steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await method(*arguments, **options)
        if next(_steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


def main(last: int) -> None:
    for owner, name in (
        (psycopg.AsyncConnection, "execute"),
        (psycopg.AsyncRawCursor, "execute"),
        (psycopg.AsyncConnection, "commit"),
        (httpx.AsyncClient, "post"),
    ):
        setattr(owner, name, dying(getattr(owner, name), last))
    settings = read_settings()
    assert settings.database_url
    url = settings.database_url.get_secret_value()
    asyncio.run(deliver(settings, url, read_catalog(settings.manifest)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
