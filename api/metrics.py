"""What Prometheus reads of this process at `/metrics`; another process has its own numbers."""

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.builds import Builder
from api.database import Database

_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

# When a series began is of no use here, and a second series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The numbers of one application."""

    def __init__(self, database: Database, builder: Builder) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "assay_request_seconds",
            "From the request to the last byte of its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "assay_requests_in_flight",
            "Requests that are being answered.",
            registry=self._registry,
        )
        self._exports = Counter(
            "assay_exports",
            "Answers to reads that are files rather than JSON.",
            ("media_type",),
            registry=self._registry,
        )
        self._registry.register(_Usage(database, builder))
        ProcessCollector(registry=self._registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request that ended; what a client can invent makes no series of its own."""
        known = method if method in _METHODS else "other"
        self._seconds.labels(known, route, str(status)).observe(seconds)

    def count_export(self, media_type: str) -> None:
        self._exports.labels(media_type).inc()

    def page(self) -> bytes:
        return generate_latest(self._registry)


class _Usage(Collector):
    """Is asked when the page is read."""

    def __init__(self, database: Database, builder: Builder) -> None:
        self._database = database
        self._builder = builder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        connections = GaugeMetricFamily(
            "assay_database_connections",
            "Connections that are open, by pool and whether a statement runs on them.",
            labels=("pool", "state"),
        )
        for pool, (used, idle) in self._database.usage().items():
            connections.add_metric((pool, "used"), used)
            connections.add_metric((pool, "idle"), idle)
        yield connections
        yield GaugeMetricFamily(
            "assay_build_jobs_waiting",
            "Uploads and other jobs that the build worker has not begun.",
            self._builder.waiting,
        )
