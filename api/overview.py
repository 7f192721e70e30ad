"""/groups, /stats, /health: how things stand."""

from typing import Any

from litestar import Request, Router, get
from litestar.params import FromQuery

import sql
from api.access import OPEN, OPEN_S, Caller
from api.parameters import Db
from qgjob.models.fleet import Health, Stats
from qgjob.models.runs import Group


@get("/groups", summary="Unfinished jobs by the installation they can share")
async def list_groups(db: Db, org_id: FromQuery[str | None] = None) -> list[Group]:
    return await sql.many(db, Group, "list_groups", org_id=org_id or db.org_id)


@get("/stats", summary="What was done so far")
async def get_stats(db: Db, org_id: FromQuery[str | None] = None) -> Stats:
    return await sql.one(db, Stats, "get_stats", org_id=org_id or db.org_id)


@get("/health", opt=OPEN, summary="Can the service do its work?")
async def get_health(request: Request[Caller, Any, Any], db: Db) -> Health:
    """Also for probes, that have no token; labels of what waits are told to whoever may know everybody's."""
    caller = request.user
    details = bool(caller.scopes) and caller.org_id is None
    return await sql.within(OPEN_S, sql.one(db, Health, "get_health", details=details))


router = Router("/", route_handlers=[list_groups, get_stats, get_health], tags=["overview"])
