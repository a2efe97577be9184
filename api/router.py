"""A router that is asked only for the paths below its prefix."""

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class Router(APIRouter):
    """FastAPI asks one router after another, each of them for each of its routes.

    So a request would cost the more, the more datasets there are.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not path.startswith(self.prefix):
            return Match.NONE, {}
        return super().matches(scope)
