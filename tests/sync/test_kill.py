"""A worker is killed at every step; the next one delivers what it left."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sync.conftest import Shop
from tests.sync.receiver import PASSWORD, USERNAME, Batch, System
from tests.sync.test_delivery import check_delivered

pytestmark = pytest.mark.anyio

MOST_STEPS = 200


def worker(shop: Shop, target: Path, *command: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": shop.url,
        "SYNC_URL": str(shop.settings.sync_url),
        "SYNC_USERNAME": USERNAME,
        "SYNC_PASSWORD": PASSWORD,
        "SYNC_BATCH": "3",
        "SYNC_TIMEOUT_SECONDS": "0.5",
    }
    return subprocess.Popen([sys.executable, "-m", *command], cwd=target, env=environment)


async def die(shop: Shop, parsed_project: Path, step: int) -> bool:
    """Whether it died of it."""
    process = worker(shop, parsed_project, "tests.sync.dying", str(step))
    code = await asyncio.to_thread(process.wait, 30)
    assert code in (0, -signal.SIGKILL)
    return code != 0


async def finish(shop: Shop) -> None:
    """As the next runs do, when the claim of the dead is over."""
    for _ in range(50):
        account = await shop.deliver()
        assert account.error is None
        if not account.waiting:
            return
        await asyncio.sleep(0.1)
    pytest.fail("something waits for ever")


@pytest.mark.parametrize(
    "stride", [pytest.param(9, id="some"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
async def test_a_worker_dies_at_any_step(
    shop: Shop, system: System, parsed_project: Path, stride: int
) -> None:
    """Every change arrives at least once with its key, and no two workers send it at once."""
    step = 1
    while await die(shop, parsed_project, step):
        await finish(shop)
        check_delivered(shop, system)
        assert all(len(keys) == 1 for keys in system.keys_of.values())
        # other changes for the next one
        system.keys_of.clear()
        for barcode in ("7", "1", "2", "3"):
            await shop.put(barcode, quantity=step)
        await shop.delete("2")
        step += stride
        assert step < MOST_STEPS
    assert step > 20
    check_delivered(shop, system)


@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_worker_dies_while_it_is_answered(
    shop: Shop, system: System, parsed_project: Path, is_taken: bool
) -> None:
    """Before the receiver has taken the batch, or after; the same keys come again."""
    killed: list[int] = []
    process = worker(shop, parsed_project, "tests.sync.dying", "0")

    def kill(batch: Batch) -> None:
        if not killed:
            if is_taken:
                system.take(batch)
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    system.on_batch = kill
    await asyncio.to_thread(process.wait, 60)
    assert killed
    await finish(shop)
    assert system.rows == shop.rows()
    assert all(len(keys) == 1 for keys in system.keys_of.values())
