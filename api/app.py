"""Puts the application together: `uvicorn api.app:app` makes it for the project it runs in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api import history, lists, loads, pages, rows, sessions, templates, uploads
from api.builds import Builder
from api.database import Database
from api.envelope import Envelope
from api.errors import SCHEMA, problem_of, respond
from api.forms import remove_left_over
from api.resource import Resource
from api.schemas import schemas_of
from api.security import Tokens
from api.users import warm_up
from assay.catalog import Catalog, read_catalog
from assay.database import database_url
from assay.settings import Settings, read_settings

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def create_app(
    settings: Settings, catalog: Catalog | None = None, *, warm: bool = False
) -> FastAPI:
    """The application for a project; PostgreSQL need not run yet.

    Args:
        settings: Of the project.
        catalog: Instead of what the project's manifest says.
        warm: Start the build worker with the server, not with the first upload.

    Raises:
        CatalogError: There is no manifest, or it has what the API cannot serve.
        ValueError: There is no ASSAY_SECRET, or it is too short.
    """
    if settings.assay_secret is None:
        raise ValueError("ASSAY_SECRET is not set: the API cannot sign access tokens without it.")
    tokens = Tokens(settings.assay_secret.get_secret_value())
    served = read_catalog(settings.manifest)
    catalog = catalog or served
    database = Database(database_url(settings))
    builder = Builder(settings)
    reports = loads.Reports(catalog)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        warm_up()
        remove_left_over()
        await database.connect()
        if warm and any(entity.source_tables for entity in catalog.served):
            builder.warm_up()
        yield
        await builder.close()
        await database.disconnect()

    app = FastAPI(
        title="Assay",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.database = database
    app.state.builder = builder
    app.state.tokens = tokens
    resources = {
        entity.name: Resource(entity, catalog, schemas_of(entity)) for entity in catalog.served
    }
    for entity in catalog.served:
        resource = resources[entity.name]
        app.include_router(lists.reading_router_of(resource, resources))
        app.include_router(lists.writing_router_of(resource))
        if entity.source_tables:
            app.include_router(templates.router_of(resource))
        # first, since `/{key}` would take `/changes` too
        app.include_router(history.router_of(resource))
        app.include_router(rows.router_of(resource))
        if entity.source_tables:
            app.include_router(uploads.router_of(entity, reports, settings.max_upload_mb))
    app.include_router(loads.router_of(catalog, reports))
    app.include_router(sessions.router_of(tokens))
    app.include_router(pages.health_router(pages.Manifest(settings.manifest, served)))
    app.include_router(pages.documents_router(settings.project))

    async def handle(request: Request, error: Exception) -> Response:
        problem = problem_of(error, catalog)
        if problem.status == 405:  # noqa: PLR2004
            problem.headers["Allow"] = ", ".join(_allowed(app, request))
        return respond(request, problem)

    app.add_exception_handler(HTTPException, handle)
    app.add_exception_handler(RequestValidationError, handle)
    app.add_middleware(Envelope, catalog=catalog)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def __getattr__(name: str) -> FastAPI:
    """Make `app` when uvicorn asks for it, not when a test imports `create_app`."""
    if name == "app":
        return create_app(read_settings(), warm=True)
    raise AttributeError(name)


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """All methods of a path: the router names only those of the first route that it finds."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.router.routes
        )
    ]


def _openapi(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.0, which the bundled Swagger UI reads; it does not read 3.1."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version="1", openapi_version="3.0.3", routes=app.routes
        )
        document["components"]["schemas"]["Problem"] = SCHEMA
        app.openapi_schema = document
    return app.openapi_schema
