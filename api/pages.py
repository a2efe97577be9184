"""Whether it lives and is ready, and the pages that are for those who run it."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from api.addresses import address_of
from api.database import Pool
from api.document import Document
from api.errors import Problem
from api.metrics import Metrics
from api.router import Router
from assay.catalog import Catalog, CatalogError, read_catalog

if TYPE_CHECKING:
    from assay.settings import Settings

_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_OUR_NAMES = ("localhost", "127.0.0.1", "[::1]")

_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Assay API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
# Its files as Swagger UI released them; the rest of the package would patch FastAPI.
_VIEWER = Path(str(files("fastapi_swagger.resources")))
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}

_FRAME = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    f"img-src 'self' data:; connect-src 'self'; {_FRAME}"
)
# dbt makes one file with everything inside, and its framework evaluates templates.
_DBT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    f"img-src data:; font-src data:; {_FRAME}"
)


async def _for_operators(request: Request) -> None:
    """A name other than ours is a page elsewhere that had its own name resolve to this machine."""
    host = request.headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    is_direct = not any(header in request.headers for header in _PROXY_HEADERS)
    address = address_of(request)
    is_here = is_direct and name in _OUR_NAMES and address is not None and address.is_loopback
    settings = cast("Settings", request.app.state.settings)
    # A proxy that the settings do not know would pass on what anybody asks.
    is_known = is_direct or settings.trusted_proxies
    is_operator = is_known and any(address in network for network in settings.operator_addresses)
    if not (is_here or is_operator):
        raise Problem(404)


Operator = Annotated[None, Depends(_for_operators)]
"""For a browser on the machine itself with no proxy between, and for addresses of the settings."""


class Manifest:
    """Tells whether the manifest on disk still says what the API was made from.

    Every run of dbt writes it anew, nearly always with the same datasets.
    """

    def __init__(self, path: Path, served: Catalog) -> None:
        self._path = path
        self._served = served
        self._seen: tuple[int, int] | None = None
        self._is_current = True

    def is_current(self) -> bool:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._is_current = read_catalog(self._path, patience=0) == self._served
                self._seen = seen
        except (CatalogError, LookupError, OSError, ValueError):
            return False  # gone, or only half written: look again next time
        return self._is_current


def health_router(manifest: Manifest, document: Document) -> Router:
    router = Router(include_in_schema=False)

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready")
    async def ready(database: Pool) -> dict[str, str]:
        await database.fetch_row("select 1")
        if not manifest.is_current():
            raise Problem(503, "The datasets have changed since the API started: restart it.")
        await document.read()  # whoever asks for it first would wait for it
        return {"status": "ready"}

    return router


def documents_router(project: Path, metrics: Metrics, document: Document) -> Router:
    router = Router(include_in_schema=False)

    @router.get("/metrics")
    async def numbers(_operator: Operator) -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/openapi.json")
    async def openapi(_operator: Operator) -> Response:
        return Response(await document.read(), media_type="application/json")

    @router.get("/docs")
    async def docs(_operator: Operator) -> Response:
        return HTMLResponse(_DOCS, headers={"Content-Security-Policy": _DOCS_POLICY})

    @router.get("/docs/start.js")
    async def start(_operator: Operator) -> Response:
        return Response(_START, media_type="text/javascript")

    @router.get("/docs/{name}")
    async def docs_file(name: str, _operator: Operator) -> Response:
        if name not in _FILES:
            raise Problem(404)
        return FileResponse(_VIEWER / name, media_type=_FILES[name])

    @router.get("/dbt")
    async def dbt(_operator: Operator) -> Response:
        page = project / "target" / "static_index.html"
        if not page.is_file():
            raise Problem(404, "There is no documentation of the data yet: run `assay docs`.")
        return FileResponse(page, headers={"Content-Security-Policy": _DBT_POLICY})

    return router
