"""Pages in memory are bounded by their bytes, whatever their number."""

import asyncio

from loader.http.extract import Budget


def test_the_first_page_is_read_alone_and_the_largest_decides_how_many_follow() -> None:
    async def run() -> list[int]:
        budget, held, most = Budget(100), 0, []
        done = 0

        async def read(size: int) -> None:
            nonlocal held, done
            taken = await budget.take()
            held += size
            most.append(held)
            await asyncio.sleep(0)  # the answer
            budget.learn(size)
            await asyncio.sleep(0)  # the writer
            held -= size
            done += 1
            await budget.give(taken)

        await asyncio.gather(*(read(30) for _ in range(20)))
        assert done == 20
        return most

    most = asyncio.run(run())
    assert most[0] == 30
    assert max(most) == 90


def test_a_page_of_more_than_all_takes_all() -> None:
    async def run() -> int:
        budget = Budget(100)
        budget.learn(1000)
        taken = await budget.take()
        await budget.give(taken)
        return await budget.take()

    assert asyncio.run(run()) == 100
