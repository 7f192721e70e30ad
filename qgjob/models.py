"""The shapes that cross the wire. Field names are the column names of the SQL functions that fill them.

Times are UTC (RFC 3339 in JSON), durations end in `_s` and are seconds, ids are integers.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Target = Literal["emulator", "device", "browserstack"]
Priority = Literal["low", "normal", "high", "urgent"]
Reset = Literal["reinstall", "clear", "restart", "none"]
Retries = Annotated[int, Meta(ge=0, le=10)]
TimeoutS = Annotated[int, Meta(ge=1, le=86_400)]
Status = Literal["pending", "queued", "running", "completed", "failed", "cancelled"]
RunStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
FailureKind = Literal["test", "timeout", "infrastructure"]
Platform = Literal["android", "ios"]
# Why a worker lets go of a batch.
ReleaseReason = Literal["done", "drained", "busy", "unprepared", "unfetched", "refused"]
Selector = dict[str, str]

Slug = Annotated[str, Meta(min_length=1, max_length=128)]
TestPath = Annotated[str, Meta(min_length=1, max_length=512)]
ClientTimeout = Annotated[int, Meta(ge=10, le=86_400)]
MAX_JOBS_PER_RUN = 10_000
# What a build's file may end in; the first where nothing is said.
SUFFIXES: dict[Platform, tuple[str, ...]] = {"android": ("apk", "aab"), "ios": ("ipa", "zip")}


class JobDefaults(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What every job of a run takes where it says nothing itself."""

    target: Target | None = None
    selector: Selector | None = None
    reset: Reset | None = None
    priority: Priority | None = None
    retries: Retries | None = None
    timeout_s: TimeoutS | None = None
    dedupe: bool | None = None


