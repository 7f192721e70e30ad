"""The engine as workers call it that reach PostgreSQL."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg_pool import PoolTimeout

import sql
from qgjob.errors import Refused
from qgjob.models.words import FailureKind, ReleaseReason, Target
from qgjob.models.work import (
    Admission,
    Decision,
    DeviceHealth,
    DeviceRegistered,
    Heartbeat,
    OpenSessions,
    Recorded,
    Registered,
    Trace,
    Upload,
)
from qgjob.problems import status_of
from sql import claiming, housekeeping
from worker.attachments import Stored
from worker.batch import Batch
from worker.executors import Finished
from worker.hints import Hints
from worker.protocol import LeaseLost, Passing, storable, until_answered, wait

Answer = TypeVar("Answer")


class SqlEngine:
    """Implements worker.protocol.Engine. `listen_url` reaches PostgreSQL as a session; None: nothing is heard."""

    def __init__(self, db: sql.Database, listen_url: str | None = None) -> None:
        self._db = db
        self._hints = Hints(listen_url)
        self.worker_id = 0

    async def attend(self, target: Target, watch: Callable[[int], None]) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._hints.listen(self.worker_id, target, watch))
            both.create_task(self._housekeep())

    async def register_worker(
        self, name: str, version: str, targets: list[Target], lease_s: int, org_ids: list[str] | None = None
    ) -> None:
        registered = await self._until_answered(
            lambda: sql.one(
                self._db,
                Registered,
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
                DeviceRegistered,
                "register_device",
                worker_id=self.worker_id,
                name=name,
                target=target,
                labels=sql.Json(labels),
            )
        )
        return registered.device_id

    async def report_health(self, device_id: int, complaint: str | None) -> bool:
        health = await self._until_answered(
            lambda: sql.one(
                self._db,
                DeviceHealth,
                "report_health",
                worker_id=self.worker_id,
                device_id=device_id,
                complaint=storable(complaint),
            )
        )
        return health.well

    async def release_device(self, device_id: int, message: str) -> None:
        await self._until_answered(
            lambda: sql.call(
                self._db, "release_device", worker_id=self.worker_id, device_id=device_id, message=storable(message)
            )
        )

    async def claim(
        self, device_id: int, max_jobs: int, max_s: float | None = None, wait_s: float = 0.0
    ) -> Batch | None:
        hint = self._hints.work  # before claiming: a hint that comes meanwhile counts
        asked = {"device_id": device_id, "max_jobs": max_jobs, "max_s": max_s}
        batch = await self._until_answered(lambda: claiming.claim(self._db, Batch, self.worker_id, asked))
        if batch is None and wait_s > 0:
            await wait(hint, min(wait_s, self._hints.poll_s()))
        return batch

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
        started = await self._until_answered(
            lambda: sql.one(self._db, Decision, "start_job", lease=lease, job_id=job_id)
        )
        return started.decision == "run"

    async def finish(self, lease: int, result: Finished, printed: str, stored: Stored | None = None) -> str:
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
            permanent=result.permanent,
        )

    async def cancelled(self, lease: int, job_id: int, printed: str) -> None:
        await self._record(lease, job_id, "cancelled", None, None, [], printed)

    async def write_live_log(self, lease: int, job_id: int, after: int, text: str) -> None:
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

    async def release(self, lease: int, reason: ReleaseReason, message: str | None = None) -> None:
        await self._until_answered(
            lambda: sql.call(self._db, "release_batch", lease=lease, reason=reason, message=storable(message))
        )

    async def heartbeat(self, wait_s: float = 0.0) -> Heartbeat:
        if wait_s > 0:
            await wait(self._hints.beat, wait_s)
        self._hints.beat.clear()
        return await self._until_answered(lambda: sql.one(self._db, Heartbeat, "heartbeat", worker_id=self.worker_id))

    async def _housekeep(self) -> None:
        while True:
            while await self._until_answered(lambda: housekeeping.housekeep(self._db)):
                pass
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311

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
        async def once() -> Answer:
            try:
                return await attempt()
            except PoolTimeout as error:
                raise Passing(f"database unavailable: {error}") from None
            except psycopg.Error as error:
                if status_of(error.sqlstate) == 503 and not isinstance(error, psycopg.DataError):
                    raise Passing(f"database unavailable: {str(error).strip()}") from None
                if error.diag.constraint_name == "lease_is_held":
                    raise LeaseLost(error.diag.message_primary) from None
                raise Refused(error.diag.message_primary or str(error), code=error.diag.constraint_name) from error

        return await until_answered(once)
