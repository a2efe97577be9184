"""Routers and routes that cost a request nothing but what it asks for."""

from collections.abc import Callable, Coroutine
from inspect import get_annotations, iscoroutinefunction
from time import monotonic
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.accept import check_accept
from api.database import database_of
from api.security import Right

RIGHTS_SECONDS = 1.0
"""For how long rights that were asked still hold: a body may take minutes to come."""
Steps = dict[Any, tuple[str | None, list[tuple[str, Any]]]]
"""By what is called, in this order: its parameter for the request, and for what which call gave."""

_FOLLOWED = (
    *("call", "dependencies", "name", "path", "request_param_name", "scope"),
    *("own_oauth_scopes", "parent_oauth_scopes"),
)


class Route(APIRoute):
    """Calls what its endpoint depends on in the order that FastAPI finds anew at each request.

    That is: each once, after what it depends on itself. Where there is more to do than to call
    coroutines with the request, FastAPI does it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        # A stable order: rights first, whatever the signature says.
        self.dependant.dependencies.sort(key=lambda source: not _asks_for_a_right(source))
        gives = get_annotations(self.endpoint).get("return")
        is_response = isinstance(gives, type) and issubclass(gives, Response)
        if not is_response or self.body_field or not _is_plain(self.dependant):
            return super().get_route_handler()
        steps: Steps = {}
        _add_steps(self.dependant, steps)
        rights = [call for call in steps if isinstance(call, Right)]

        async def handle(request: Request) -> Response:
            given: dict[Any, Any] = {}
            begun = monotonic()
            for call in steps:
                if call is self.endpoint and monotonic() - begun > RIGHTS_SECONDS:
                    for right in rights:
                        given[right] = await _called(right, steps, given, request)
                given[call] = await _called(call, steps, given, request)
            response: Response = given[self.endpoint]
            return response

        async def read(request: Request) -> Response:
            async with (await database_of(request)).reading():
                return await handle(request)

        return read if self.methods == {"GET"} else handle


class Router(APIRouter):
    """FastAPI asks one router after another, each of them for each of its routes.

    So a request would cost the more, the more datasets there are: one with a prefix takes all paths
    below it, and no others.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of FastAPI
        own = {
            "route_class": Route,
            "dependencies": [Depends(check_accept)],
            "redirect_slashes": False,
            "generate_unique_id_function": _operation_id,
        }
        super().__init__(**{**own, **options})

    @classmethod
    def joined(cls, *parts: "Router") -> "Router":
        """One for the routes of all these in their order; the shortest prefix is that of all."""
        whole = cls(prefix=min((part.prefix for part in parts), key=len))
        whole.routes += [route for part in parts for route in part.routes]
        return whole

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not self.prefix:
            return super().matches(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_below = path == self.prefix or path.startswith(f"{self.prefix}/")
        return (Match.FULL if is_below else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What FastAPI adds where a router is included is documentation only: `self` has the rest.
        await self.app(scope, receive, send)


def _operation_id(route: APIRoute) -> str:
    """The name of the function, as clients in most languages write names."""
    first, *others = route.name.split("_")
    return first + "".join(map(str.capitalize, others))


def _asks_for_a_right(dependant: Dependant) -> bool:
    return isinstance(dependant.call, Right) or any(map(_asks_for_a_right, dependant.dependencies))


def _is_plain(dependant: Dependant) -> bool:
    """Whether it takes nothing but the request, and what others give that are so too."""
    followed = Dependant(**{name: getattr(dependant, name) for name in _FOLLOWED})
    kinds = (dependant.call, type(dependant.call).__call__)
    is_async = any(map(iscoroutinefunction, kinds))
    return dependant == followed and is_async and all(map(_is_plain, dependant.dependencies))


async def _called(call: Any, steps: Steps, given: dict[Any, Any], request: Request) -> Any:  # noqa: ANN401
    name, needed = steps[call]
    values = {parameter: given[source] for parameter, source in needed}
    if name:
        values[name] = request
    return await call(**values)


def _add_steps(dependant: Dependant, steps: Steps) -> None:
    for source in dependant.dependencies:
        _add_steps(source, steps)
    needed = [(source.name, source.call) for source in dependant.dependencies if source.name]
    steps.setdefault(dependant.call, (dependant.request_param_name, needed))
