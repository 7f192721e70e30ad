"""/workers and /devices: who drives what, and the worker protocol for workers that speak HTTP."""

from typing import Annotated, Any

from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody
from msgspec import Meta, Struct

import sql
from api.parameters import BodyId, Db, Id
from qgjob.models import Device, Heartbeat, Target, Worker


class Registration(Struct, forbid_unknown_fields=True):
    """POST /workers."""

    name: str
    target_types: list[Target]
    version: str = ""
    lease_s: Annotated[int, Meta(ge=1, le=3600)] = 30


class Registered(Struct):
    worker_id: int


class DeviceRegistration(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/devices."""

    name: str
    target: Target
    labels: dict[str, str] = {}


class DeviceRegistered(Struct):
    device_id: int


class Claim(Struct, forbid_unknown_fields=True):
    """POST /workers/{id}/claims."""

    device_id: BodyId
    max_jobs: Annotated[int, Meta(ge=1, le=1000)] = 20


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


@get("/workers", summary="List workers, live ones first")
async def list_workers(db: Db) -> list[Worker]:
    return await sql.many(db, Worker, "list_workers")


@post("/workers", summary="A worker has started")
async def register_worker(data: JSONBody[Registration], db: Db) -> Registered:
    return await sql.one(
        db,
        Registered,
        "register_worker",
        name=data.name,
        version=data.version,
        targets=data.target_types,
        lease_s=data.lease_s,
    )


@post("/workers/{worker_id:int}/devices", summary="This worker drives a device from now on")
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


@post("/workers/{worker_id:int}/heartbeat", status_code=200, summary="The worker is alive; what should it stop?")
async def heartbeat(worker_id: Id, db: Db) -> Heartbeat:
    return await sql.one(db, Heartbeat, "heartbeat", worker_id=worker_id)


@post("/workers/{worker_id:int}/claims", status_code=200, summary="Claim a batch for a device; null: nothing to do")
async def claim(worker_id: Id, data: JSONBody[Claim], db: Db) -> Claimed | None:
    return await sql.optional(
        db, Claimed, "claim_batch", worker_id=worker_id, device_id=data.device_id, max_jobs=data.max_jobs
    )


@post("/workers/{worker_id:int}/drain", status_code=200, summary="Finish the running tests, give back the rest, leave")
async def drain_worker(worker_id: Id, db: Db) -> Worker:
    return await sql.one(db, Worker, "drain_worker", worker_id=worker_id)


class Quarantine(Struct, forbid_unknown_fields=True):
    """POST /devices/{id}/quarantine."""

    reason: str


@get("/devices", summary="List devices")
async def list_devices(db: Db, target: FromQuery[Target | None] = None) -> list[Device]:
    return await sql.many(db, Device, "list_devices", target=target)


@post("/devices/{device_id:int}/quarantine", status_code=200, summary="Give a device no batch until it is readmitted")
async def quarantine_device(device_id: Id, data: JSONBody[Quarantine], db: Db) -> Device:
    return await sql.one(db, Device, "quarantine_device", device_id=device_id, reason=data.reason)


@post("/devices/{device_id:int}/readmit", status_code=200, summary="Put a device back into use")
async def readmit_device(device_id: Id, db: Db) -> Device:
    return await sql.one(db, Device, "readmit_device", device_id=device_id)


router = Router(
    "/",
    route_handlers=[
        list_workers,
        register_worker,
        register_device,
        heartbeat,
        claim,
        drain_worker,
        list_devices,
        quarantine_device,
        readmit_device,
    ],
    tags=["workers and devices"],
)
