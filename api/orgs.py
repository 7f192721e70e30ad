"""/orgs: organisations, their share of the devices, their quotas, and what they group by."""

from typing import Annotated

from litestar import Router, delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

import sql
from api.parameters import Db
from qgjob.models.orgs import Org, OrgDetails, OrgRemoval
from qgjob.models.words import Slug

Quota = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Weight = Annotated[float, Meta(ge=0.001, le=1000)]
GroupBy = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=4)]


class OrgChanges(Struct, forbid_unknown_fields=True, kw_only=True):
    """PATCH /orgs/{org_id}. What is left out stays as it is; null takes a limit away. `keep_days`: of results."""

    weight: Weight | UnsetType = UNSET
    max_devices: Quota | UnsetType | None = UNSET
    max_pending_jobs: Quota | UnsetType | None = UNSET
    requests_per_minute: Quota | UnsetType | None = UNSET
    keep_days: Days | UnsetType | None = UNSET
    group_by: GroupBy | UnsetType = UNSET


class OrgCreation(OrgChanges, forbid_unknown_fields=True, kw_only=True):
    """POST /orgs."""

    org_id: Slug


def settings(changes: OrgChanges) -> sql.Json:
    return sql.Json({name: value for name, value in to_builtins(changes).items() if name != "org_id"})


@get("/", summary="List organisations")
async def list_orgs(db: Db) -> list[Org]:
    return await sql.many(db, Org, "list_orgs")


@post("/", summary="Create an organisation before its first submission does")
async def create_org(data: JSONBody[OrgCreation], db: Db) -> OrgDetails:
    return await sql.one(db, OrgDetails, "create_org", org_id=data.org_id, settings=settings(data))


@get("/{org_id:str}", summary="Look at one organisation")
async def get_org(org_id: FromPath[str], db: Db) -> OrgDetails:
    return await sql.one(db, OrgDetails, "get_org", org_id=org_id)


@patch("/{org_id:str}", summary="Change weight, quotas, or what is grouped by")
async def change_org(org_id: FromPath[str], data: JSONBody[OrgChanges], db: Db) -> OrgDetails:
    return await sql.one(db, OrgDetails, "change_org", org_id=org_id, changes=settings(data))


@delete("/{org_id:str}", status_code=200, summary="Remove an organisation and all it has; repeat until removed is true")
async def remove_org(org_id: FromPath[str], db: Db) -> OrgRemoval:
    return await sql.one(db, OrgRemoval, "remove_org", org_id=org_id)


router = Router(
    "/orgs", route_handlers=[list_orgs, create_org, get_org, change_org, remove_org], tags=["organisations"]
)
