"""How often somebody may ask: buckets of tokens, in the memory of this process.

A bucket holds what is allowed in a minute and fills evenly, so who was away may ask that often at
once. Each process of several has its own buckets.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, cast

from fastapi import Request

from api.errors import Problem
from assay.settings import Settings

Kind = Literal["requests", "logins", "uploads", "exports"]
_MINUTE = 60
_MAX_BUCKETS = 100_000


class Limits:
    """The buckets of all users and addresses."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute: dict[Kind, int] = {
            "requests": settings.requests_per_minute,
            "logins": settings.logins_per_minute,
            "uploads": settings.uploads_per_minute,
            "exports": settings.exports_per_minute,
        }
        self._clock = clock
        # (kind, who): tokens, and when there were as many; the longest unused come first
        self._buckets: OrderedDict[tuple[Kind, str], tuple[float, float]] = OrderedDict()

    def take(self, kind: Kind, who: str) -> tuple[str, str, float]:
        """Take a token.

        Returns:
            The members of `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers,
            10), and the seconds until there is a token, 0 if this one was there.
        """
        most = self._per_minute[kind]
        now = self._clock()
        tokens, then = self._buckets.pop((kind, who), (float(most), now))
        tokens = min(most, tokens + (now - then) * most / _MINUTE)
        is_there = tokens >= 1
        tokens -= is_there
        self._buckets[kind, who] = tokens, now
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        until_full = math.ceil((most - tokens) * _MINUTE / most)
        until_next = 0 if is_there else (1 - tokens) * _MINUTE / most
        policy = f'"{kind}";q={most};w={_MINUTE}'
        return policy, f'"{kind}";r={int(tokens)};t={until_full}', until_next


def take(request: Request, kind: Kind, who: str) -> None:
    """Take a token for a request; what is left stands in the headers of its answer.

    Raises:
        Problem: 429.
    """
    limits = cast("Limits", request.app.state.limits)
    policy, left, seconds = limits.take(kind, who)
    request.scope["state"].setdefault("rates", []).append((policy, left))
    if seconds:
        headers = {"Retry-After": str(math.ceil(seconds))}
        raise Problem(429, f"These were too many {kind} in a minute.", headers=headers)
