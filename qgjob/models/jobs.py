"""Jobs: how they are, what they printed, what they wait for."""

from datetime import datetime

from msgspec import Struct

from qgjob.models.words import FailureKind, Priority, Reset, Selector, Status, Target


class Job(Struct):
    """One spec file run against one build on one target."""

    job_id: int
    run_id: int
    org_id: str
    app_version_id: str
    test_path: str
    target: Target
    selector: Selector
    reset: Reset
    priority: Priority
    status: Status
    failure_kind: FailureKind | None
    flaky: bool
    message: str | None
    attempts: int
    retries: int
    timeout_s: int
    device: str | None
    worker: str | None
    retry_of: int | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None


class WatchedJob(Job):
    """GET /jobs/{id}. `seq` grows with every change of the job."""

    seq: int = 0


class JobPage(Struct):
    """GET /jobs: newest first. Pass `next_cursor` as `cursor` for what follows; null at the end."""

    jobs: list[Job]
    next_cursor: int | None


class Log(Struct):
    """The end of what an attempt of a job printed. `message`: why it failed."""

    job_id: int
    attempt: int
    log: str
    message: str | None = None


class LiveLog(Struct):
    """What a job's current attempt has printed beyond what was asked for; of `length` characters altogether."""

    job_id: int
    attempt: int
    status: Status
    length: int
    log: str


class Why(Struct):
    """GET /jobs/{id}/why: what a job waits for, or why it ran where it did. Predictions are in seconds from now, null
    where nothing can be said. `jobs_ahead` and `work_ahead_s` count its own group, `groups_ahead` the others that a
    fitting device would be given before."""

    job_id: int
    status: Status
    reason: str
    jobs_ahead: int
    work_ahead_s: float
    groups_ahead: int
    devices_fitting: int
    devices_on_group: int
    predicted_device: str | None
    predicted_start_s: float | None


class Waiting(Why):
    """GET /runs/{id}/why: what so many `jobs` of one group wait for, as it is for the one of them that comes first."""

    jobs: int
    target: Target
    selector: Selector
    test_path: str


class Cancelled(Struct):
    """How many jobs were cancelled at once, how many running ones are being stopped, and how many go on for other runs
    that wait for them, too. All 0: it had ended."""

    cancelled: int
    stopping: int
    abandoned: int = 0  # an older server does not say
