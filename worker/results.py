"""What becomes of the verdicts of a batch: recorded one by one, each with its files in the object store.

A verdict without files is recorded at once. Files are stored while the next job runs, and recorded with their verdict.
"""

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct

from worker import attachments
from worker.batch import Batch, BatchJob
from worker.devices import Backend
from worker.executors import Finished
from worker.live_log import LiveLog
from worker.printed import MESSAGE
from worker.protocol import Engine, LeaseLost
from worker.stores import Store

log = logging.getLogger("worker")

# How long the files of a batch's last jobs may keep its device from the next batch.
DEVICE_WAITS_S = 10


class Files(Struct, frozen=True):
    """Where files of attempts go, and how many."""

    store: Store
    limits: attachments.Limits


class Results:
    """Of one batch. `lose` is called when its lease turns out to be lost."""

    def __init__(
        self, engine: Engine, backend: Backend, batch: Batch, files: Files, printed: LiveLog, lose: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._backend = backend
        self._batch = batch
        self._files = files
        self._printed = printed
        self._lose = lose
        self._storing: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()
        self.refused: str | None = None  # why a job has got no verdict

    async def keep(self, result: Finished, since_s: float) -> attachments.Kept | None:
        """Before the next job starts: what this one, started `since_s` seconds ago, left behind. None: nothing."""
        failed = result.status == "failed"
        if not result.files and not failed:
            return None
        try:
            kept = await attachments.keep(result.files, self._files.limits)
        except OSError as error:
            self._printed.add(f"\n[qgjob] the files of this attempt were not kept: {error.strerror}\n")
            return None
        if failed:
            await attachments.evidence(self._backend, self._batch, since_s, kept, self._files.limits)
        if kept.files or kept.notes:
            return kept
        await attachments.discard(kept)
        return None

    async def record(self, job: BatchJob, result: Finished, kept: attachments.Kept | None) -> None:
        printed = self._printed.end()
        if kept is None:
            await self._record(result, printed, None)
        else:
            self._storing.add(asyncio.create_task(self._store_and_record(job, result, printed, kept)))

    def hurry(self) -> None:
        """Leave out what is not stored yet."""
        self._hurry.set()

    async def recorded(self) -> None:
        """Nothing is given back while it is being recorded; but a device does not wait for a slow store for long."""
        if self._storing:
            await asyncio.wait(self._storing, timeout=DEVICE_WAITS_S)
            self._hurry.set()
            for outcome in await asyncio.gather(*self._storing, return_exceptions=True):
                if isinstance(outcome, LeaseLost):
                    raise outcome
                if isinstance(outcome, Exception):
                    log.error("batch %s: storing files failed", self._batch.lease, exc_info=outcome)
                    self.refused = f"Storing files failed: {type(outcome).__name__}: {outcome}"

    async def close(self) -> None:
        """What is not recorded by now will not be."""
        for task in self._storing:
            task.cancel()
        await asyncio.gather(*self._storing, return_exceptions=True)

    async def _store_and_record(self, job: BatchJob, result: Finished, printed: str, kept: attachments.Kept) -> None:
        try:
            stored = await attachments.store(kept, self._batch, job, self._files.store, self._hurry)
            await self._record(result, printed + "".join(f"\n[qgjob] {note}" for note in stored.notes), stored)
        except LeaseLost:
            self._lose()
            raise

    async def _record(self, result: Finished, printed: str, stored: attachments.Stored | None) -> None:
        """What cannot be recorded with all that came with it is recorded without; what is no verdict is a loss."""
        job_id, refusal = result.job_id, await self._tell(result, printed, stored)
        if refusal is None:
            return
        why = f"What came with this result was refused: {refusal}\n{result.message or ''}".strip()[:MESSAGE]
        bare = Finished(job_id, result.status, 0, result.failure_kind, why, permanent=result.permanent)
        loss = Finished(job_id, "failed", 0, "infrastructure", why)
        if await self._tell(bare) and (refusal := await self._tell(loss)):
            self.refused = f"The result of job {job_id} was refused: {refusal}"

    async def _tell(
        self, result: Finished, printed: str = "", stored: attachments.Stored | None = None
    ) -> Exception | None:
        """Why it was refused, if so. Raises LeaseLost."""
        try:
            status = await self._engine.finish(self._batch.lease, result, printed, stored)
        except (asyncio.CancelledError, LeaseLost):
            verdict = result.failure_kind or result.status
            log.warning("job %s: %s, which nobody has confirmed: it may run again", result.job_id, verdict)
            raise
        except Exception as refusal:
            log.exception("job %s: its result was refused", result.job_id)
            return refusal
        log.info("job %s: %s%s", result.job_id, status, f" ({result.failure_kind})" if result.failure_kind else "")
        return None
