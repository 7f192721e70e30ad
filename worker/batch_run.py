"""One batch on one device: install if needed, prepare, run and record job by job, give back the rest.

The rules that the executors need not know are here: time limits, cancellation, draining, lost leases, lost devices,
dying runners.
"""

import asyncio
import logging
from contextlib import aclosing
from typing import Literal

from qgjob import logs
from qgjob.models.words import ReleaseReason
from worker.batch import Batch, BatchJob, Blame, PrepareError
from worker.devices import Backend, Recorder
from worker.executors import Executor, Finished, Log, Prepared, Started
from worker.live_log import LiveLog
from worker.protocol import Engine, LeaseLost
from worker.results import Files, Results
from worker.spans import Spans

log = logging.getLogger("worker")
Interruption = Literal["timeout", "cancelled", "skip", "drain", "lost lease", "lost device"]

# How long an executor may take to end its processes once it was told to stop.
STOP_GRACE_S = 30
# How often an executor may end without a verdict on any job before that is held against the jobs.
FRUITLESS_ENDS = 3
# Installing and opening a session together; what takes longer hangs.
PREPARE_LIMIT_S = 900
# Whose fault it is that nothing could run → how the batch ends.
REASONS: dict[Blame, ReleaseReason] = {
    "device": "unprepared",
    "config": "unprepared",
    "source": "unfetched",
    "provider": "busy",
    "app": "refused",
}


