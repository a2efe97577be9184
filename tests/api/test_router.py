"""Routers of many datasets cost each other's requests nothing."""

from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Match
from starlette.types import Scope

from api.router import Router
from tests.api.conftest import CATALOG, client_of

pytestmark = pytest.mark.anyio


async def test_a_router_is_not_asked_for_the_paths_of_others() -> None:
    """Else each request would cost the more, the more datasets there are."""
    asked = []

    class Route(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            asked.append((self.path, scope["path"]))
            return super().matches(scope)

    app = FastAPI(redirect_slashes=False)
    for prefix in ("/a", "/ab", "/c"):
        router = Router(prefix=prefix, route_class=Route)
        router.add_api_route("/{key}", lambda: "found", methods=["GET"])
        app.include_router(router)
    async with client_of(app) as client:
        assert [(await client.get(path)).status_code for path in ("/c/1", "/d/1")] == [200, 404]
        assert {route for route, _ in asked} == {"/c/{key}"}
        assert (await client.get("/ab/1")).text == '"found"'


async def test_a_router_finds_its_paths_below_a_root_path() -> None:
    app = FastAPI()
    router = Router(prefix="/a")
    router.add_api_route("/{key}", lambda: "found", methods=["GET"])
    app.include_router(router)
    transport = httpx.ASGITransport(app, root_path="/below")
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/below/a/1")).status_code == 200


def test_every_dataset_has_such_routers(app: FastAPI) -> None:
    """Reason: see api/router.py. Remedy: `Router` with the prefix of the dataset."""
    for entity in CATALOG.served:
        prefix = f"/api/v1/{entity.path}"
        own = [r for r in app.router.routes if _begins_with(r, prefix)]
        assert own
        assert all(isinstance(r.original_router, Router) for r in own)


def _begins_with(router: object, prefix: str) -> bool:
    return any((context.path or "").startswith(prefix) for context in iter_route_contexts([router]))


async def test_each_dependency_is_called_once_and_after_its_own() -> None:
    """Also where two ask for it, and where what comes first refuses."""
    called = []

    async def first(request: Request) -> str:
        called.append("first")
        if "refuse" in request.query_params:
            raise HTTPException(418)
        return "first"

    First = Annotated[str, Depends(first)]  # noqa: N806 - a type

    async def second(given: First) -> str:
        called.append("second")
        return f"{given} second"

    router = Router(prefix="/a")

    @router.post("")
    async def answer(own: First, other: Annotated[str, Depends(second)]) -> Response:
        called.append("answer")
        return Response(f"{own}, {other}")

    app = FastAPI()
    app.include_router(router)
    async with client_of(app) as client:
        assert (await client.post("/a")).text == "first, first second"
        assert called == ["first", "second", "answer"]
        assert (await client.post("/a?refuse")).status_code == 418
        assert called[3:] == ["first"]


async def test_fastapi_reads_the_parameters_of_an_endpoint() -> None:
    router = Router(prefix="/a")

    @router.post("")
    async def answer(number: int) -> Response:
        return Response(f"{number + 1}")

    app = FastAPI()
    app.include_router(router)
    async with client_of(app) as client:
        assert (await client.post("/a?number=1")).text == "2"
        assert (await client.post("/a?number=one")).status_code == 422
