"""Serves the API by uvicorn, as `assay serve` does."""

import socket
from contextlib import suppress

import uvicorn

from api.app import create_app
from api.builds import SHUTDOWN_SECONDS, Builder
from api.protocol import BoundedProtocol
from assay.logs import configuration
from assay.settings import Settings

_CONNECTIONS_PER_REQUEST = 8


class _Server(uvicorn.Server):
    """Withdraws the jobs that wait when it begins to end, so that their requests are answered.

    The lifespan hears of the end only after all requests.
    """

    def __init__(self, config: uvicorn.Config, builder: Builder) -> None:
        super().__init__(config)
        self._builder = builder

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._builder.begin_to_close()
        await super().shutdown(sockets)


def serve_project(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises:
        SystemExit: It could not start; uvicorn has said why.
    """
    app = create_app(settings, warm=True)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        log_config=configuration(settings),
        log_level="warning",
        # Those that only hold a connection count too; the application says 503 far earlier.
        limit_concurrency=_CONNECTIONS_PER_REQUEST * settings.max_requests,
    )
    server = _Server(config, app.state.builder)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(1)
