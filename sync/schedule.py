"""Deliveries in the background of the API: every few minutes, and when somebody asks."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import psycopg
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from assay.catalog import Catalog
from assay.settings import Settings
from sync.delivery import deliver, synced

_UNIT = "minutes"
_log = logging.getLogger("assay.sync")


class Courier:
    """Delivers, one run at a time.

    Each process of the API has one, and they take turns: who comes while another is at it goes.
    """

    def __init__(self, settings: Settings, url: str, catalog: Catalog) -> None:
        self._settings = settings
        self._url = url
        self._catalog = catalog
        self._scheduler = AsyncIOScheduler()
        self._run: asyncio.Task[None] | None = None
        self._is_wanted_again = False
        self._revives = False

    @property
    def has_receiver(self) -> bool:
        return bool(self._settings.sync_url)

    @property
    def is_running(self) -> bool:
        return self._run is not None and not self._run.done()

    def start_schedule(self) -> None:
        """Deliver every few minutes from now on, where there is something to deliver to."""
        if not self.has_receiver or not synced(self._catalog):
            return

        async def run() -> None:
            self.start()

        interval: dict[str, Any] = {_UNIT: self._settings.sync_interval_minutes}
        self._scheduler.add_job(run, "interval", coalesce=True, max_instances=1, **interval)
        self._scheduler.start()

    def start(self, *, revive: bool = False) -> None:
        """Deliver now; a run that is under way may have looked already, so another follows it."""
        self._revives |= revive
        if self.is_running:
            self._is_wanted_again = True
        else:
            self._run = asyncio.create_task(self._deliver())

    async def close(self) -> None:
        """End what runs; the claims of what it sends run out."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self._run is not None:
            self._run.cancel()
            with suppress(asyncio.CancelledError):
                await self._run

    async def _deliver(self) -> None:
        self._is_wanted_again = True
        while self._is_wanted_again:
            self._is_wanted_again = False
            revive, self._revives = self._revives, False
            try:
                await deliver(self._settings, self._url, self._catalog, revive=revive)
            except psycopg.Error as error:
                _log.warning("no delivery: %s", error)
