"""Organisations and their settings."""

from datetime import datetime

from msgspec import Struct


class Org(Struct):
    """An organisation and its settings; null: no limit. `devices` serve it now. `group_by`: labels of runs that keep
    their jobs in groups of their own. `keep_days`: how long results are kept after a run has ended."""

    org_id: str
    weight: float
    max_devices: int | None
    max_pending_jobs: int | None
    requests_per_minute: int | None
    keep_days: int | None
    group_by: list[str]
    devices: int
    created_at: datetime


class OrgRemoval(Struct):
    """DELETE /orgs/{org_id}. Not yet removed: that was one step, ask again."""

    org_id: str
    removed: bool


class OrgDetails(Org):
    """GET /orgs/{org_id}: also how many of its jobs are pending."""

    pending: int
