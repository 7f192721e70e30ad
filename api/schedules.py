"""/schedules: runs that are submitted at certain times."""

from datetime import datetime
from typing import Annotated

from litestar import Router, delete, get, patch, post
from litestar.params import FromQuery, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

import sql
from api.access import needs
from api.limits import RUN_BODY
from api.parameters import Db, Id, Key
from api.problems import Wrong
from qgjob.models.schedules import Schedule, ScheduleAddition
from qgjob.models.submission import JobDefaults, JobSubmission, RunSubmitted
from qgjob.models.words import MAX_JOBS_PER_RUN, Slug
from sql import housekeeping


class ScheduleChanges(Struct, forbid_unknown_fields=True, kw_only=True):
    """PATCH /schedules/{id}. What is left out stays as it is. `app_version_id` null: the newest build. A cron
    expression takes the place of a time and the other way round."""

    name: Slug | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    app_version_id: Slug | UnsetType | None = UNSET
    jobs: Annotated[list[JobSubmission], Meta(min_length=1, max_length=MAX_JOBS_PER_RUN)] | UnsetType = UNSET
    defaults: JobDefaults | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Clock(Struct):
    now: datetime


async def check_time(db: sql.OnBehalf, cron: str | None, time_zone: str) -> None:
    """Rather than finding out later: whoever writes a schedule should be told that it cannot be read."""
    now = await sql.one(db, Clock, "get_time")
    try:
        housekeeping.next_time(cron or "0 0 * * *", time_zone, now.now)
    except housekeeping.UnreadableCron as unreadable:
        rule = "cron_is_readable" if unreadable.field == "cron" else "time_zone_is_known"
        raise Wrong(rule, str(unreadable), field=unreadable.field) from None


@get("/", summary="List schedules")
async def list_schedules(db: Db, org_id: FromQuery[str | None] = None) -> list[Schedule]:
    return await sql.many(db, Schedule, "list_schedules", org_id=org_id or db.org_id)


@post("/", opt=needs("submit"), summary="Submit a run at certain times", request_max_body_size=RUN_BODY)
async def add_schedule(data: JSONBody[ScheduleAddition], db: Db) -> Schedule:
    await check_time(db, data.cron, data.time_zone)
    added = await sql.one(
        db,
        Schedule,
        "add_schedule",
        org_id=data.org_id,
        name=data.name,
        jobs=sql.Json(data.jobs),
        cron=data.cron,
        time_zone=data.time_zone,
        at=data.at,
        app_version_id=data.app_version_id,
        defaults=sql.Json(data.defaults),
        labels=sql.Json(data.labels),
        enabled=data.enabled,
    )
    return await timed(db, added)


@get("/{schedule_id:int}", summary="Look at one schedule")
async def get_schedule(schedule_id: Id, db: Db) -> Schedule:
    return await sql.one(db, Schedule, "get_schedule", schedule_id=schedule_id, org_id=db.org_id)


@patch(
    "/{schedule_id:int}",
    opt=needs("submit"),
    summary="Change, pause or resume a schedule",
    request_max_body_size=RUN_BODY,
)
async def change_schedule(schedule_id: Id, data: JSONBody[ScheduleChanges], db: Db) -> Schedule:
    before = await sql.one(db, Schedule, "get_schedule", schedule_id=schedule_id, org_id=db.org_id)
    cron = before.cron if isinstance(data.cron, UnsetType) else data.cron
    await check_time(db, cron, before.time_zone if isinstance(data.time_zone, UnsetType) else data.time_zone)
    changes = sql.Json(to_builtins(data))
    changed = await sql.one(db, Schedule, "change_schedule", schedule_id=schedule_id, changes=changes, org_id=db.org_id)
    return await timed(db, changed)


@delete("/{schedule_id:int}", opt=needs("submit"), summary="Forget a schedule; its runs stay")
async def remove_schedule(schedule_id: Id, db: Db) -> None:
    await sql.call(db, "remove_schedule", schedule_id=schedule_id, org_id=db.org_id)


@post("/{schedule_id:int}/run", opt=needs("submit"), summary="Submit a schedule's run now")
async def run_schedule(schedule_id: Id, db: Db, idempotency_key: Key = None) -> RunSubmitted:
    return await sql.one(
        db,
        RunSubmitted,
        "run_schedule",
        schedule_id=schedule_id,
        idempotency_key=idempotency_key,
        org_id=db.org_id,
    )


async def timed(db: sql.OnBehalf, schedule: Schedule) -> Schedule:
    """With when it is due next, which the next housekeeping would find out otherwise."""
    if schedule.next_at is not None or schedule.status != "active":
        return schedule
    await housekeeping.time_schedules(db)
    return await sql.one(db, Schedule, "get_schedule", schedule_id=schedule.schedule_id, org_id=db.org_id)


router = Router(
    "/schedules",
    route_handlers=[list_schedules, add_schedule, get_schedule, change_schedule, remove_schedule, run_schedule],
    tags=["schedules"],
)
