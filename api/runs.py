"""/runs: submit many jobs at once, wait for them, read the verdict, cancel and retry."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter, SkipValidation

import sql
from api.access import Caller, needs
from api.events import LastEventId, stream
from api.junit import junit_xml
from api.limits import RUN_BODY, RequestLimits
from api.parameters import AfterSeq, Cursor, Db, Id, Key, Limit, Wait
from api.problems import Forbidden, Wrong
from api.watches import Waiter
from qgjob import logs, tracing
from qgjob.models.jobs import Cancelled, Job, Waiting
from qgjob.models.runs import Failure, Run, RunPage, Unserved
from qgjob.models.submission import RunSubmission, RunSubmitted
from qgjob.models.words import MAX_JOBS_PER_RUN

ClientTimeout = Annotated[
    int | None, QueryParameter(ge=10, le=86_400, description="cancel the run when its client is silent for so long")
]


@post("/", opt=needs("submit"), summary="Submit many jobs in one transaction", request_max_body_size=RUN_BODY)
async def submit_run(
    data: JSONBody[RunSubmission], db: Db, requests: NamedDependency[RequestLimits], idempotency_key: Key = None
) -> RunSubmitted:
    requests.admit_submission(data.org_id, db)
    submitted = await sql.one(
        db,
        RunSubmitted,
        "submit_run",
        org_id=data.org_id,
        app_version_id=data.app_version_id,
        jobs=sql.Json(data.jobs),
        defaults=sql.Json(data.defaults),
        labels=sql.Json(data.labels),
        idempotency_key=idempotency_key,
        traceparent=tracing.current.get(),
        client_timeout_s=data.client_timeout_s,
    )
    logs.bind(org_id=data.org_id, run_id=submitted.run_id)
    return submitted


@get("/", summary="List runs, newest first")
async def list_runs(
    db: Db,
    org_id: FromQuery[str | None] = None,
    app_version_id: FromQuery[str | None] = None,
    label: Annotated[list[str] | None, QueryParameter(description="KEY=VALUE among its labels; repeats")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    idempotency_key: Annotated[
        str | None, QueryParameter(description="the run submitted with it; needs org_id")
    ] = None,
) -> RunPage:
    runs = await sql.many(
        db,
        Run,
        "list_runs",
        org_id=org_id or db.org_id,
        app_version_id=app_version_id,
        labels=sql.Json(labels_of(label)) if label else None,
        limit=limit,
        cursor=cursor,
        idempotency_key=idempotency_key,
    )
    return RunPage(runs, next_cursor=runs[-1].run_id if len(runs) == limit else None)


def labels_of(said: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in said:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise Wrong("label_is_a_pair", f"A label is KEY=VALUE, not {pair!r}.", field="label")
        labels[name] = value
    return labels


@get("/{run_id:int}", summary="Look at one run, or wait until it changes")
async def get_run(
    run_id: Id,
    db: Db,
    request: Request[Caller, Any, Any],
    watched_runs: NamedDependency[SkipValidation[Waiter[Run]]],
    wait: Wait = 0,
    after_seq: AfterSeq = -1,
    client_timeout_s: ClientTimeout = None,
) -> Run:
    if client_timeout_s is not None:
        if not request.user.may("submit"):  # because silence cancels the run
            raise Forbidden("scope_suffices", "To hold a run needs a token with the scope submit.")
        await sql.call(db, "hold_run", run_id=run_id, client_timeout_s=client_timeout_s)
    if not wait:
        return await watched_runs.look(run_id)
    async with watched_runs.of(run_id) as watched:
        await watched_runs.beyond(watched, after_seq, wait)
        return watched.document


@get(
    "/{run_id:int}/events",
    summary="Each change of a run as a server-sent event, until it has ended",
    media_type="text/event-stream",
)
async def get_events(
    run_id: Id, watched_runs: NamedDependency[SkipValidation[Waiter[Run]]], last_event_id: LastEventId = -1
) -> Response[Any]:
    return await stream(watched_runs, run_id, "run", last_event_id)


@get("/{run_id:int}/junit.xml", summary="The run's results as JUnit XML", media_type="text/xml")
async def get_junit(
    run_id: Id, db: Db, request: Request[Caller, Any, Any], public_url: NamedDependency[SkipValidation[str | None]]
) -> Response[bytes]:
    run = await sql.one(db, Run, "get_run", run_id=run_id, org_id=db.org_id)
    jobs = await sql.many(db, Job, "list_jobs", org_id=db.org_id, run_id=run_id, limit=MAX_JOBS_PER_RUN)
    failures = await sql.many(db, Failure, "list_failures", org_id=db.org_id, run_id=run_id, limit=MAX_JOBS_PER_RUN)
    url = f"{public_url or str(request.base_url).rstrip('/')}/runs/{run_id}"
    return Response(junit_xml(run, jobs, failures, url=url), media_type="text/xml")


@get("/{run_id:int}/failures", summary="What did not simply pass, and why")
async def list_failures(run_id: Id, db: Db, limit: Limit = 100) -> list[Failure]:
    return await sql.many(db, Failure, "list_failures", run_id=run_id, org_id=db.org_id, limit=limit)


@get("/{run_id:int}/why", summary="What its jobs wait for, told once for each group of them")
async def list_waiting(run_id: Id, db: Db, limit: Limit = 50) -> list[Waiting]:
    return await sql.many(db, Waiting, "list_waiting", run_id=run_id, org_id=db.org_id, limit=limit)


@get("/{run_id:int}/unserved", summary="Devices that it waits for and no live worker drives")
async def list_unserved(run_id: Id, db: Db) -> list[Unserved]:
    return await sql.many(db, Unserved, "list_unserved", run_id=run_id, org_id=db.org_id)


@post(
    "/{run_id:int}/detach",
    status_code=200,
    opt=needs("submit"),
    summary="Let it go on without the client that waited for it",
)
async def detach_run(run_id: Id, db: Db) -> Run:
    return await sql.one(db, Run, "detach_run", run_id=run_id, org_id=db.org_id)


@post("/{run_id:int}/cancel", status_code=200, opt=needs("submit"), summary="Cancel what no other run waits for")
async def cancel_run(run_id: Id, db: Db) -> Cancelled:
    return await sql.one(db, Cancelled, "cancel_run", run_id=run_id, org_id=db.org_id)


@post("/{run_id:int}/retry", opt=needs("submit"), summary="Submit again what did not pass, or all of it")
async def retry_run(
    run_id: Id,
    db: Db,
    only: FromQuery[Literal["failed", "all"]] = "failed",
    client_timeout_s: ClientTimeout = None,
    idempotency_key: Key = None,
) -> RunSubmitted:
    return await sql.one(
        db,
        RunSubmitted,
        "retry_run",
        run_id=run_id,
        only=only,
        idempotency_key=idempotency_key,
        org_id=db.org_id,
        client_timeout_s=client_timeout_s,
    )


router = Router(
    "/runs",
    route_handlers=[
        submit_run,
        list_runs,
        get_run,
        get_events,
        get_junit,
        list_failures,
        list_waiting,
        list_unserved,
        detach_run,
        cancel_run,
        retry_run,
    ],
    tags=["runs"],
)
