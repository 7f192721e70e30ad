"""/runs: submit many jobs at once, wait for them, read the verdict, cancel and retry."""

from typing import Any, Literal

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, SkipValidation

import sql
from api.events import LastEventId, stream
from api.junit import junit_xml
from api.parameters import AfterSeq, Cursor, Db, Id, Key, Limit, Wait
from api.watches import Watches
from qgjob.models import MAX_JOBS_PER_RUN, Cancelled, Job, Run, RunPage, RunSubmission, RunSubmitted


@post("/", summary="Submit many jobs in one transaction")
async def submit_run(data: JSONBody[RunSubmission], db: Db, idempotency_key: Key = None) -> RunSubmitted:
    return await sql.one(
        db,
        RunSubmitted,
        "submit_run",
        org_id=data.org_id,
        app_version_id=data.app_version_id,
        jobs=sql.Json(data.jobs),
        defaults=sql.Json(data.defaults),
        labels=sql.Json(data.labels),
        idempotency_key=idempotency_key,
    )


@get("/", summary="List runs, newest first")
async def list_runs(
    db: Db,
    org_id: FromQuery[str | None] = None,
    app_version_id: FromQuery[str | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunPage:
    runs = await sql.many(
        db, Run, "list_runs", org_id=org_id, app_version_id=app_version_id, limit=limit, cursor=cursor
    )
    return RunPage(runs, next_cursor=runs[-1].run_id if len(runs) == limit else None)


@get("/{run_id:int}", summary="Look at one run, or wait until it changes")
async def get_run(
    run_id: Id,
    runs: NamedDependency[SkipValidation[Watches[Run]]],
    wait: Wait = 0,
    after_seq: AfterSeq = -1,
) -> Run:
    if not wait:
        return await runs.look(run_id)
    async with runs.of(run_id) as watched:
        await runs.beyond(watched, after_seq, wait)
        return watched.document


@get("/{run_id:int}/events", summary="Each change of a run as a server-sent event, until it has ended")
async def get_events(
    run_id: Id, runs: NamedDependency[SkipValidation[Watches[Run]]], last_event_id: LastEventId = -1
) -> Response[Any]:
    return await stream(runs, run_id, "run", last_event_id)


@get("/{run_id:int}/junit.xml", summary="The run's results as JUnit XML", media_type="text/xml")
async def get_junit(run_id: Id, db: Db) -> Response[bytes]:
    run = await sql.one(db, Run, "get_run", run_id=run_id)
    jobs = await sql.many(db, Job, "list_jobs", run_id=run_id, limit=MAX_JOBS_PER_RUN)
    return Response(junit_xml(run, jobs), media_type="text/xml")


@post("/{run_id:int}/cancel", status_code=200, summary="Cancel what no other run waits for")
async def cancel_run(run_id: Id, db: Db) -> Cancelled:
    return await sql.one(db, Cancelled, "cancel_run", run_id=run_id)


@post("/{run_id:int}/retry", summary="Submit again what did not pass, or all of it")
async def retry_run(
    run_id: Id, db: Db, only: FromQuery[Literal["failed", "all"]] = "failed", idempotency_key: Key = None
) -> RunSubmitted:
    return await sql.one(db, RunSubmitted, "retry_run", run_id=run_id, only=only, idempotency_key=idempotency_key)


router = Router(
    "/runs",
    route_handlers=[submit_run, list_runs, get_run, get_events, get_junit, cancel_run, retry_run],
    tags=["runs"],
)
