"""Slows down whoever guesses: failures are counted in PostgreSQL, so all servers share them."""

import math
from hashlib import sha256

from fastapi import Request

from api.addresses import site_of
from api.audit import audit
from api.database import Database
from api.errors import Problem
from api.users import normal_username

FREE_FAILURES = 4
FREE_FAILURES_OF_ADDRESS = 100
"""Many people may share one. The failure after the free ones is paid with a wait of a second,
each later one with a wait twice as long."""
LONGEST_WAIT = 900.0
"""Seconds. Nobody is locked out for good: that would be a way to lock others out."""

_TABLE = "auth.failures"
SECONDS_TO_WAIT = """
select max(
    extract(epoch from failed_at - clock_timestamp())
    + least($3::float8, 2 ^ least(count - free - 1, 30))
)::float8 as seconds
from auth.failures
inner join unnest($1::text[], $2::integer[]) as asked (subject, free) using (subject)
where count > free
"""
# Who waits for the row counts on from what stands there then: no failure is lost.
COUNT_FAILURE = """
with forgotten as (
    delete from auth.failures
    where failed_at < clock_timestamp() - interval '1 day' and subject <> all ($1::text[])
),
counted as (
    insert into auth.failures as known (subject, count, failed_at)
    select subject, 1, clock_timestamp()
    from unnest($1::text[]) as given (subject) order by subject
    on conflict (subject) do update set
        count = 1 + case
            when known.failed_at < clock_timestamp() - interval '1 day' then 0 else known.count
        end,
        failed_at = clock_timestamp()
    returning subject, count
)
select count from counted where subject = $1[1]
"""
FORGET_FAILURES = "delete from auth.failures where subject = $1"


class Throttle:
    """For one try of a password: the account and the address that it is tried for and from."""

    def __init__(self, database: Database, request: Request, username: str) -> None:
        self._database = database
        self._request = request
        self._username = normal_username(username)
        self._subjects = [subject_of(username), f"address {site_of(request)}"]

    async def check(self) -> None:
        """Raises `Problem` 429 while a wait is not over; unknown accounts are treated alike."""
        free = [FREE_FAILURES, FREE_FAILURES_OF_ADDRESS]
        row = await self._database.fetch_row(SECONDS_TO_WAIT, self._subjects, free, LONGEST_WAIT)
        seconds = math.ceil((row and row["seconds"]) or 0)
        if seconds > 0:
            # Whether the name is anybody's is not looked for: it may be a password.
            await audit(
                self._database,
                self._request,
                "excess_rate_limit_exceeded",
                None,
                is_success=False,
            )
            raise Problem(
                429,
                f"There were too many failures: try again in {seconds} seconds.",
                headers={"Retry-After": str(seconds)},
            )

    async def fail(self) -> bool:
        """Count it; whether this is the failure by which the account begins to be blocked."""
        row = await self._database.write_row(_TABLE, COUNT_FAILURE, self._subjects)
        return row is not None and row["count"] == FREE_FAILURES + 1

    async def succeed(self) -> None:
        """Failures of the address stay: whoever guesses may have an account of his own."""
        await unlock(self._database, self._username)


async def unlock(database: Database, username: str) -> None:
    """Forget the failures of an account."""
    await database.write_row(_TABLE, FORGET_FAILURES, subject_of(username))


def subject_of(username: str) -> str:
    """A hash: some people type their password in the place of their name."""
    return f"account {sha256(normal_username(username).encode()).hexdigest()}"
