"""How many requests an organisation may make in a minute, and how large a body may be.

Counted in each process, so with N replicas up to N times the limit gets through: exact counting would cost a write for
each request, and it is there to stop runaway scripts, not to bill them.
"""

import asyncio
import math
import time
from collections.abc import Callable

import psycopg
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from api.problems import TooMany
from qgjob import logs

troubles = logs.seldom("api.background")
REFRESH_S = 5
SMALL_BODY = 1024 * 1024
RESULT_BODY = 4 * 1024 * 1024
RUN_BODY = 16 * 1024 * 1024  # 10,000 jobs with the longest paths and selectors fit


class RequestLimit(Struct):
    org_id: str
    requests_per_minute: int


class RequestLimits:
    """A minute's requests may come at once; after that they come back one by one (generic cell rate)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._per_minute: dict[str, int] = {}
        self._full_at: dict[str, float] = {}

    def set(self, limits: list[RequestLimit]) -> None:
        self._per_minute = {limit.org_id: limit.requests_per_minute for limit in limits}
        self._full_at = {org_id: at for org_id, at in self._full_at.items() if org_id in self._per_minute}

    def admit(self, org_id: str | None) -> None:
        """Raises TooMany when the organisation has used up its minute."""
        limit = self._per_minute.get(org_id) if org_id is not None else None
        if limit is None or org_id is None:
            return
        now, one = self._clock(), 60 / limit
        full_at = max(self._full_at.get(org_id, 0.0), now) + one
        if full_at - now > 60 + one / 1000:
            raise TooMany(
                "requests_are_limited",
                f"{org_id} may make {limit} requests a minute.",
                retry_after_s=max(1, math.ceil(full_at - now - 60)),
                hint="Wait for runs with GET /runs/{id}?wait=25 instead of polling, and submit many jobs as one run.",
            )
        self._full_at[org_id] = full_at

    def admit_submission(self, org_id: str, db: sql.OnBehalf) -> None:
        """What names its organisation in the body. Whose token says so was counted before the body was read."""
        if db.org_id is None:
            self.admit(org_id)

    async def refresh(self, db: sql.Database) -> None:
        """Until cancelled: what was set by PATCH /orgs/{org_id} counts in every process within seconds."""
        while True:
            try:
                self.set(await sql.many(db, RequestLimit, "list_request_limits"))
            except (psycopg.Error, PoolTimeout) as error:
                troubles.warning("request limits are as they were: %s", str(error).strip())
            await asyncio.sleep(REFRESH_S)
