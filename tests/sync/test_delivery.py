"""Every change arrives at least once, and the last state there is the one here (A-29)."""

import asyncio
import threading
from dataclasses import replace

import pytest
from starlette.responses import Response

from sync.delivery import MAX_ATTEMPTS, MOST_IN_VAIN, TRIES, deliver
from tests.sync.conftest import Shop
from tests.sync.receiver import Batch, System

pytestmark = pytest.mark.anyio

POISON = "7"
"""Barcode of a product of the sample."""


def check_delivered(shop: Shop, system: System) -> None:
    """All is there as it is here, and nothing waits."""
    assert system.rows == shop.rows()
    assert shop.outbox() == []
    assert system.overlaps == []


async def test_all_changes_are_delivered(shop: Shop, system: System) -> None:
    account = await shop.deliver(sync_batch=2)
    assert (account.delivered, account.waiting, account.dead, account.error) == (5, 0, 0, None)
    check_delivered(shop, system)
    assert {len(batch) for batch in system.batches} == {1, 2}

    assert (await shop.deliver()).delivered == 0
    await shop.put("1")
    await shop.put("7", quantity=20)
    await shop.delete("12345670")
    await shop.put("2")
    await shop.delete("2")
    account = await shop.deliver()
    assert account.delivered == 4  # that one is gone is said once more, of one that never was there
    check_delivered(shop, system)
    assert set(system.taken.values()) == {1}
    assert len(system.keys_of["7"]) == 2
    # a row that comes back as it was is a change again
    await shop.put("7", quantity=21)
    await shop.deliver()
    await shop.put("7", quantity=20)
    await shop.deliver()
    check_delivered(shop, system)
    assert len(system.keys_of["7"]) == 4


async def test_a_build_is_delivered(shop: Shop, system: System) -> None:
    """Whoever changed the row; a row that was only looked at is none."""
    await shop.deliver()
    shop.connection.execute("""
        update curated.products set quantity = 99, _transaction_id = pg_current_xact_id()
        where barcode = '7'
    """)
    assert (await shop.deliver()).delivered == 1
    check_delivered(shop, system)


@pytest.mark.parametrize(
    "plan",
    [
        ["fail"],
        ["fail"] * 2,
        ["hang"],
        ["token ran out"],
        ["take", "token ran out"],
        ["no login"],
        ["garbled login"],
        ["busy", "take", "busy"],
        ["take and die"],
        ["take", "take and die", "fail"],
        ["redirect"],
    ],
)
async def test_a29_a_receiver_that_fails_for_a_while(
    shop: Shop, system: System, plan: list[str]
) -> None:
    """The run tries again, with the same keys."""
    system.plan.extend(plan)
    patience = {"sync_timeout_seconds": 1.0} if "hang" in plan else {}
    account = await shop.deliver(sync_batch=2, **patience)
    assert (account.delivered, account.waiting, account.dead, account.error) == (5, 0, 0, None)
    check_delivered(shop, system)
    assert all(len(keys) == 1 for keys in system.keys_of.values())


async def test_a29_a_receiver_that_is_down(shop: Shop, system: System) -> None:
    """Nothing is lost and nothing dies of it; a later run delivers."""
    for _ in range(MAX_ATTEMPTS + 1):
        account = await shop.deliver(sync_url="http://127.0.0.1:9")
        assert account.error is not None
        assert "ConnectError" in account.error
        assert (account.delivered, account.waiting, account.dead) == (0, 5, 0)
    await shop.put("7", quantity=20)
    account = await shop.deliver()
    assert account.error is None
    check_delivered(shop, system)


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("barcodes", [("7",), ("1", "2", "3", "4", "5", "6", "7", "8")])
async def test_a_receiver_that_takes_nothing(
    shop: Shop, system: System, status: int, barcodes: tuple[str, ...]
) -> None:
    """Each run tries four times and says so; nothing dies of it, and the next run delivers."""
    await shop.deliver()
    for barcode in barcodes:
        await shop.put(barcode, quantity=90)
    system.always = Response("not now", status, {"Location": system.url})
    for _ in range(MAX_ATTEMPTS + 1):
        system.batches.clear()
        account = await shop.deliver()
        assert account.error == f"{status}: not now"
        assert (account.delivered, account.waiting, account.dead) == (0, len(barcodes), 0)
        whole = [batch for batch in system.batches if len(batch) == 1 or status < 500]
        assert len(whole) >= TRIES
    system.always = None
    account = await shop.deliver()
    assert (account.delivered, account.waiting, account.error) == (len(barcodes), 0, None)
    check_delivered(shop, system)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
