"""Deliveries: each change at least once, whoever dies meanwhile.

A worker claims changes, sends them and removes them. If it dies, its claim runs out and another
sends them again, with the same idempotency keys. A claim outlives the longest request, so no two
workers send the same changes at once.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

import psycopg

from assay.catalog import Catalog, Entity
from assay.changes import FeedError
from assay.settings import Settings
from sync.outbox import Change, Outbox
from sync.receiver import Away, Failing, Receiver, Refused

TRIES = 4
"""Of a run, while the receiver is away or fails; the next run goes on."""
MAX_ATTEMPTS = 5
"""Of one change that fails alone, while others are taken."""
_FIRST_WAIT = 1.0
"""Seconds from one try to the next."""
_FIRST_WAIT_ALONE, _LONGEST_WAIT = 60.0, 3600.0
"""Seconds until a change that failed alone is due: a run tries it once."""
_CLAIM_FACTOR = 2
_TURN = "select pg_try_advisory_lock(hashtextextended('sync', 0))"
_log = logging.getLogger("assay.sync")


@dataclass
class Account:
    """What a run did for an entity."""

    entity: str
    delivered: int = 0
    waiting: int = 0
    dead: int = 0
    error: str | None = None


async def deliver(
    settings: Settings, url: str, catalog: Catalog, *, revive: bool = False
) -> list[Account] | None:
    """Deliver what has changed; None where another worker is at it.

    Args:
        settings: Say where the receiver is.
        url: Of the database.
        catalog: Its entities with `sync` are delivered.
        revive: Try dead letters again.
    """
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection, Receiver(settings) as receiver:
        turn = await (await connection.execute(_TURN)).fetchone()
        if not turn or not turn[0]:
            return None
        runs = [Run(settings, Outbox(connection, e), receiver, e) for e in synced(catalog)]
        return [await run.deliver_all(revive=revive) for run in runs]


def synced(catalog: Catalog) -> list[Entity]:
    return [entity for entity in catalog.entities.values() if entity.sync_path]


class Run:
    """Delivers the changes of one entity, until none is due or the receiver is away."""

    def __init__(
        self, settings: Settings, outbox: Outbox, receiver: Receiver, entity: Entity
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._receiver = receiver
        self._path = entity.sync_path or ""
        self.account = Account(entity.name)

    async def deliver_all(self, *, revive: bool = False) -> Account:
        account = self.account
        if revive:
            await self._outbox.revive()
        try:
            for attempt in range(TRIES):
                await asyncio.sleep(wait_after(attempt - 1, _FIRST_WAIT) if attempt else 0)
                account.error = await self._deliver_due()
                if account.error is None:
                    break
        except FeedError as error:
            account.error = str(error)
        if account.error:
            _log.warning("%s: %s", account.entity, account.error)
            await self._outbox.fail(account.error)
        account.waiting, account.dead = await self._outbox.left()
        return account

    async def _deliver_due(self) -> str | None:
        """What kept the receiver from taking all, if anything did."""
        limit = self._settings.sync_batch
        while True:
            changes = await self._outbox.claim(limit, self._claim_seconds)
            if not changes:
                if await self._outbox.collect(limit):
                    continue
                # What failed alone comes last, so that it holds up nobody.
                changes = await self._outbox.claim(limit, self._claim_seconds, failed=True)
                if not changes:
                    return None
            try:
                await self._deliver_batch(changes)
            except (Away, Failing, Refused) as error:
                return str(error)
            finally:
                await self._outbox.release(changes)

    @property
    def _claim_seconds(self) -> float:
        return self._settings.sync_timeout_seconds * _CLAIM_FACTOR

    async def _deliver_batch(self, changes: list[Change]) -> None:
        """Where the receiver does not take a batch its halves are sent, and so on.

        Raises:
            Away: What was not sent is due at once.
            Failing, Refused: One alone was not taken, and none was before: it may be so with all.
        """
        batches = [changes]
        while batches:
            batch = await self._outbox.hold(batches.pop(0), self._claim_seconds)
            if not batch:
                continue
            try:
                await self._receiver.send(self._path, [document(change) for change in batch])
            except (Refused, Failing) as error:
                if len(batch) == 1:
                    await self._set_aside(batch[0], error)
                    if not self.account.delivered:
                        raise
                half = len(batch) // 2
                batches[:0] = [batch[:half], batch[half:]] if half else []
            else:
                await self._outbox.remove(batch)
                self.account.delivered += len(batch)

    async def _set_aside(self, change: Change, error: Refused | Failing) -> None:
        """One that the receiver does not take is due again later, or a dead letter.

        A failure counts only where others are taken: the receiver may fail over all for a while.
        """
        others_are_taken = self.account.delivered > 0
        is_last = change.attempts + 1 >= MAX_ATTEMPTS
        if isinstance(error, Refused):
            counts, is_dead = True, others_are_taken or is_last
        else:
            counts, is_dead = others_are_taken, others_are_taken and is_last
        seconds = wait_after(change.attempts, _FIRST_WAIT_ALONE)
        await self._outbox.put_back(
            change, str(error), seconds=seconds, counts=counts, is_dead=is_dead
        )


def document(change: Change) -> dict[str, object]:
    """A change as it is sent."""
    return {
        "idempotency_key": change.idempotency_key,
        "number": change.number,
        "operation": change.operation,
        "key": change.key,
        "row": change.row,
    }


def wait_after(attempts: int, first: float) -> float:
    """Doubles each time; somewhere in its upper half, so that workers do not come all at once."""
    wait = min(first * 2.0**attempts, _LONGEST_WAIT)
    return wait * random.uniform(0.5, 1)  # noqa: S311 - no secret
