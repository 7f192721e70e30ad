"""What every API and worker process does about once a second: expired leases, submitted messages, due schedules.

When a cron expression is due next is worked out here, by a library that knows the days on which clocks change; whether
it is due, and who fires it, PostgreSQL decides.
"""

import asyncio
import logging
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import psycopg
from cronsim import CronSim, CronSimError
from msgspec import Struct

import sql

log = logging.getLogger("schedules")
FIRE_S = 10.0
LONGEST_CRON = 200  # reading one takes time, and whoever sends it chooses how much


class UnreadableCron(ValueError):
    """The message says what is wrong; `field` is cron or time_zone."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Housekept(Struct):
    expired: int
    submitted: int
    due: int


class DueSchedule(Struct):
    """`next_at` is None where it has to be worked out first."""

    schedule_id: int
    cron: str | None
    time_zone: str
    next_at: datetime | None
    now: datetime


def next_time(cron: str, time_zone: str, after: datetime) -> datetime:
    """The first moment after this one that the expression describes. Where minute and hour are numbers, a time that a
    changing clock skips is taken right after the gap, and one that comes twice is taken once; with `*` in them the
    expression follows the clock on the wall."""
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, OSError, ValueError):  # also names that are no file names
        raise UnreadableCron("time_zone", f"There is no time zone {time_zone}.") from None
    if len(cron) > LONGEST_CRON or len(cron.split()) != 5:
        raise UnreadableCron(
            "cron",
            "A cron expression has five fields: minute, hour, day of month, month, day of week; "
            f"and at most {LONGEST_CRON} characters.",
        )
    try:
        return next(CronSim(cron, after.astimezone(zone))).astimezone(UTC)
    except CronSimError as error:
        raise UnreadableCron("cron", f"The cron expression cannot be read: {error}.") from None
    except StopIteration:
        raise UnreadableCron("cron", f"The cron expression {cron} is never due.") from None


async def housekeep(db: sql.Database | sql.OnBehalf) -> bool:
    """Whether there is more to do at once."""
    done = await sql.one(db, Housekept, "housekeep")
    if done.due:
        await fire_schedules(db)
    return done.submitted > 0


async def fire_schedules(db: sql.Database | sql.OnBehalf) -> None:
    """Each one is a transaction of its own; who is slower than another process, or dies, changes nothing. What cannot
    be submitted now is tried again after the others."""
    for due in await sql.many(db, DueSchedule, "due_schedules"):
        try:
            async with asyncio.timeout(FIRE_S):
                await fire(db, due)
        except (psycopg.Error, TimeoutError) as error:
            why = str(error).strip() or f"it took longer than {FIRE_S:g} s"
            log.warning("schedule %s is tried again in a minute: %s", due.schedule_id, why)
            if due.next_at is not None:
                await sql.call(db, "postpone_schedule", schedule_id=due.schedule_id, due_at=due.next_at, error=why)


async def time_schedules(db: sql.Database | sql.OnBehalf) -> None:
    """Only work out when new and changed ones are due, so that whoever wrote one is told."""
    for due in await sql.many(db, DueSchedule, "due_schedules"):
        if due.next_at is None:
            await fire(db, due)


async def fire(db: sql.Database | sql.OnBehalf, due: DueSchedule) -> None:
    next_at, error = None, None
    if due.cron is not None:
        try:
            next_at = next_time(due.cron, due.time_zone, due.now)
        except UnreadableCron as unreadable:
            error = str(unreadable)
    await sql.call(
        db,
        "fire_schedule",
        schedule_id=due.schedule_id,
        cron=due.cron,
        time_zone=due.time_zone,
        due_at=due.next_at,
        next_at=next_at,
        error=error,
    )
