"""/workers/{id}/…: the worker protocol for workers that reach no database. Every call may be repeated."""

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any, get_args

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation
from msgspec import Meta, Struct, structs

import sql
from api.access import Again, needs
from api.announcements import Announcements
from api.parameters import BodyId, Db, Id
from qgjob.models.words import Target
from qgjob.models.work import Beat, DeviceHealth, DeviceRegistered, Heartbeat, OpenSessions, Registered, Upload
from sql import claiming

TARGETS: tuple[Target, ...] = get_args(Target)
Hearing = NamedDependency[SkipValidation[Announcements]]
AnyRequest = Request[Any, Any, Any]
WaitS = Annotated[float, Meta(ge=0, le=60)]


class Registration(Struct, forbid_unknown_fields=True):
    """POST /workers."""

    name: str
    target_types: list[Target]
    version: str = ""
    lease_s: Annotated[int, Meta(ge=1, le=3600)] = 30
    org_ids: list[str] | None = None


class DeviceRegistration(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/devices."""

    name: str
    target: Target
    labels: dict[str, str] = {}


class DeviceRelease(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/devices/{id}/release."""

    message: str | None = None


class Finding(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/devices/{id}/health. `complaint`: why the device cannot work; null: it can."""

    complaint: str | None = None


class Pulse(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/heartbeat. `wait`: answer after so many seconds, or as soon as there are other news than those
    of the answer whose `seen` this repeats."""

    wait: WaitS = 0
    seen: str = ""


class Claim(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/claims. `wait`: at most so many seconds for work to come; `target`: the device's, which spares
    looking for work of others. `max_s`: no more work than that, by prediction, and one job at least."""

    device_id: BodyId
    max_jobs: Annotated[int, Meta(ge=1, le=1000)] = 20
    max_s: Annotated[float, Meta(gt=0)] | None = None
    wait: WaitS = 0
    target: Target | None = None


class Claimed(Struct):
    """A batch; see worker/claim_batch.sql."""

    lease: int
    epoch: int
    org_id: str
    app_version_id: str
    target: Target
    selector: dict[str, str]
    reset: str
    build: str
    install: bool
    device: str
    lease_s: int
    jobs: list[dict[str, Any]]
    artifact: dict[str, Any] | None


class WatchedJobs(Struct):
    job_ids: list[int]


class Content(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/uploads/…: a content on an account of a device cloud, and where it is there."""

    provider: str
    account: str
    sha256: str
    url: str | None = None


class Account(Struct, forbid_unknown_fields=True):
    account: str


def own_account(account: str, db: sql.OnBehalf) -> str:
    """Workers of one organisation share uploads and sessions with none of another's, whatever account they name."""
    return account if db.org_id is None else f"{db.org_id}/{account}"


@post("/workers", opt=needs("work"), summary="A worker has started")
async def register_worker(data: JSONBody[Registration], db: Db) -> Registered:
    return await sql.one(
        db,
        Registered,
        "register_worker",
        name=data.name,
        version=data.version,
        targets=data.target_types,
        lease_s=data.lease_s,
        org_ids=data.org_ids or (None if db.org_id is None else [db.org_id]),
    )


@post("/workers/{worker_id:int}/devices", opt=needs("work"), summary="This worker drives a device from now on")
async def register_device(worker_id: Id, data: JSONBody[DeviceRegistration], db: Db) -> DeviceRegistered:
    return await sql.one(
        db,
        DeviceRegistered,
        "register_device",
        worker_id=worker_id,
        name=data.name,
        target=data.target,
        labels=sql.Json(data.labels),
    )


@post(
    "/workers/{worker_id:int}/devices/{device_id:int}/release",
    opt=needs("work"),
    status_code=204,
    summary="The device is out of sight",
)
async def release_device(worker_id: Id, device_id: Id, data: JSONBody[DeviceRelease], db: Db) -> None:
    await sql.call(db, "release_device", worker_id=worker_id, device_id=device_id, message=data.message)


@post(
    "/workers/{worker_id:int}/devices/{device_id:int}/health",
    opt=needs("work"),
    status_code=200,
    summary="What a probe has found",
)
async def report_health(worker_id: Id, device_id: Id, data: JSONBody[Finding], db: Db) -> DeviceHealth:
    return await sql.one(
        db, DeviceHealth, "report_health", worker_id=worker_id, device_id=device_id, complaint=data.complaint
    )


@post(
    "/workers/{worker_id:int}/heartbeat",
    opt=needs("work"),
    status_code=200,
    summary="The worker is alive; what should it stop?",
)
async def heartbeat(
    worker_id: Id,
    db: Db,
    announcements: Hearing,
    request: AnyRequest,
    admit_again: Again,
    data: JSONBody[Pulse | None] = None,
) -> Beat:
    pulse = data or Pulse()
    with announcements.of("qgjob_worker", str(worker_id)) as called:
        beat = await look(db, worker_id)
        if pulse.wait and beat.seen == pulse.seen and not announcements.leaving:
            await called_or_gone(called, request, pulse.wait)
            await admit_again()
            beat = await look(db, worker_id)
    return beat


async def look(db: sql.OnBehalf, worker_id: int) -> Beat:
    beat = await sql.one(db, Heartbeat, "heartbeat", worker_id=worker_id)
    watched = (await sql.one(db, WatchedJobs, "list_watched_jobs", worker_id=worker_id)).job_ids
    lists = (beat.empty_leases, beat.drain_leases, beat.stop_jobs, beat.sick_devices, watched)
    news = msgspec.json.encode([beat.draining, *map(sorted, lists)])
    return Beat(**structs.asdict(beat), watched_jobs=watched, seen=sha256(news).hexdigest()[:16])


@post(
    "/workers/{worker_id:int}/claims",
    opt=needs("work"),
    status_code=200,
    summary="Claim a batch for a device; null: nothing to do",
)
async def claim(
    worker_id: Id,
    data: JSONBody[Claim],
    db: Db,
    announcements: Hearing,
    request: AnyRequest,
    admit_again: Again,
) -> Claimed | None:
    clock = asyncio.get_running_loop().time
    until = clock() + data.wait
    while True:
        with announcements.of("qgjob_work", *((data.target,) if data.target else TARGETS)) as hint:
            asked = {"device_id": data.device_id, "max_jobs": data.max_jobs, "max_s": data.max_s}
            batch = await claiming.claim(db, Claimed, worker_id, asked)
            left_s = until - clock()
            if batch is not None or left_s <= 0 or announcements.leaving:
                return batch
            if await called_or_gone(hint, request, min(left_s, claiming.poll_s(heard=announcements.heard))):
                return None  # nobody would be there to run it
            await admit_again()


async def called_or_gone(called: asyncio.Event, request: AnyRequest, wait_s: float) -> bool:
    """Until then, or for so long. Whether the client has gone meanwhile."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    waiting = {asyncio.create_task(called.wait()), (gone := asyncio.create_task(disconnected()))}
    try:
        await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        return gone.done()
    finally:
        for task in waiting:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@post(
    "/workers/{worker_id:int}/end",
    opt=needs("work"),
    status_code=204,
    summary="The worker leaves and gives back everything",
)
async def end_worker(worker_id: Id, db: Db) -> None:
    await sql.call(db, "end_worker", worker_id=worker_id)


@post(
    "/workers/{worker_id:int}/uploads/find",
    opt=needs("work"),
    status_code=200,
    summary="Where a device cloud keeps a content",
)
async def find_upload(worker_id: Id, data: JSONBody[Content], db: Db) -> Upload:
    return await sql.one(
        db,
        Upload,
        "find_upload",
        worker_id=worker_id,
        provider=data.provider,
        account=own_account(data.account, db),
        sha256=data.sha256,
    )


@post("/workers/{worker_id:int}/uploads/record", opt=needs("work"), status_code=204, summary="A content was uploaded")
async def record_upload(worker_id: Id, data: JSONBody[Content], db: Db) -> None:
    await sql.call(
        db,
        "record_upload",
        provider=data.provider,
        account=own_account(data.account, db),
        sha256=data.sha256,
        url=data.url,
    )


@post(
    "/workers/{worker_id:int}/uploads/forget",
    opt=needs("work"),
    status_code=204,
    summary="A content is not there, or will not be",
)
async def forget_upload(worker_id: Id, data: JSONBody[Content], db: Db) -> None:
    await sql.call(
        db,
        "forget_upload",
        worker_id=worker_id,
        provider=data.provider,
        account=own_account(data.account, db),
        sha256=data.sha256,
        url=data.url,
    )


@post(
    "/workers/{worker_id:int}/sessions",
    opt=needs("work"),
    status_code=200,
    summary="Whose sessions on an account are open for certain",
)
async def list_sessions(worker_id: Id, data: JSONBody[Account], db: Db) -> OpenSessions:
    return await sql.one(db, OpenSessions, "list_sessions", account=own_account(data.account, db))


HANDLERS = (
    register_worker,
    register_device,
    report_health,
    release_device,
    heartbeat,
    claim,
    end_worker,
    find_upload,
    record_upload,
    forget_upload,
    list_sessions,
)
