"""Who holds and who waits for locks of the curated tables, as PostgreSQL says."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

SECONDS = 0.01

READ = "AccessShareLock"

_LOCKS = """
select clock_timestamp(), relname, mode, granted, virtualtransaction
from pg_locks
inner join pg_class on pg_class.oid = relation
where
    locktype = 'relation'
    and database = (select oid from pg_database where datname = current_database())
    and relnamespace = to_regnamespace('curated')
    and (
        mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        or not granted
    )
"""


@dataclass
class Locks:
    """What was seen of (table, mode, transaction): first and last time."""

    held: dict[tuple[str, str, str], tuple[datetime, datetime]] = field(default_factory=dict)
    awaited: dict[tuple[str, str, str], tuple[datetime, datetime]] = field(default_factory=dict)

    def seconds_held(self, table: str = "metabolites") -> float:
        """For how long writers were kept out at most."""
        times = [last - first for key, (first, last) in self.held.items() if key[0] == table]
        return max((time.total_seconds() + SECONDS for time in times), default=0)

    @property
    def waiting_reads(self) -> list[tuple[str, str, str]]:
        return [key for key in self.awaited if key[1] == READ]


@contextmanager
def watched_locks(url: str) -> Iterator[Locks]:
    """Looks every 10 ms while the block runs."""
    locks = Locks()
    is_over = threading.Event()

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not is_over.wait(SECONDS):
                for now, *key, granted, transaction in connection.execute(_LOCKS).fetchall():
                    seen = locks.held if granted else locks.awaited
                    lock = (key[0], key[1], transaction)
                    seen[lock] = (seen.get(lock, (now,))[0], now)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield locks
    finally:
        is_over.set()
        thread.join()
