"""Executions of jobs, and the files that they left."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from qgjob.models.words import FailureKind


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


class AttemptFile(Struct):
    """A file that an attempt left behind. `number` counts from 1 in each attempt."""

    job_id: int
    attempt: int
    number: int
    name: str
    content_type: str
    size: int
