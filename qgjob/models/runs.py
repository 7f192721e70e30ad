"""Submissions as a whole: how they went, and the groups that their jobs form."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from qgjob.models.words import FailureKind, Priority, Reset, RunStatus, Selector, Target


class Run(Struct):
    """One submission: its jobs by status, and what grouping saved. `seq` grows with every change of one of its jobs.
    `lost_client`: it was cancelled because the client that waited for it was not heard of any more."""

    run_id: int
    org_id: str
    app_version_id: str
    status: RunStatus
    seq: int
    total: int
    pending: int
    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    infrastructure: int
    flaky: int
    attempts: int
    installs: int
    install_s: float
    saved_s: float
    labels: dict[str, str]
    created_at: datetime
    finished_at: datetime | None
    lost_client: bool = False


class Failure(Struct):
    """A job of a run that did not simply pass, and why. The message, the title of the test, its line in the spec file,
    the device and the video are those of the attempt that failed last."""

    job_id: int
    test_path: str
    target: Target
    selector: Selector
    app_version_id: str
    verdict: Literal["failed", "infrastructure", "cancelled", "flaky"]
    failure_kind: FailureKind | None
    message: str | None
    attempts: int
    device: str | None
    title: str | None
    line: int | None
    video_url: str | None
    video_offset_s: float | None
    log_tail: str | None


class Unserved(Struct):
    """Devices that jobs of a run wait for and no live worker drives. `nearest`: the labels that come nearest among the
    live ones of this target; null where there is none."""

    target: Target
    selector: Selector
    jobs: int
    nearest: dict[str, str] | None = None


class RunPage(Struct):
    """GET /runs: newest first, paged like GET /jobs."""

    runs: list[Run]
    next_cursor: int | None


class Group(Struct):
    """The unfinished jobs that can share one installation, and the devices on them now."""

    group_id: int
    org_id: str
    app_version_id: str
    target: Target
    selector: Selector
    reset: Reset
    priority: Priority
    pending: int
    queued: int
    running: int
    devices: int
    oldest_at: datetime
    grouped_by: dict[str, str] = {}
