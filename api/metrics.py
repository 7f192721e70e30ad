"""/metrics, for Prometheus: what the database counts, asked every few seconds, and what this process sees, which is
told without a database, too."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from psycopg_pool import PoolTimeout

import sql
from api.access import OPEN, OPEN_S
from qgjob import logs

troubles = logs.seldom("api.background")
TEXT = "text/plain; version=0.0.4; charset=utf-8"
ASKED_AGAIN_S = 5.0
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class OfTarget(Struct):
    pending: int
    oldest_s: float
    workers: int
    idle: int
    busy: int
    offline: int
    quarantined: int = 0
    unserved_s: float = 0


class Counted(Struct):
    """See api/get_metrics.sql."""

    targets: dict[str, OfTarget]
    claims: int
    expired: int
    installs: int
    attempts: int
    avoided: int
    bounds: list[float]
    buckets: list[int]


class Metrics:
    """Those of one API process."""

    def __init__(self, db: sql.Database) -> None:
        self._db = db
        self._counted: Counted | None = None  # None: the database does not answer
        self._at = float("-inf")
        self._asking = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.requests = Counter(
            "qgjob_http_requests", "Requests that this process has answered.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "qgjob_http_request_seconds", "How long they took, waiting for changes included.", ["method", "route"],
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, str(status)).inc()
        self.request_seconds.labels(method, route).observe(seconds)

    async def text(self) -> bytes:
        """However many ask at once, the database is asked by one."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._at >= ASKED_AGAIN_S:
                try:
                    # First, because counting what is pending may take longer.
                    await sql.within(OPEN_S, sql.one(self._db, Counted, "get_metrics"))
                    await sql.call(self._db, "sample_pending")
                    self._counted = await sql.one(self._db, Counted, "get_metrics")
                except (psycopg.Error, PoolTimeout) as error:
                    troubles.warning("metrics: %s", str(error).strip())
                    self._counted = None
                self._at = asyncio.get_running_loop().time()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        pool = self._db.get_stats()
        connections = GaugeMetricFamily("qgjob_pool_connections", "Database connections.", labels=["state"])
        size, free = pool.get("pool_size", 0), pool.get("pool_available", 0)
        connections.add_metric(["idle"], free)
        connections.add_metric(["busy"], size - free)
        yield connections
        yield GaugeMetricFamily(
            "qgjob_pool_waiting", "Requests that wait for a connection.", pool.get("requests_waiting", 0)
        )
        yield CounterMetricFamily(
            "qgjob_pool_timeouts", "Requests that got no connection in time.", pool.get("requests_errors", 0)
        )
        yield GaugeMetricFamily(
            "qgjob_database_up", "Whether the database answers; without, nothing that it counts is told.",
            int(self._counted is not None),
        )  # fmt: skip
        if self._counted is not None:
            yield from database_metrics(self._counted)


def database_metrics(counted: Counted) -> Iterator[Metric]:
    def by_target(name: str, text: str, field: str) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["target"])
        for target, of in sorted(counted.targets.items()):
            family.add_metric([target], getattr(of, field))
        return family

    yield by_target("qgjob_pending_jobs", "Jobs that wait for a device.", "pending")
    yield by_target("qgjob_oldest_pending_seconds", "How long the oldest of them has waited.", "oldest_s")
    yield by_target(
        "qgjob_unserved_seconds", "How long the oldest job has waited that no live worker can run.", "unserved_s"
    )
    yield by_target("qgjob_live_workers", "Workers that were heard of within their lease.", "workers")
    devices = GaugeMetricFamily("qgjob_devices", "Devices by what they do.", labels=["target", "status"])
    for target, of in sorted(counted.targets.items()):
        for status in ("idle", "busy", "quarantined", "offline"):
            devices.add_metric([target, status], getattr(of, status))
    yield devices
    totals: dict[str, tuple[str, Any]] = {
        "qgjob_claims": ("Batches that devices have claimed.", counted.claims),
        "qgjob_leases_expired": ("Batches that were taken back from lost workers.", counted.expired),
        "qgjob_installs": ("Installations of a build on a device.", counted.installs),
        "qgjob_attempts": ("Attempts, lost ones included.", counted.attempts),
        "qgjob_installs_avoided": ("Attempts that needed no installation of their own.", counted.avoided),
    }
    for name, (text, value) in totals.items():
        yield CounterMetricFamily(name, text, value)
    below, buckets = 0, list[tuple[str, float]]()
    for bound, claims in zip([*map(str, counted.bounds), "+Inf"], counted.buckets, strict=True):
        below += claims
        buckets.append((bound, below))
    # No sum: the counters in the database count, and add up nothing.
    yield HistogramMetricFamily(
        "qgjob_pick_up_seconds", "From the submission of a group's oldest pending job to a claim.",
        buckets=buckets, sum_value=None,
    )  # fmt: skip


@get("/metrics", opt=OPEN, summary="For Prometheus", media_type=TEXT, tags=["overview"])
async def get_metrics(metrics: NamedDependency[Metrics]) -> Response[bytes]:
    """For whoever scrapes, without a token, like /health: sums of everybody's, and no names."""
    return Response(await metrics.text(), media_type=TEXT)