@pytest.mark.parametrize("barcodes", [("7",), ("1", "2", "3")])
async def test_a_receiver_that_refuses_everything(
    shop: Shop, system: System, status: int, barcodes: tuple[str, ...]
) -> None:
    """What each try of a run has refused is a dead letter, with the reason, until it is revived."""
    await shop.deliver()
    for barcode in barcodes:
        await shop.put(barcode, quantity=91)
    system.always = Response("no price list of ours", status)
    system.batches.clear()
    account = await shop.deliver()
    expected = (0, 0, len(barcodes), f"{status}: no price list of ours")
    assert (account.delivered, account.waiting, account.dead, account.error) == expected
    alone = [batch[0]["key"] for batch in system.batches if len(batch) == 1]
    assert {key: alone.count(key) for key in barcodes} == dict.fromkeys(barcodes, TRIES)
    system.always = None
    account = await shop.deliver()
    assert (account.delivered, account.dead) == (0, len(barcodes))
    assert account.error == expected[-1]
    account = await shop.deliver(revive=True)
    assert (account.delivered, account.dead, account.error) == (len(barcodes), 0, None)
    check_delivered(shop, system)


async def test_a_receiver_that_breaks_in_the_middle(shop: Shop, system: System) -> None:
    """It is not asked about each of many changes, and none of them dies of it."""
    for number in range(200):
        await shop.put(str(1000 + number))

    def break_down(_batch: Batch) -> None:
        if len(system.batches) == 2:
            system.always = Response("out of order", 500)

    system.on_batch = break_down
    account = await shop.deliver(sync_batch=100)
    assert account.error == "500: out of order"
    assert (account.delivered, account.dead) == (100, 0)
    assert len(system.batches) < 3 * TRIES * MOST_IN_VAIN
    system.always = None
    account = await shop.deliver(revive=True)
    assert account.error is None
    check_delivered(shop, system)


