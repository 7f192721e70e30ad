"""Runs at certain times."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from qgjob.models.submission import JobDefaults, JobSubmission
from qgjob.models.words import MAX_JOBS_PER_RUN, Slug


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