class JobSubmission(JobDefaults, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One job of a submitted run. What is left out comes from the run's defaults, then from the database's."""

    test_path: TestPath


class SingleSubmission(JobSubmission, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """POST /jobs: one job as a run of its own."""

    org_id: Slug
    app_version_id: Slug
    labels: dict[str, str] = {}


class RunSubmission(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """POST /runs: many jobs in one transaction. `client_timeout_s`: the run is cancelled when the client that waits for
    it has not said for so long that it is there (`client_timeout_s` of GET /runs/{id})."""

    org_id: Slug
    app_version_id: Slug
    jobs: Annotated[list[JobSubmission], Meta(min_length=1, max_length=MAX_JOBS_PER_RUN)]
    defaults: JobDefaults = field(default_factory=JobDefaults)
    labels: dict[str, str] = {}
    client_timeout_s: ClientTimeout | None = None


class JobSubmitted(Struct):
    """The answer to POST /jobs. `deduplicated`: the job was already waiting or running and serves this run too."""

    job_id: int
    run_id: int
    status: Status
    deduplicated: bool


class RunSubmitted(Struct):
    """The answer to POST /runs. `replayed`: this Idempotency-Key was answered before; nothing was created."""

    run_id: int
    total: int
    deduplicated: int
    replayed: bool
    job_ids: list[int]


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


class KeptFile(Struct):
    """A file of an attempt, as the attempt lists it."""

    name: str
    content_type: str
    size: int


class StoredFile(KeptFile):
    """As a report names it, and `attempt.files` holds it."""

    key: str


class Attempt(Struct):
    """One execution of a job on a device. Never changed once written. Of its batch: `install_s` and `session_s`, spent
    once for all its attempts, and the video; `batch_s`: how long it waited for those before it. `reset_s`, `body_s` and
    `upload_s` are the parts of `duration_s`."""

    job_id: int
    number: int
    device: str
    worker: str
    status: Literal["completed", "failed", "cancelled"]
    failure_kind: FailureKind | None
    message: str | None
    started_at: datetime
    ended_at: datetime
    duration_s: float
    tests: list[dict[str, Any]]
    queue_s: float | None = None
    install_s: float | None = None
    session_s: float | None = None
    batch_s: float | None = None
    reset_s: float | None = None
    body_s: float | None = None
    upload_s: float | None = None
    video_url: str | None = None
    video_offset_s: float | None = None
    files: list[KeptFile] = []
    log_tail: str = ""
    permanent: bool = False


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


class AttemptFile(Struct):
    """A file that an attempt left behind. `number` counts from 1 in each attempt."""

    job_id: int
    attempt: int
    number: int
    name: str
    content_type: str
    size: int


class Artifact(Struct):
    """What is installed for a build on a platform. `url`: where workers get it, a key of the object store or a URL."""

    platform: Platform
    url: str
    sha256: str
    size: int | None
    app_id: str | None
    created_at: datetime


class ArtifactAdded(Artifact):
    """The answer to POST /builds. `added` is false where this was known."""

    org_id: str
    app_version_id: str
    added: bool


class Build(Struct):
    """One version of an app."""

    org_id: str
    app_version_id: str
    created_at: datetime
    artifacts: list[Artifact]


class BuildPage(Struct):
    """GET /builds: newest first. Pass `next_before` as `before` for what follows; null at the end."""

    builds: list[Build]
    next_before: datetime | None


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


class Registered(Struct):
    """The answer to POST /workers."""

    worker_id: int


class DeviceRegistered(Struct):
    """The answer to POST /workers/{id}/devices."""

    device_id: int


class DeviceHealth(Struct):
    """Whether the device is given work."""

    well: bool


class Upload(Struct):
    """Where a provider keeps a content; without a URL, whether the caller is the one to upload it."""

    url: str | None
    yours: bool


class OpenSessions(Struct):
    """The leases whose sessions on an account of a device cloud are open for certain."""

    leases: list[int]


class Admission(Struct):
    """Whether a batch may open a session on an account of a device cloud."""

    admitted: bool


class Heartbeat(Struct):
    """Which leases are held, which of them have no job left and which to drain, which running jobs to stop, which
    devices to probe because their health has quarantined them, and whether to drain everything."""

    draining: bool
    leases: list[int]
    empty_leases: list[int]
    drain_leases: list[int]
    stop_jobs: list[int]
    sick_devices: list[int]


class Beat(Heartbeat):
    """The answer to POST /workers/{id}/heartbeat: also, whose output somebody watches. `seen` stands for all of it but
    the leases that are held."""

    watched_jobs: list[int] = []
    seen: str = ""


class Trace(Struct):
    """The trace context that a job of a batch was submitted with."""

    job_id: int
    run_id: int
    traceparent: str


class Decision(Struct):
    """Whether to run the job that a worker is about to start; `skip`: it was cancelled or given to another device."""

    decision: Literal["run", "skip"]


class Recorded(Struct):
    """A job's status after a result. `recorded` is false where this was known already."""

    status: str
    recorded: bool


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
    """What was done, counted by the database. Rates are 0..1, null where nothing was measured."""

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


class Org(Struct):
    """An organisation and its settings; null: no limit. `devices` serve it now. `group_by`: labels of runs that keep
    their jobs in groups of their own. `keep_days`: how long results are kept after a run has ended."""

    org_id: str
    weight: float
    max_devices: int | None
    max_pending_jobs: int | None
    requests_per_minute: int | None
    keep_days: int | None
    group_by: list[str]
    devices: int
    created_at: datetime


class OrgRemoval(Struct):
    """DELETE /orgs/{org_id}. Not yet removed: that was one step, ask again."""

    org_id: str
    removed: bool


class OrgDetails(Org):
    """GET /orgs/{org_id}: also how many of its jobs are pending."""

    pending: int


class Schedule(Struct):
    """A run that is submitted at certain times: by a cron expression, or once (`at`). `app_version_id` null: the newest
    build. `done`: its time is over. `last_error`: why the last time submitted nothing."""

    schedule_id: int
    org_id: str
    name: str
    status: Literal["active", "paused", "done"]
    cron: str | None
    time_zone: str
    at: datetime | None
    app_version_id: str | None
    jobs: list[JobSubmission]
    defaults: JobDefaults
    labels: dict[str, str]
    next_at: datetime | None
    last_at: datetime | None
    last_run_id: int | None
    last_error: str | None
    created_at: datetime


class ScheduleAddition(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """POST /schedules: what to submit as in POST /runs, and when."""

    org_id: Slug
    name: Slug
    cron: str | None = None
    time_zone: str = "UTC"
    at: Annotated[datetime, Meta(tz=True)] | None = None
    app_version_id: Slug | None = None
    jobs: Annotated[list[JobSubmission], Meta(min_length=1, max_length=MAX_JOBS_PER_RUN)]
    defaults: JobDefaults = field(default_factory=JobDefaults)
    labels: dict[str, str] = {}
    enabled: bool = True


DeliveryStatus = Literal["pending", "delivered", "failed", "dead"]


class Webhook(Struct):
    """Where an organisation is told of events. `url` is shortened where it may hold a credential. `dead`: deliveries
    that were given up, and can be redriven."""

    webhook_id: int
    org_id: str
    url: str
    events: list[str]
    format: str
    description: str
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    pending: int
    dead: int
    last_at: datetime | None
    last_status_code: int | None
    last_error: str | None


class WebhookAdded(Struct):
    """The answer to POST /webhooks, the only one with the secret."""

    webhook_id: int
    org_id: str
    url: str
    events: list[str]
    format: str
    description: str
    enabled: bool
    secret: str
    created_at: datetime


class SecretRotated(Struct):
    """A webhook's new secret. Until `old_secret_until` the old one signs as well; null: it is void."""

    webhook_id: int
    secret: str
    old_secret_until: datetime | None


class WebhookRemoved(Struct):
    """`discarded`: deliveries that were still waiting."""

    webhook_id: int
    discarded: int


class TestSent(Struct):
    """A webhook.test on its way; GET /webhooks/{id}/deliveries?delivery_id=… says how it went."""

    delivery_id: int
    webhook_id: int
    message_id: str


class Delivery(Struct):
    """One event for one webhook. `message_id` is the webhook-id of every try; `error` is of the last one.
    `failed`: a webhook.test that did not arrive; it is not tried again, and never `dead`."""

    delivery_id: int
    webhook_id: int
    message_id: str
    event: str
    status: DeliveryStatus
    tries: int
    status_code: int | None
    error: str | None
    duration_s: float | None
    next_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


class DeliveryPage(Struct):
    """GET /webhooks/{id}/deliveries: newest first, paged like GET /jobs."""

    deliveries: list[Delivery]
    next_cursor: int | None


class Redriven(Struct):
    """How many dead deliveries are tried again."""

    redriven: int


class Cancelled(Struct):
    """How many jobs were cancelled at once, how many running ones are being stopped, and how many go on for other runs
    that wait for them, too. All 0: it had ended."""

    cancelled: int
    stopping: int
    abandoned: int = 0  # an older server does not say


class Problem(Struct, omit_defaults=True):
    """application/problem+json (RFC 9457): `type` is stable, `title` is a sentence a person can act on."""

    type: str
    status: int
    title: str
    hint: str | None = None
    field: str | None = None
    request_id: str | None = None


Scope = Literal["submit", "read", "work", "admin"]


class Token(Struct):
    """A token as its administrators see it: its text is known to its owner only."""

    token_id: int
    hint: str
    name: str
    org_id: str | None
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class TokenPage(Struct):
    tokens: list[Token]
    next_cursor: int | None


class TokenCreated(Token):
    """The only answer that tells a token."""

    token: str


class Exchanged(Struct):
    """For a token of GitHub: a short one of this server."""

    token: str
    org_id: str
    scopes: list[Scope]
    expires_at: datetime


class Identity(Struct):
    """GET /whoami. `authentication` is off where nobody is asked for a token."""

    authentication: Literal["required", "off"]
    token_id: int | None = None
    name: str | None = None
    org_id: str | None = None
    scopes: list[Scope] = []
    expires_at: datetime | None = None


class Trust(Struct):
    """Whose GitHub Actions get tokens of an organisation; null lets everything through."""

    trust_id: int
    org_id: str
    issuer: str
    repository_owner_id: str
    repository_id: str | None
    ref: str | None
    environment: str | None
    event_name: str | None
    created_at: datetime