class BatchRun:
    """The state of a batch while it runs. `run` does it; the other methods are called from outside meanwhile."""

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        backend: Backend,
        batch: Batch,
        files: Files,
        max_s: float | None = None,
        spans: Spans | None = None,
    ) -> None:
        """`max_s`: after so long the device is no longer good for this batch, and what has not started goes back."""
        self._engine = engine
        self._executor = executor
        self._backend = backend
        self._recorder = backend if isinstance(backend, Recorder) else None
        self._max_s = max_s
        self._spans = spans or Spans(None, batch, [])
        self.batch = batch
        self._left = {job.job_id: job for job in batch.jobs}
        self._current: BatchJob | None = None
        self._since = 0.0
        self._log = LiveLog(engine, batch.lease)
        self._results = Results(engine, backend, batch, files, self._log, self.lose)
        self._stop = asyncio.Event()
        self._interruption: Interruption | None = None
        self._time_limit: asyncio.TimerHandle | None = None
        self._draining = False
        self._lost = False
        self._device_lost: str | None = None
        self._is_done = False
        self._preparing: asyncio.Task[Prepared] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a test runs, and not only its verdict is on its way."""
        return self._current is not None

    def lose(self) -> None:
        """The lease is no longer held: nothing may be written under it any more."""
        self._lost = True
        self._interrupt("lost lease")
        self.abandon()

    def lose_device(self, why: str) -> None:
        """Nothing can run any more: the running job is a loss, the others go elsewhere."""
        if self._device_lost is None:
            log.warning("batch %s: %s", self.batch.lease, why)
            self._device_lost = why
            self._draining = True
            self._interrupt("lost device")
            self.abandon()

    def abandon(self) -> None:
        """Nothing waits for this batch any more: what has not been installed need not be."""
        if self._preparing:
            self._preparing.cancel()

    def drain(self, *, at_once: bool = False) -> None:
        """Give back what has not started; at once: what has started, too."""
        self._draining = True
        if at_once:
            self._results.hurry()
        if at_once or self._current is None:
            self._interrupt("drain")
            self.abandon()

    def cancel(self, job_ids: set[int]) -> None:
        """Stop the running job if it is one of these."""
        if self._current and self._current.job_id in job_ids:
            self._interrupt("cancelled")

    def watch(self, job_id: int) -> None:
        """Somebody watches this job, which may be another batch's."""
        if job_id in self._left:
            self._log.watch(job_id)

    async def run(self) -> bool:
        """Whether the device was able to do its work. The batch ends here, or with the device's next claim."""
        over = asyncio.get_running_loop().call_later(self._max_s, self.drain) if self._max_s else None
        unable: PrepareError | None = None
        try:
            unable = await self._prepare_and_run()
            await self._results.recorded()
            if self._results.refused:
                unable = PrepareError(self._results.refused, "config")
            if unable and (self._results.refused or len(self._left) == len(self.batch.jobs)):
                await self._engine.release(self.batch.lease, REASONS[unable.blame], str(unable))
            elif self._left or self._draining:
                await self._engine.release(self.batch.lease, "drained" if self._draining else "done")
            else:
                self._is_done = True
        except LeaseLost as error:
            log.warning("batch %s: %s", self.batch.lease, error)
        finally:
            if over:
                over.cancel()
            await self._results.close()
            await self._log.close()
            self._spans.close()
        return unable is None and self._device_lost is None

    async def end(self) -> None:
        """Where the device is not going to claim at once."""
        if self._is_done:
            await self._engine.release(self.batch.lease, "done")

    async def _prepare_and_run(self) -> PrepareError | None:
        """Why the device could not, if so."""
        try:
            if prepared := await self._prepare_unless_abandoned():
                await self._run_prepared(prepared)
        except LeaseLost:
            raise
        except PrepareError as error:
            log.warning("batch %s: %s", self.batch.lease, error)
            return error
        except Exception as error:  # a bug or a refusal, and other devices of this worker are in the middle of tests
            log.exception("batch %s: it failed", self.batch.lease)
            return PrepareError(f"The batch failed: {type(error).__name__}: {error}", "config")
        return None

    async def _run_prepared(self, prepared: Prepared) -> None:
        try:
            if prepared.session_id:
                await self._engine.record_session(self.batch.lease, prepared.session_id, None)
            await self._run_jobs(prepared)
        finally:
            await self._clean_up(prepared)
        if prepared.video_url:
            await self._engine.record_session(self.batch.lease, prepared.session_id, prepared.video_url)

    async def _clean_up(self, prepared: Prepared) -> None:
        try:
            await self._executor.cleanup(prepared, failed=bool(self._left))
        except Exception:  # nothing depends on it any more, least of all other devices
            log.exception("batch %s: cleaning up failed", self.batch.lease)

    async def _prepare_unless_abandoned(self) -> Prepared | None:
        if self._draining or self._lost:
            return None
        self._preparing = asyncio.create_task(self._prepare())
        try:
            await asyncio.wait({self._preparing})
        finally:
            self._preparing.cancel()
        return None if self._preparing.cancelled() else self._preparing.result()

    async def _prepare(self) -> Prepared:
        try:
            async with asyncio.timeout(PREPARE_LIMIT_S):
                if self.batch.install:
                    await self._backend.install(self.batch)
                    await self._engine.record_install(self.batch.lease)
                return await self._executor.prepare(self.batch)
        except TimeoutError:
            raise PrepareError(f"The device was not ready after {PREPARE_LIMIT_S} s.") from None
        except (PrepareError, LeaseLost):
            raise
        except Exception as error:  # a bug, in a plug-in perhaps
            log.exception("batch %s: preparing it failed", self.batch.lease)
            raise PrepareError(f"Preparing the batch failed: {type(error).__name__}: {error}", "config") from None

    async def _run_jobs(self, prepared: Prepared) -> None:
        fruitless = 0
        while self._left and not self._draining and not self._lost and fruitless < FRUITLESS_ENDS:
            before = len(self._left)
            await self._invoke(prepared)
            fruitless = fruitless + 1 if len(self._left) == before else 0
        if self._left and not self._draining and not self._lost:
            for job_id in list(self._left):
                if await self._engine.start(self.batch.lease, job_id):
                    message = "The executor ended again and again without running this job."
                    await self._finish(Finished(job_id, "failed", 0, "infrastructure", message))

    async def _invoke(self, prepared: Prepared) -> None:
        """Run what is left until the executor ends, by itself or because it was interrupted."""
        self._stop, self._interruption = asyncio.Event(), None
        if self._draining or self._lost:
            return
        stopped = asyncio.create_task(self._stop.wait())
        consumer = asyncio.create_task(self._consume(prepared))
        try:
            await asyncio.wait({consumer, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not consumer.done():
                await asyncio.wait({consumer}, timeout=STOP_GRACE_S)
            if not consumer.done():
                log.error("batch %s: the executor did not stop", self.batch.lease)
        finally:
            self._limit(None)
            consumer.cancel()
            stopped.cancel()
            outcome = (await asyncio.gather(consumer, return_exceptions=True))[0]
        if self._lost or isinstance(outcome, LeaseLost):
            raise LeaseLost(f"Lease {self.batch.lease} was lost.")
        if isinstance(outcome, Exception) and not isinstance(outcome, PrepareError):
            log.error("batch %s: the executor failed", self.batch.lease, exc_info=outcome)
        await self._settle_current(outcome)
        if isinstance(outcome, PrepareError):
            raise outcome

    async def _consume(self, prepared: Prepared) -> None:
        async with aclosing(self._executor.run(prepared, list(self._left.values()), self._stop)) as events:
            async for event in events:
                match event:
                    case Started(job_id) if job_id in self._left:
                        await self._start(self._left[job_id])
                    case Log(job_id, text) if self._current and job_id == self._current.job_id:
                        self._log.add(text)
                    case Finished(job_id) if job_id in self._left and not self._interruption:
                        if self._current is None or self._current.job_id != job_id:
                            await self._start(self._left[job_id])
                        if event.failure_kind != "infrastructure":
                            await self._ask_device()
                        if not self._interruption:
                            await self._finish(event)
                            if self._draining:
                                self._interrupt("drain")
                    case _:
                        pass

    async def _ask_device(self) -> None:
        """Before a verdict is believed: a test whose phone is unplugged ends somehow before we are told."""
        self._limit(None)
        try:
            why = await self._backend.lost(self.batch.device)
        except Exception as error:
            log.exception("batch %s: asking for the device failed", self.batch.lease)
            why = f"Asking for the device failed: {type(error).__name__}: {error}"
        if why:
            self.lose_device(why)

    async def _start(self, job: BatchJob) -> None:
        if self._interruption:
            return
        if await self._may_start(job):
            self._since = asyncio.get_running_loop().time()
            self._log.begin(job.job_id)
            self._spans.begin(job)
            logs.bind(job_id=job.job_id)
            self._limit(job.timeout_s)
            if self._recorder:
                await self._recorder.begins(self.batch, job)
        else:
            del self._left[job.job_id]
            self._interrupt("skip")

    async def _may_start(self, job: BatchJob) -> bool:
        """It is the current one from here on: others see it run before we hear that it does, and who then drains the
        worker lets it finish."""
        self._current = job
        started = False
        try:
            started = await self._engine.start(self.batch.lease, job.job_id)
        finally:
            if not started:
                self._current = None
        return started

    async def _finish(self, result: Finished) -> None:
        """The next job may start as soon as this one's files are kept; storing them can take longer."""
        self._limit(None)
        job = self._left[result.job_id]
        self._spans.end(job.job_id, result.status, result.failure_kind)
        kept = await self._results.keep(result, asyncio.get_running_loop().time() - self._since)
        if self._recorder:
            await self._recorder.ended(self.batch, job, result.failure_kind or result.status)
        del self._left[job.job_id]
        self._current = None
        await self._results.record(job, result, kept)

    async def _settle_current(self, outcome: object) -> None:
        """The executor has ended while a job was running: say why, unless the job goes back to its group."""
        job = self._current
        if job is None:
            return
        if self._interruption == "drain":
            self._current = None
            return
        if self._interruption == "timeout":
            await self._ask_device()
        if self._interruption == "cancelled":
            self._spans.end(job.job_id, "cancelled")
            self._current = None
            await self._engine.cancelled(self.batch.lease, job.job_id, self._log.end())
            del self._left[job.job_id]
        elif self._device_lost:
            message = f"The device was lost while this job was running. {self._device_lost}"
            await self._finish(Finished(job.job_id, "failed", 0, "infrastructure", message))
        elif self._interruption == "timeout":
            message = f"Stopped after its time limit of {job.timeout_s} s."
            await self._finish(Finished(job.job_id, "failed", job.timeout_s, "timeout", message))
        else:
            message = "The executor ended while this job was running."
            if isinstance(outcome, Exception):
                message = f"The executor failed while this job was running: {outcome}"
            await self._finish(Finished(job.job_id, "failed", 0, "infrastructure", message))

    def _limit(self, seconds: float | None) -> None:
        if self._time_limit:
            self._time_limit.cancel()
        loop = asyncio.get_running_loop()
        self._time_limit = loop.call_later(seconds, self._interrupt, "timeout") if seconds else None

    def _interrupt(self, why: Interruption) -> None:
        self._interruption = self._interruption or why
        self._stop.set()
