"""The steps of a load: where it talks to PostgreSQL or reads its file, before and after each.

    python -m tests.loader.steps STEP SIGNAL ARGUMENT...

runs `assay` with the arguments, and sends the signal to itself at one of the steps of its loads.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import psycopg

from loader import copy
from loader.readers import CsvFile

STEPS = (
    (copy, "open_document"),
    (copy, "hash_file"),
    (CsvFile, "digest"),
    (psycopg, "connect"),
    # of statements, begin and commit, and each block of a COPY
    (psycopg.Connection, "wait"),
)


@contextmanager
def failing(fail: Callable[[], None], last: int) -> Iterator[Callable[[], bool]]:
    """Fails at this step, from 1 on; whether there was one is said afterwards."""
    numbers = itertools.count(1)
    passed: list[int] = []

    def step() -> None:
        passed.append(next(numbers))
        if passed[-1] == last:
            fail()

    def watched(run: Callable[..., Any]) -> Callable[..., Any]:
        def both(*arguments: Any, **options: Any) -> Any:
            step()
            done = run(*arguments, **options)
            step()
            return done

        return both

    with ExitStack() as stack:
        for owner, name in STEPS:
            stack.enter_context(mock.patch.object(owner, name, watched(getattr(owner, name))))
        yield lambda: last in passed


def main(last: int, signal_number: int, *arguments: str) -> None:
    from assay import cli  # noqa: PLC0415 - the other tests need no command

    load_file = cli.load_file

    def load(*given: Any, **options: Any) -> Any:
        with failing(lambda: os.kill(os.getpid(), signal_number), last):
            return load_file(*given, **options)

    sys.argv = ["assay", *arguments]
    with mock.patch.object(cli, "load_file", load):
        cli.main()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
