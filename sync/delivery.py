"""Deliveries: each change at least once, whoever dies meanwhile.

A worker claims changes, sends them and removes them. If it dies, its claim runs out and another
sends them again, with the same idempotency keys. A claim outlives the longest request, so no two
workers send the same changes at once.
"""

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from assay.catalog import Catalog, Entity
from assay.changes import FeedError
from assay.deliveries import Sync
from assay.settings import Settings
from sync.messages import messages_of
from sync.outbox import TURN, Change, Outbox
from sync.receiver import Failing, NotTakenError, Receiver, Refused

TRIES = 4
"""Of a run, while the receiver is away or fails; the next run goes on."""
MAX_ATTEMPTS = 5
"""Of one change that fails alone, while others are taken."""
FEW_IN_VAIN, MOST_IN_VAIN = 5, 50
"""Changes that were sent alone, one after another, and none was taken: then it may be so with all,
and the run waits. The first is for a run in which nothing was taken yet."""
_FIRST_WAIT = 1.0
"""Seconds from one try to the next."""
_LONGEST_PATIENCE = 60.0
"""Seconds that a receiver may ask a run to wait for; else the next run goes on."""
_FIRST_WAIT_ALONE, _LONGEST_WAIT = 60.0, 3600.0
"""Seconds until a change that failed alone is due: a run tries it once."""
_CLAIM_FACTOR = 2
_TURN = f"select pg_try_advisory_lock({TURN})"
_END_OF_TURN = f"select pg_advisory_unlock({TURN})"
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
        try:
            return [await run.deliver_all(revive=revive) for run in runs]
        finally:
            # PostgreSQL sees some time later that a connection was closed.
            with suppress(psycopg.Error):
                await connection.execute(_END_OF_TURN)


def synced(catalog: Catalog) -> list[Entity]:
    return [entity for entity in catalog.entities.values() if entity.sync]


class Run:
    """Delivers the changes of one entity, until none is due or the receiver is away."""

    def __init__(
        self, settings: Settings, outbox: Outbox, receiver: Receiver, entity: Entity
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._receiver = receiver
        self._sync = entity.sync or Sync("")
        self._in_vain = 0
        """Changes sent alone since one was taken."""
        self._not_taken: dict[str, str] = {}
        """What the receiver said of changes that it did not take in this run, by key."""
        self.account = Account(entity.name)

    async def deliver_all(self, *, revive: bool = False) -> Account:
        account = self.account
        if revive:
            await self._outbox.revive()
        try:
            account.error = await self._try_often()
        except FeedError as error:
            account.error = str(error)
        if account.error:
            _log.warning("%s: %s", account.entity, account.error)
            await self._outbox.fail(account.error)
        account.waiting, account.dead, earlier = await self._outbox.left()
        account.error = account.error or earlier
        return account

    async def _try_often(self) -> str | None:
        """Why something is left, if anything is."""
        reason = None
        for attempt in range(TRIES):
            try:
                await self._deliver_due()
            except NotTakenError as error:
                reason = str(error)
                wait = max(wait_after(attempt, _FIRST_WAIT), error.seconds or 0)
            else:
                return next(iter(self._not_taken.values()), None)
            if wait > _LONGEST_PATIENCE:
                break
            if attempt + 1 < TRIES:
                await asyncio.sleep(wait)
        return reason

    async def _deliver_due(self) -> None:
        """One try.

        Raises:
            Away, Failing, Refused: Why the receiver takes nothing; what it did not take is left.
        """
        limit = self._settings.sync_batch
        self._in_vain = 0
        while True:
            changes = await self._outbox.claim(limit, self._claim_seconds)
            if not changes:
                if await self._outbox.collect(limit):
                    continue
                # What failed alone comes last, so that it holds up nobody.
                changes = await self._outbox.claim(limit, self._claim_seconds, failed=True)
                if not changes:
                    return
            try:
                await self._deliver_batch(changes)
            finally:
                await self._outbox.release(changes)

    @property
    def _claim_seconds(self) -> float:
        return self._settings.sync_timeout_seconds * _CLAIM_FACTOR

    async def _deliver_batch(self, changes: list[Change]) -> None:
        """Where the receiver does not take a batch its halves are sent, and so on.

        Raises:
            Away: What was not sent is due at once.
            Failing, Refused: None was taken, or none of many for a while: it may be so with all.
        """
        account, batches = self.account, [changes]
        while batches:
            batch = await self._outbox.hold(batches.pop(0), self._claim_seconds)
            if not batch:
                continue
            try:
                for message in messages_of(self._sync, batch):
                    await self._receiver.send(message)
            except (Refused, Failing) as error:
                if half := len(batch) // 2:
                    batches[:0] = [batch[:half], batch[half:]]
                    continue
                await self._set_aside(batch[0], error)
                self._in_vain += 1
                is_last = not (batches or account.delivered)
                if is_last or self._in_vain >= (MOST_IN_VAIN if account.delivered else FEW_IN_VAIN):
                    raise
            else:
                await self._outbox.remove(batch)
                account.delivered += len(batch)
                self._in_vain = 0
                for change in batch:
                    self._not_taken.pop(change.key, None)

    async def _set_aside(self, change: Change, error: Refused | Failing) -> None:
        """One that the receiver does not take is due again, or a dead letter.

        Where nothing else is taken the receiver may be at fault: the change is due for the next
        try, a failure counts not at all, and a refusal only if each try of a run has it.
        """
        self._not_taken[change.key] = str(error)
        others_are_taken = self.account.delivered > 0
        attempts = change.attempts + 1
        if isinstance(error, Refused):
            counts, is_dead = True, others_are_taken or attempts >= TRIES
        else:
            counts, is_dead = others_are_taken, others_are_taken and attempts >= MAX_ATTEMPTS
        seconds = wait_after(change.attempts, _FIRST_WAIT_ALONE) if others_are_taken else 0
        await self._outbox.put_back(
            change, str(error), seconds=seconds, counts=counts, is_dead=is_dead
        )


def wait_after(attempts: int, first: float) -> float:
    """Doubles each time; somewhere in its upper half, so that workers do not come all at once."""
    wait = min(first * 2.0**attempts, _LONGEST_WAIT)
    return wait * random.uniform(0.5, 1)  # noqa: S311 - no secret
