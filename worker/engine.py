"""The worker's side of the SQL functions: every call may be repeated, so each is, until PostgreSQL has answered."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import psycopg
from msgspec import Struct
from psycopg_pool import PoolTimeout

import sql
from qgjob.models import Decision, FailureKind, Heartbeat, Recorded, Target
from qgjob.problems import status_of
from sql import housekeeping
from worker.attachments import Stored
from worker.batch import Batch
from worker.devices import Upload
from worker.executors import Finished

log = logging.getLogger("worker")
Answer = TypeVar("Answer")
Reason = Literal["done", "drained", "busy", "unprepared", "refused"]


class LeaseLost(Exception):
    """The batch belongs to somebody else now: stop it and discard its results."""


class Refused(Exception):
    """PostgreSQL refused for good; the message says why, `rule` is the problem's type."""

    def __init__(self, message: str, rule: str | None) -> None:
        super().__init__(message)
        self.rule = rule


class WorkerId(Struct):
    worker_id: int


class DeviceId(Struct):
    device_id: int


class OpenSessions(Struct):
    leases: list[int]


class Admission(Struct):
    admitted: bool


class Trace(Struct):
    job_id: int
    run_id: int
    traceparent: str


class Health(Struct):
    well: bool


class Engine:
    """One worker's view of the database. Every method raises LeaseLost or Refused, and never because of an outage."""

    def __init__(self, db: sql.Database) -> None:
        self._db = db
        self.worker_id = 0

    async def register_worker(
        self, name: str, version: str, targets: list[Target], lease_s: int, org_ids: list[str] | None = None
    ) -> None:
        registered = await self._until_answered(
            lambda: sql.one(
                self._db,
                WorkerId,
                "register_worker",
                name=name,
                version=version,
                targets=targets,
                lease_s=lease_s,
                org_ids=org_ids,
            )
        )
        self.worker_id = registered.worker_id

    async def register_device(self, name: str, target: Target, labels: dict[str, str]) -> int:
        registered = await self._until_answered(
            lambda: sql.one(
                self._db,
                DeviceId,
                "register_device",
                worker_id=self.worker_id,
                name=name,
                target=target,
                labels=sql.Json(labels),
            )
        )
        return registered.device_id

    async def report_health(self, device_id: int, complaint: str | None) -> bool:
        """Whether the device may work now. `complaint`: why it cannot, after a probe."""
        health = await self._until_answered(
            lambda: sql.one(
                self._db,
                Health,
                "report_health",
                worker_id=self.worker_id,
                device_id=device_id,
                complaint=storable(complaint),
            )
        )
        return health.well

    async def release_device(self, device_id: int, message: str) -> None:
        """The device is out of sight: it is offline until it is registered again."""
        await self._until_answered(
            lambda: sql.call(
                self._db, "release_device", worker_id=self.worker_id, device_id=device_id, message=storable(message)
            )
        )

    async def claim(self, device_id: int, max_jobs: int, max_s: float | None = None) -> Batch | None:
        return await self._until_answered(
            lambda: sql.optional(
                self._db,
                Batch,
                "claim_batch",
                worker_id=self.worker_id,
                device_id=device_id,
                max_jobs=max_jobs,
                max_s=max_s,
            )
        )

    async def traces(self, lease: int) -> list[Trace]:
        """The trace contexts that the jobs of the batch were submitted with."""
        return await self._until_answered(lambda: sql.many(self._db, Trace, "list_traces", lease=lease))

    async def record_install(self, lease: int) -> None:
        await self._until_answered(lambda: sql.call(self._db, "record_install", lease=lease))

    async def record_session(self, lease: int, session_id: str | None, video_url: str | None) -> None:
        await self._until_answered(
            lambda: sql.call(self._db, "record_session", lease=lease, session_id=session_id, video_url=video_url)
        )

    async def start(self, lease: int, job_id: int) -> bool:
        """Whether to run it; if not, it was cancelled."""
        started = await self._until_answered(
            lambda: sql.one(self._db, Decision, "start_job", lease=lease, job_id=job_id)
        )
        return started.decision == "run"

    async def finish(self, lease: int, result: Finished, printed: str, stored: Stored | None = None) -> str:
        """The job's status now. `stored`: what became of its files."""
        return await self._record(
            lease,
            result.job_id,
            result.status,
            result.failure_kind,
            result.message,
            result.tests,
            printed,
            files=sql.Json(stored.files if stored else []),
            reset_s=result.reset_s,
            upload_s=stored and stored.seconds,
            video_offset_s=result.video_offset_s,
        )

    async def cancelled(self, lease: int, job_id: int, printed: str) -> None:
        """The job was stopped because that was requested."""
        await self._record(lease, job_id, "cancelled", None, None, [], printed)

    async def write_live_log(self, lease: int, job_id: int, after: int, text: str) -> None:
        """More of what a watched job printed; `after` characters came before."""
        await self._until_answered(
            lambda: sql.call(self._db, "write_live_log", lease=lease, job_id=job_id, after=after, log=storable(text))
        )

    async def _record(
        self,
        lease: int,
        job_id: int,
        status: str,
        failure_kind: FailureKind | None,
        message: str | None,
        tests: list[dict[str, object]],
        printed: str,
        **more: object,
    ) -> str:
        recorded = await self._until_answered(
            lambda: sql.one(
                self._db,
                Recorded,
                "finish_job",
                lease=lease,
                job_id=job_id,
                status=status,
                failure_kind=failure_kind,
                message=storable(message),
                tests=sql.Json(tests),
                log=storable(printed),
                **more,
            )
        )
        return recorded.status

    async def release(self, lease: int, reason: Reason, message: str | None = None) -> None:
        await self._until_answered(
            lambda: sql.call(self._db, "release_batch", lease=lease, reason=reason, message=storable(message))
        )

    async def heartbeat(self) -> Heartbeat:
        return await self._until_answered(lambda: sql.one(self._db, Heartbeat, "heartbeat", worker_id=self.worker_id))

    async def housekeep(self) -> bool:
        """Whether there is more to do at once."""
        return await self._until_answered(lambda: housekeeping.housekeep(self._db))

    async def find_upload(self, provider: str, account: str, sha256: str) -> Upload:
        return await self._until_answered(
            lambda: sql.one(
                self._db,
                Upload,
                "find_upload",
                worker_id=self.worker_id,
                provider=provider,
                account=account,
                sha256=sha256,
            )
        )

    async def record_upload(self, provider: str, account: str, sha256: str, url: str) -> None:
        await self._until_answered(
            lambda: sql.call(self._db, "record_upload", provider=provider, account=account, sha256=sha256, url=url)
        )

    async def forget_upload(self, provider: str, account: str, sha256: str, url: str | None = None) -> None:
        await self._until_answered(
            lambda: sql.call(
                self._db,
                "forget_upload",
                worker_id=self.worker_id,
                provider=provider,
                account=account,
                sha256=sha256,
                url=url,
            )
        )

    async def list_sessions(self, account: str) -> list[int]:
        listed = await self._until_answered(lambda: sql.one(self._db, OpenSessions, "list_sessions", account=account))
        return listed.leases

    async def admit_session(self, lease: int, account: str, allowed: int, running: int, known: list[int]) -> bool:
        answer = await self._until_answered(
            lambda: sql.one(
                self._db,
                Admission,
                "admit_session",
                lease=lease,
                account=account,
                allowed=allowed,
                running=running,
                known=known,
            )
        )
        return answer.admitted

    async def end(self) -> None:
        await self._until_answered(lambda: sql.call(self._db, "end_worker", worker_id=self.worker_id))

    async def _until_answered(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        pause = 0.05
        while True:
            try:
                return await attempt()
            except PoolTimeout as error:
                log.warning("database unavailable: %s", error)
            except psycopg.Error as error:
                if status_of(error.sqlstate) != 503 or isinstance(error, psycopg.DataError):
                    if error.diag.constraint_name == "lease_is_held":
                        raise LeaseLost(error.diag.message_primary) from None
                    raise Refused(error.diag.message_primary or str(error), error.diag.constraint_name) from error
                log.warning("database unavailable: %s", str(error).strip())
            pause = min(pause * 2, 5)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311


def storable(text: str | None) -> str | None:
    """PostgreSQL's text holds neither NUL nor halves of surrogate pairs."""
    return text and text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
