"""/workers and /devices: who drives what."""

from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody
from msgspec import Struct

import sql
from api import work
from api.access import needs
from api.parameters import All, Db, Id
from qgjob.models.fleet import Device, Worker
from qgjob.models.words import Target


@get("/workers", summary="List workers, live ones first")
async def list_workers(db: Db, every: All = False) -> list[Worker]:
    return await sql.many(db, Worker, "list_workers", all=every)


@post(
    "/workers/{worker_id:int}/drain",
    status_code=200,
    opt=needs("admin"),
    summary="Finish the running tests, give back the rest, leave",
)
async def drain_worker(worker_id: Id, db: Db) -> Worker:
    return await sql.one(db, Worker, "drain_worker", worker_id=worker_id)


class Quarantine(Struct, forbid_unknown_fields=True):
    """POST /devices/{id}/quarantine."""

    reason: str


@get("/devices", summary="List devices")
async def list_devices(db: Db, target: FromQuery[Target | None] = None, every: All = False) -> list[Device]:
    return await sql.many(db, Device, "list_devices", target=target, all=every)


@post("/devices/{device_id:int}/quarantine", status_code=200, summary="Give a device no batch until it is readmitted")
async def quarantine_device(device_id: Id, data: JSONBody[Quarantine], db: Db) -> Device:
    return await sql.one(db, Device, "quarantine_device", device_id=device_id, reason=data.reason)


@post("/devices/{device_id:int}/readmit", status_code=200, summary="Put a device back into use")
async def readmit_device(device_id: Id, db: Db) -> Device:
    return await sql.one(db, Device, "readmit_device", device_id=device_id)


# One router, for one path cannot be split between two.
router = Router(
    "/",
    route_handlers=[list_workers, drain_worker, list_devices, quarantine_device, readmit_device, *work.HANDLERS],
    tags=["workers and devices"],
)
