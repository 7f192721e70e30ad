"""Workers and devices, and what the service has done with them."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from qgjob.models.words import Target


class Worker(Struct):
    """A process that drives devices. `lost`: it has not been heard of for longer than its lease."""

    worker_id: int
    name: str
    version: str
    status: Literal["live", "draining", "lost", "ended"]
    targets: list[Target]
    devices: int
    started_at: datetime
    seen_at: datetime
    org_ids: list[str] | None = None  # whom it serves; null: everybody


class Device(Struct):
    """One slot that runs one test at a time. In quarantine it gets no batch: `health` says so until a probe finds it
    well, a `person` until one says otherwise. `strikes`: losses in a row."""

    device_id: int
    name: str
    target: Target
    labels: dict[str, str]
    worker: str | None
    status: Literal["idle", "busy", "quarantined", "offline"]
    installed_build: str | None
    epoch: int
    quarantined_at: datetime | None
    quarantined_by: Literal["health", "person"] | None
    quarantine_reason: str | None
    strikes: int
    org_ids: list[str] | None = None  # whom it serves; null: everybody


class Stats(Struct):
    """What was done, counted by the database. Rates are 0..1, null where nothing was measured; what failed because a
    device was lost is in no pass rate. `wait_*_s` are of jobs with one attempt."""

    org_id: str | None
    runs: int
    jobs: int
    pending: int
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    flaky: int
    pass_rate: float | None
    attempts: int
    installs: int
    installs_avoided: int
    install_s: float | None
    device_s: float
    saved_s: float
    wait_p50_s: float | None
    wait_p95_s: float | None


class Health(Struct):
    """GET /health. `degraded`: jobs wait for devices that no live worker drives; `unserved` says which."""

    status: Literal["ok", "degraded"]
    database: str
    schema_version: str
    oldest_pending_s: float | None
    live_workers: dict[str, int]
    unserved: list[str]
