"""The engine as workers call it that reach only the API: the same functions by its routes, and by nothing else."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from qgjob.errors import Refused
from qgjob.models.words import ReleaseReason, Target
from qgjob.models.work import (
    Admission,
    Beat,
    DeviceHealth,
    DeviceRegistered,
    Heartbeat,
    OpenSessions,
    Recorded,
    Registered,
    Trace,
    Upload,
)
from worker.api import Api, Json
from worker.attachments import Stored
from worker.batch import Batch
from worker.executors import Finished
from worker.protocol import storable


class HttpEngine:
    """Implements worker.protocol.Engine. What cannot be decided now is asked again, also 401 once it has registered:
    who changes tokens or a proxy shall not stop a lab."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._target: Target | None = None
        self._watch: Callable[[int], None] = lambda _: None
        self._seen = ""
        self.worker_id = 0

    async def register_worker(
        self, name: str, version: str, targets: list[Target], lease_s: int, org_ids: list[str] | None = None
    ) -> None:
        body = {"name": name, "version": version, "target_types": targets, "lease_s": lease_s, "org_ids": org_ids}
        registered: Registered = await self._api.ask("POST", "/workers", Registered, body)
        self.worker_id = registered.worker_id
        self._api.accepted = True

    async def register_device(self, name: str, target: Target, labels: dict[str, str]) -> int:
        body = {"name": name, "target": target, "labels": labels}
        registered: DeviceRegistered = await self._ask("/devices", DeviceRegistered, body)
        return registered.device_id

    async def report_health(self, device_id: int, complaint: str | None) -> bool:
        body = {"complaint": storable(complaint)}
        health: DeviceHealth = await self._ask(f"/devices/{device_id}/health", DeviceHealth, body)
        return health.well

    async def release_device(self, device_id: int, message: str) -> None:
        await self._ask(f"/devices/{device_id}/release", None, {"message": storable(message)})

    async def attend(self, target: Target, watch: Callable[[int], None]) -> None:
        """Hints come with the answers to claims and heartbeats, and the housekeeping is the server's."""
        self._target, self._watch = target, watch
        await asyncio.Event().wait()

    async def claim(
        self, device_id: int, max_jobs: int, max_s: float | None = None, wait_s: float = 0.0
    ) -> Batch | None:
        now = asyncio.get_running_loop().time
        since = now()
        body = {"device_id": device_id, "max_jobs": max_jobs, "max_s": max_s, "target": self._target, "wait": wait_s}
        batch: Batch | None = await self._ask("/claims", Batch | None, body, wait_s)
        if batch is None and (left_s := since + wait_s - now()) > 0:
            # A server that is leaving answers at once: the next one must not be asked in a tight loop.
            await asyncio.sleep(min(left_s, random.uniform(0.5, 1)))  # noqa: S311
        return batch

    async def traces(self, lease: int) -> list[Trace]:
        found: list[Trace] = await self._api.ask("GET", f"/batches/{lease}/traces", list[Trace])
        return found

    async def record_install(self, lease: int) -> None:
        await self._write(lease, "/installed")

    async def record_session(self, lease: int, session_id: str | None, video_url: str | None) -> None:
        await self._write(lease, "/session", {"session_id": session_id, "video_url": video_url})

    async def start(self, lease: int, job_id: int) -> bool:
        return (await self._report(job_id, {"lease": lease, "status": "running"})).status == "running"

    async def finish(self, lease: int, result: Finished, printed: str, stored: Stored | None = None) -> str:
        told = {
            "success": result.status == "completed",
            "message": storable(result.message),
            "tests": result.tests,
            "log": storable(printed) or "",
            "files": stored.files if stored else [],
            "reset_s": result.reset_s,
            "upload_s": stored and stored.seconds,
            "video_offset_s": result.video_offset_s,
            # An API that is older than this worker refuses what it does not know.
            **({"permanent": True} if result.permanent else {}),
        }
        report = {"lease": lease, "status": result.status, "failure_kind": result.failure_kind, "result": told}
        return (await self._report(result.job_id, report)).status

    async def cancelled(self, lease: int, job_id: int, printed: str) -> None:
        await self._report(job_id, {"lease": lease, "status": "cancelled", "result": {"log": storable(printed) or ""}})

    async def write_live_log(self, lease: int, job_id: int, after: int, text: str) -> None:
        await self._write(lease, "/log", {"job_id": job_id, "after": after, "log": storable(text)})

    async def release(self, lease: int, reason: ReleaseReason, message: str | None = None) -> None:
        body = {"reason": reason, "message": storable(message)}
        try:
            await self._write(lease, "/release", body)
        except Refused:
            if reason != "unfetched":
                raise
            await self._write(lease, "/release", body | {"reason": "unprepared"})  # an older API knows only this

    async def heartbeat(self, wait_s: float = 0.0) -> Heartbeat:
        """With what it has told before, so that only other news are told at once."""
        body = {"wait": wait_s, "seen": self._seen}
        now = asyncio.get_running_loop().time
        since = now()
        beat: Beat = await self._ask("/heartbeat", Beat, body, wait_s)
        if beat.seen == self._seen and (left_s := since + wait_s - now()) > 0:
            await asyncio.sleep(min(left_s, random.uniform(0.5, 1)))  # noqa: S311 - as for claims
        self._seen = beat.seen
        for job_id in beat.watched_jobs:
            self._watch(job_id)
        return beat

    async def find_upload(self, provider: str, account: str, sha256: str) -> Upload:
        body = {"provider": provider, "account": account, "sha256": sha256}
        found: Upload = await self._ask("/uploads/find", Upload, body)
        return found

    async def record_upload(self, provider: str, account: str, sha256: str, url: str) -> None:
        body = {"provider": provider, "account": account, "sha256": sha256, "url": url}
        await self._ask("/uploads/record", None, body)

    async def forget_upload(self, provider: str, account: str, sha256: str, url: str | None = None) -> None:
        body = {"provider": provider, "account": account, "sha256": sha256, "url": url}
        await self._ask("/uploads/forget", None, body)

    async def list_sessions(self, account: str) -> list[int]:
        listed: OpenSessions = await self._ask("/sessions", OpenSessions, {"account": account})
        return listed.leases

    async def admit_session(self, lease: int, account: str, allowed: int, running: int, known: list[int]) -> bool:
        body = {"account": account, "allowed": allowed, "running": running, "known": known}
        answer: Admission = await self._api.ask("POST", f"/batches/{lease}/admission", Admission, body)
        return answer.admitted

    async def end(self) -> None:
        await self._ask("/end", None)

    async def _ask(self, path: str, returns: Any, body: Json | None = None, wait_s: float = 0.0) -> Any:
        return await self._api.ask("POST", f"/workers/{self.worker_id}{path}", returns, body, wait_s)

    async def _write(self, lease: int, path: str, body: Json | None = None) -> None:
        await self._api.ask("POST", f"/batches/{lease}{path}", None, body)

    async def _report(self, job_id: int, report: Json) -> Recorded:
        recorded: Recorded = await self._api.ask("PUT", f"/jobs/{job_id}", Recorded, report)
        return recorded
