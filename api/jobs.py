"""/jobs: submit one, look at it, report on it, cancel and retry it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Response, Router, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter, SkipValidation
from msgspec import Meta, Struct, field, structs

import sql
from api.access import needs
from api.events import LastEventId, stream
from api.limits import RESULT_BODY
from api.parameters import LARGEST, AfterSeq, BodyId, Cursor, Db, Id, Key, Limit, Wait
from api.problems import Wrong
from api.submitting import Submit
from api.watches import Waiter
from qgjob import logs, tracing
from qgjob.models.attempts import Attempt
from qgjob.models.jobs import Cancelled, Job, JobPage, LiveLog, Log, WatchedJob, Why
from qgjob.models.submission import JobSubmitted, SingleSubmission
from qgjob.models.words import FailureKind, Status, Target
from qgjob.models.work import Decision, Recorded
from qgjob.store import is_attempt_key

OF_THE_RUN = {"org_id", "app_version_id", "labels"}


class ReportedFile(Struct, forbid_unknown_fields=True):
    """What PUT /jobs/{id}/artifacts/{attempt}/{number} has answered."""

    name: Annotated[str, Meta(max_length=300)]
    content_type: Annotated[str, Meta(max_length=150)]
    size: Annotated[int, Meta(ge=0, le=LARGEST)]
    key: str


class Outcome(Struct, forbid_unknown_fields=True):
    """How a job went, as the worker saw it. `execution_time` is in seconds and only told to people. `permanent`:
    another attempt would fail alike, so none is made."""

    success: bool | None = None
    execution_time: float | None = None
    message: str | None = None
    tests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    log: str = ""
    files: list[ReportedFile] = []
    reset_s: float | None = None
    upload_s: float | None = None
    video_offset_s: float | None = None
    permanent: bool = False


class Report(Struct, forbid_unknown_fields=True):
    """PUT /jobs/{id}: what a worker that speaks HTTP tells of a job it holds the lease of."""

    lease: BodyId
    status: Literal["running", "completed", "failed", "cancelled"]
    failure_kind: FailureKind | None = None
    result: Outcome = field(default_factory=Outcome)


@post("/", opt=needs("submit"), summary="Submit one job")
async def submit_job(data: JSONBody[SingleSubmission], submit: Submit, idempotency_key: Key = None) -> JobSubmitted:
    job = {name: value for name, value in structs.asdict(data).items() if name not in OF_THE_RUN and value is not None}
    submitted = await submit(
        org_id=data.org_id,
        app_version_id=data.app_version_id,
        job=job,
        labels=data.labels,
        idempotency_key=idempotency_key,
        traceparent=tracing.current.get(),
    )
    logs.bind(org_id=data.org_id, run_id=submitted.run_id, job_id=submitted.job_id)
    return submitted


@get("/", summary="List jobs, newest first")
async def list_jobs(
    db: Db,
    org_id: FromQuery[str | None] = None,
    status: Annotated[list[Status] | None, QueryParameter()] = None,
    target: FromQuery[Target | None] = None,
    app_version_id: FromQuery[str | None] = None,
    run_id: Cursor = None,
    since: FromQuery[datetime | None] = None,
    test: Annotated[
        str | None, QueryParameter(max_length=512, description="its test_path, or a glob: *, ** and ?")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    jobs = await sql.many(
        db,
        Job,
        "list_jobs",
        org_id=org_id or db.org_id,
        status=status,
        target=target,
        app_version_id=app_version_id,
        run_id=run_id,
        since=since,
        test=test,
        limit=limit,
        cursor=cursor,
    )
    return JobPage(jobs, next_cursor=jobs[-1].job_id if len(jobs) == limit else None)


@get("/{job_id:int}", summary="Look at one job, or wait until it changes")
async def get_job(
    job_id: Id,
    watched_jobs: NamedDependency[SkipValidation[Waiter[WatchedJob]]],
    wait: Wait = 0,
    after_seq: AfterSeq = -1,
) -> WatchedJob:
    if not wait:
        return await watched_jobs.look(job_id)
    async with watched_jobs.of(job_id) as watched:
        await watched_jobs.beyond(watched, after_seq, wait)
        return watched.document


@get(
    "/{job_id:int}/events",
    summary="Each change of a job as a server-sent event, until it has ended",
    media_type="text/event-stream",
)
async def get_events(
    job_id: Id, watched_jobs: NamedDependency[SkipValidation[Waiter[WatchedJob]]], last_event_id: LastEventId = -1
) -> Response[Any]:
    return await stream(watched_jobs, job_id, "job", last_event_id)


@put("/{job_id:int}", opt=needs("work"), summary="Report from a worker", request_max_body_size=RESULT_BODY)
async def report_job(job_id: Id, data: JSONBody[Report], db: Db) -> Recorded:
    if data.status == "running":
        started = await sql.one(db, Decision, "start_job", lease=data.lease, job_id=job_id)
        return Recorded("running" if started.decision == "run" else "cancelled", recorded=started.decision == "run")
    if data.result.files:
        job = await sql.one(db, Job, "get_job", job_id=job_id)
        for file in data.result.files:
            if not is_attempt_key(file.key, job.org_id, job_id):
                raise Wrong("file_is_of_the_job", f"{file.key} is no file of job {job_id}.", field="files")
    kind = data.failure_kind or ("test" if data.status == "failed" else None)
    return await sql.one(
        db,
        Recorded,
        "finish_job",
        lease=data.lease,
        job_id=job_id,
        status=data.status,
        failure_kind=kind,
        message=data.result.message,
        tests=sql.Json(data.result.tests),
        log=data.result.log,
        files=sql.Json(data.result.files),
        reset_s=data.result.reset_s,
        upload_s=data.result.upload_s,
        video_offset_s=data.result.video_offset_s,
        permanent=data.result.permanent,
    )


@post(
    "/{job_id:int}/cancel",
    status_code=200,
    opt=needs("submit"),
    summary="Cancel one job, for every run that waits for it",
)
async def cancel_job(job_id: Id, db: Db) -> Cancelled:
    return await sql.one(db, Cancelled, "cancel_job", job_id=job_id, org_id=db.org_id)


@post("/{job_id:int}/retry", opt=needs("submit"), summary="Submit an ended job again")
async def retry_job(job_id: Id, db: Db, idempotency_key: Key = None) -> JobSubmitted:
    return await sql.one(
        db, JobSubmitted, "retry_job", job_id=job_id, org_id=db.org_id, idempotency_key=idempotency_key
    )


@get("/{job_id:int}/attempts", summary="Each execution of the job")
async def list_attempts(job_id: Id, db: Db) -> list[Attempt]:
    return await sql.many(db, Attempt, "list_attempts", job_id=job_id, org_id=db.org_id)


@get("/{job_id:int}/log", summary="The end of what an attempt printed")
async def get_log(job_id: Id, db: Db, attempt: Annotated[int | None, QueryParameter(ge=1, le=32_767)] = None) -> Log:
    return await sql.one(db, Log, "get_log", job_id=job_id, attempt=attempt, org_id=db.org_id)


@get("/{job_id:int}/log/live", summary="What the running attempt has printed so far; ask again for more")
async def watch_log(
    job_id: Id,
    db: Db,
    attempt: Annotated[int | None, QueryParameter(ge=1, le=32_767)] = None,
    after: Annotated[int, QueryParameter(ge=0, le=LARGEST)] = 0,
) -> LiveLog:
    return await sql.one(db, LiveLog, "watch_log", job_id=job_id, attempt=attempt, after=after, org_id=db.org_id)


@get("/{job_id:int}/why", summary="What the job waits for, or why it ran where it did")
async def get_why(job_id: Id, db: Db) -> Why:
    return await sql.one(db, Why, "get_why", job_id=job_id, org_id=db.org_id)


router = Router(
    "/jobs",
    route_handlers=[
        submit_job,
        list_jobs,
        get_job,
        get_events,
        report_job,
        cancel_job,
        retry_job,
        list_attempts,
        get_log,
        watch_log,
        get_why,
    ],
    tags=["jobs"],
)
