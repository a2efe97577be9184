"""Puts the application together: `uvicorn api.app:app` makes it for the project it runs in."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache, partial

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import (
    accounts,
    deliveries,
    history,
    links,
    lists,
    loads,
    pages,
    profile,
    registration,
    rejected,
    rows,
    sessions,
    templates,
    uploads,
)
from api.builds import Builder
from api.cors import Cors
from api.database import Database
from api.document import Document, document_of
from api.envelope import Envelope
from api.errors import documented, problem_of, respond
from api.exports import Running
from api.first_admin import make_first_admin
from api.forms import remove_left_over
from api.limits import Limits
from api.metrics import Metrics
from api.passwords import THREADS, warm_up
from api.people import Scopes
from api.resource import Resource
from api.router import Router
from api.schemas import schemas_of
from api.tokens import Tokens
from assay.catalog import Catalog, read_catalog
from assay.database import database_url
from assay.settings import (
    UNSAFE_SETTINGS,
    Settings,
    UnsafeSettingsError,
    check_production,
    read_settings,
)
from sync.schedule import Courier

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


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
        UnsafeSettingsError: They do not do for production.
    """
    check_production(settings)
    if settings.assay_secret is None:
        raise ValueError("ASSAY_SECRET is not set: the API cannot sign access tokens without it.")
    tokens = Tokens(settings.assay_secret.get_secret_value(), settings.keys_file)
    served = read_catalog(settings.manifest)
    catalog = catalog or served
    database = Database(database_url(settings))
    builder = Builder(settings)
    metrics = Metrics(database, builder)
    courier = Courier(settings, database_url(settings), catalog)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        warm_up()
        remove_left_over()
        await database.connect()
        first_admin = asyncio.create_task(make_first_admin(database, settings))
        courier.start_schedule()
        if warm:
            document.prepare()
            _warm_up(builder, catalog)
        yield
        first_admin.cancel()
        await courier.close()
        await builder.close()
        await database.disconnect()

    app = FastAPI(
        title="Assay",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        responses=documented(406, 408, 429),
    )
    app.state.database = database
    app.state.builder = builder
    app.state.tokens = tokens
    app.state.limits = Limits(settings)
    app.state.running_exports = Running()
    app.state.settings = settings
    app.state.large_bodies = asyncio.Semaphore(1)
    app.state.password_turns = asyncio.Semaphore(THREADS)
    document = Document(app)
    for router in (
        *_routers(settings, catalog, tokens, courier),
        pages.health_router(pages.Manifest(settings.manifest, served), document),
        pages.documents_router(settings.project, metrics, document),
    ):
        app.include_router(router)

    async def handle(request: Request, error: Exception) -> Response:
        problem = problem_of(error, catalog)
        if problem.status == 405:  # noqa: PLR2004
            problem.headers["Allow"] = ", ".join(_allowed(app, request))
        return respond(request, problem)

    app.add_exception_handler(HTTPException, handle)
    app.add_exception_handler(RequestValidationError, handle)
    app.add_middleware(
        Envelope,
        catalog=catalog,
        metrics=metrics,
        cors=Cors(settings.cors_origins),
        max_requests=settings.max_requests,
    )
    if settings.trusted_proxies:
        proxies = [str(network) for network in settings.trusted_proxies]
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)
    app.openapi = cache(partial(document_of, app))  # type: ignore[method-assign]
    return app


def _warm_up(builder: Builder, catalog: Catalog) -> None:
    if any(entity.file_sources for entity in catalog.served):
        builder.warm_up()


def _routers(
    settings: Settings, catalog: Catalog, tokens: Tokens, courier: Courier
) -> Iterator[Router]:
    """In the order in which paths are looked for: what has a name comes before what takes any."""
    reports = loads.Reports(catalog)
    resources = {
        entity.name: Resource(entity, catalog, schemas_of(entity)) for entity in catalog.served
    }
    for resource in resources.values():
        parts = [
            lists.reading_router_of(resource, resources),
            lists.writing_router_of(resource),
            history.router_of(resource),
            links.router_of(resource, resources),
        ]
        if resource.entity.file_sources:
            parts.append(templates.router_of(resource))
            parts.append(
                uploads.router_of(resource.entity, catalog, reports, settings.max_upload_mb)
            )
        yield Router.joined(*parts, rows.router_of(resource))
    yield Router.joined(loads.router_of(catalog, reports), rejected.router_of(catalog, reports))
    yield deliveries.router_of(catalog, courier)
    yield sessions.router_of(tokens)
    scopes = Scopes(catalog)
    yield Router.joined(
        registration.router_of(scopes, tokens, registration.registration_of(settings, scopes)),
        profile.router_of(),
        accounts.router_of(scopes),
    )


def __getattr__(name: str) -> FastAPI:
    """Make `app` when uvicorn asks for it, not when a test imports `create_app`."""
    if name == "app":
        try:
            return create_app(read_settings(), warm=True)
        except UnsafeSettingsError as error:
            sys.stderr.write(f"assay: {error}\n")
            raise SystemExit(UNSAFE_SETTINGS) from None
    raise AttributeError(name)


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """All methods of a path: the router names only those of the first route that it finds."""
    routes = [context.original_route for context in iter_route_contexts(app.routes)]

    def has(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return [method for method in _METHODS if has("GET" if method == "HEAD" else method)]
