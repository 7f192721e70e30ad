"""/batches/{lease}/…: what a worker tells of the batch it holds; 409 where its lease is no longer held."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

import sql
from api.access import needs
from api.parameters import LARGEST, BodyId, Db, Id
from api.work import own_account
from qgjob.models.words import ReleaseReason
from qgjob.models.work import Admission, Trace


class Session(Struct, forbid_unknown_fields=True):
    """POST /batches/{lease}/session."""

    session_id: str | None = None
    video_url: str | None = None


class Printed(Struct, forbid_unknown_fields=True):
    """POST /batches/{lease}/log: `log` follows the first `after` characters of the job's attempt."""

    job_id: BodyId
    after: Annotated[int, Meta(ge=0, le=LARGEST)]
    log: str


class BatchRelease(Struct, forbid_unknown_fields=True):
    """POST /batches/{lease}/release; see sql/internal/end_batches.sql."""

    reason: ReleaseReason = "done"
    message: str | None = None


class Wish(Struct, forbid_unknown_fields=True):
    """POST /batches/{lease}/admission; see sql/worker/admit_session.sql."""

    account: str
    allowed: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    running: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    known: list[BodyId] = []


@get(
    "/{lease:int}/traces",
    opt=needs("work"),
    summary="The trace contexts that the jobs of the batch were submitted with",
)
async def list_traces(lease: Id, db: Db) -> list[Trace]:
    return await sql.many(db, Trace, "list_traces", lease=lease)


@post(
    "/{lease:int}/installed",
    opt=needs("work"),
    status_code=204,
    summary="The build is on the device, and that was verified",
)
async def record_install(lease: Id, db: Db) -> None:
    await sql.call(db, "record_install", lease=lease)


@post(
    "/{lease:int}/session",
    opt=needs("work"),
    status_code=204,
    summary="The batch's session is open, or this is its video",
)
async def record_session(lease: Id, data: JSONBody[Session], db: Db) -> None:
    await sql.call(db, "record_session", lease=lease, session_id=data.session_id, video_url=data.video_url)


@post("/{lease:int}/log", opt=needs("work"), status_code=204, summary="A watched job has printed more")
async def write_live_log(lease: Id, data: JSONBody[Printed], db: Db) -> None:
    await sql.call(db, "write_live_log", lease=lease, job_id=data.job_id, after=data.after, log=data.log)


@post(
    "/{lease:int}/admission",
    opt=needs("work"),
    status_code=200,
    summary="May the batch open a session on a device cloud's account?",
)
async def admit_session(lease: Id, data: JSONBody[Wish], db: Db) -> Admission:
    return await sql.one(
        db,
        Admission,
        "admit_session",
        lease=lease,
        account=own_account(data.account, db),
        allowed=data.allowed,
        running=data.running,
        known=data.known,
    )


@post(
    "/{lease:int}/release",
    opt=needs("work"),
    status_code=204,
    summary="The device is done with its batch and gives back the rest",
)
async def release_batch(lease: Id, data: JSONBody[BatchRelease], db: Db) -> None:
    await sql.call(db, "release_batch", lease=lease, reason=data.reason, message=data.message)


router = Router(
    "/batches",
    route_handlers=[list_traces, record_install, record_session, write_live_log, admit_session, release_batch],
    tags=["workers and devices"],
)
