"""/workers and /devices: who drives what."""

from litestar import Router, get, post
from litestar.params import FromQuery

import sql
from api import work
from api.parameters import Db, Id
from qgjob.models import Device, Target, Worker


@get("/workers", summary="List workers, live ones first")
async def list_workers(db: Db) -> list[Worker]:
    return await sql.many(db, Worker, "list_workers")


@post("/workers/{worker_id:int}/drain", status_code=200, summary="Finish the running tests, give back the rest, leave")
async def drain_worker(worker_id: Id, db: Db) -> Worker:
    return await sql.one(db, Worker, "drain_worker", worker_id=worker_id)


@get("/devices", summary="List devices")
async def list_devices(db: Db, target: FromQuery[Target | None] = None) -> list[Device]:
    return await sql.many(db, Device, "list_devices", target=target)


# One router, for one path cannot be split between two.
router = Router(
    "/",
    route_handlers=[list_workers, drain_worker, list_devices, *work.HANDLERS],
    tags=["workers and devices"],
)
