"""A process that is killed at one of its steps, to see what it leaves."""

import functools
import inspect
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any


def die(last: int, *methods: tuple[Any, str]) -> None:
    """Kill this process at its step of that number; 0 is none.

    A step is a call of one of the methods, each of which has a before and an after.
    """
    steps = itertools.count(1)

    def step() -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in methods:
        setattr(owner, name, _stepping(getattr(owner, name), step))


def _stepping(method: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def run_async(*arguments: Any, **options: Any) -> Any:
            step()
            result = await method(*arguments, **options)
            step()
            return result

        return run_async

    @functools.wraps(method)
    def run(*arguments: Any, **options: Any) -> Any:
        step()
        result = method(*arguments, **options)
        step()
        return result

    return run
