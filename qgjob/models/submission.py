"""What is submitted, and what is answered."""

from typing import Annotated

from msgspec import Meta, Struct, field

from qgjob.models.words import (
    MAX_JOBS_PER_RUN,
    ClientTimeout,
    Priority,
    Reset,
    Retries,
    Selector,
    Slug,
    Status,
    Target,
    TestPath,
    TimeoutS,
)


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