@pytest.mark.parametrize("seconds", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_receiver_that_asks_to_wait_long(shop: Shop, system: System, seconds: str) -> None:
    """The run ends there, and the next one goes on."""
    system.always = Response("later", 503, {"Retry-After": seconds})
    account = await shop.deliver(sync_batch=1)
    assert len(system.batches) == 1
    assert (account.error, account.waiting) == ("503: later", 1)
    system.always = None
    await shop.deliver()
    check_delivered(shop, system)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_a29_one_that_is_refused(shop: Shop, system: System, status: int) -> None:
    """A dead letter, until its row changes; the others are delivered."""
    system.poison[POISON] = status
    account = await shop.deliver()
    rows = shop.rows()
    (left,) = shop.outbox()
    assert left["key"] == POISON
    assert set(system.rows) == set(rows) - {POISON}
    assert (account.waiting, account.dead) == (0, 1)
    assert account.error == f"{status}: this is not for me"
    assert left["error"] == f"{status}: this is not for me"
    await shop.deliver()
    assert [row["is_dead"] for row in shop.outbox()] == [True]

    system.poison.clear()
    await shop.put(POISON, quantity=3)
    await shop.deliver()
    check_delivered(shop, system)


@pytest.mark.parametrize("status", [422, 500])
async def test_what_was_not_taken_is_tried_again(shop: Shop, system: System, status: int) -> None:
    """Dead, or waiting for its next turn: who mended the receiver need not wait."""
    system.poison[POISON] = status
    account = await shop.deliver()
    assert (account.waiting, account.dead) == ((0, 1) if status == 422 else (1, 0))
    assert account.error == f"{status}: this is not for me"
    system.poison.clear()
    await shop.deliver()
    assert len(shop.outbox()) == 1
    await shop.deliver(revive=True)
    check_delivered(shop, system)


async def test_a29_one_that_the_receiver_fails_over(shop: Shop, system: System) -> None:
    """It holds up nobody; while others are taken it becomes a dead letter after some tries."""
    system.poison[POISON] = 500
    await shop.deliver()
    for number in range(MAX_ATTEMPTS + 1):
        await shop.put("1", quantity=number)
        shop.connection.execute("update journal.outbox set due_at = now() where not is_dead")
        account = await shop.deliver()
        assert system.rows["1"]["quantity"] == number
        assert account.error == "500: this is not for me"
    assert (account.waiting, account.dead) == (0, 1)
    assert {key: row for key, row in shop.rows().items() if key != POISON} == system.rows


@pytest.mark.parametrize("status", [403, 404, 405, 415, 429])
async def test_what_no_change_is_to_blame_for(shop: Shop, system: System, status: int) -> None:
    """Nothing is a dead letter, whatever stands at the URL."""
    system.poison[POISON] = status
    account = await shop.deliver()
    assert account.error is not None
    assert account.error.startswith(str(status))
    assert (account.waiting, account.dead) == (5, 0)
    system.poison.clear()
    await shop.deliver()
    check_delivered(shop, system)


async def test_a29_a_change_during_a_delivery(shop: Shop, system: System) -> None:
    """It is sent again, as it is then."""
    loop = asyncio.get_running_loop()
    edited = threading.Event()

    def edit(_batch: Batch) -> None:
        if not edited.is_set():
            edited.set()
            asyncio.run_coroutine_threadsafe(shop.put("7", quantity=77), loop).result(10)

    system.on_batch = edit
    await shop.deliver(sync_timeout_seconds=5)
    assert system.rows["7"]["quantity"] == 77
    assert len(system.keys_of["7"]) == 2
    check_delivered(shop, system)


async def test_a29_two_workers_send_nothing_at_once(shop: Shop, system: System) -> None:
    system.seconds = 0.05
    settings = shop.settings.model_copy(update={"sync_batch": 1, "sync_timeout_seconds": 5})
    runs = [deliver(settings, shop.url, shop.catalog) for _ in range(4)]
    accounts = await asyncio.gather(*runs)
    assert len([run for run in accounts if run is not None]) == 1
    check_delivered(shop, system)
    assert set(system.taken.values()) == {1}


async def test_a29_workers_without_turns_send_nothing_at_once(
    shop: Shop, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a worker loses its turn with its connection: the claims hold."""
    monkeypatch.setattr("sync.delivery._TURN", "select true")
    system.seconds = 0.02
    settings = shop.settings.model_copy(update={"sync_batch": 1, "sync_timeout_seconds": 5})
    for number in range(20):
        await shop.put(str(100 + number))
    await asyncio.gather(*(deliver(settings, shop.url, shop.catalog) for _ in range(4)))
    await shop.deliver()
    check_delivered(shop, system)
    assert set(system.taken.values()) == {1}


async def test_personal_columns_stay_here(shop: Shop, system: System) -> None:
    entity = shop.entity
    columns = tuple(replace(c, is_personal=c.name == "name") for c in entity.columns)
    for is_said in (False, True):
        assert entity.sync
        sync = replace(entity.sync, has_personal_data=is_said)
        personal = replace(entity, columns=columns, sync=sync)
        shop.catalog = replace(shop.catalog, entities={entity.name: personal})
        await shop.put("7", quantity=50 + is_said)
        await shop.deliver()
        assert ("name" in system.rows["7"]) is is_said
        assert "price" in system.rows["7"]


async def test_samples_are_not_delivered(shop: Shop, system: System) -> None:
    """Neither they nor that they are gone; what somebody changed of them is."""
    shop.connection.execute("update raw.loads set is_sample = true")
    assert (await shop.deliver(sync_batch=2)).delivered == 0
    await shop.put("7", quantity=44)
    await shop.put("1")
    assert (await shop.deliver(sync_batch=2)).delivered == 2
    assert set(system.rows) == {"7", "1"}
    # as it is when their source has a load of its own
    shop.connection.execute("""
        with gone as (
            delete from curated.products where updated_by like 'load %'
            returning to_jsonb(products) - '_transaction_id' as before, barcode
        )
        insert into journal.edits (entity, key, operation, before, edited_by, edited_at)
        select 'products', barcode, 'delete', before, 'Sample', now() from gone
    """)
    assert (await shop.deliver()).delivered == 0
    await shop.delete("7")
    assert (await shop.deliver()).delivered == 1
    assert set(system.rows) == {"1"}
