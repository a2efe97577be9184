"""Deliveries in the background of the API."""

import logging
from typing import Any

import psycopg
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from assay.catalog import Catalog
from assay.settings import Settings
from sync.delivery import deliver, synced

_UNIT = "minutes"
_log = logging.getLogger("assay.sync")


def schedule_of(settings: Settings, url: str, catalog: Catalog) -> AsyncIOScheduler | None:
    """Delivers every few minutes once it is started; None where there is nothing to deliver to.

    Each process of the API has one, and they take turns: who comes while another is at it goes.
    """
    if not settings.sync_url or not synced(catalog):
        return None

    async def run() -> None:
        try:
            await deliver(settings, url, catalog)
        except psycopg.Error as error:
            _log.warning("no delivery: %s", error)

    scheduler = AsyncIOScheduler()
    interval: dict[str, Any] = {_UNIT: settings.sync_interval_minutes}
    scheduler.add_job(run, "interval", coalesce=True, max_instances=1, **interval)
    return scheduler
