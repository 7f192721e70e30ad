"""The worker process: its devices claim and run batches; one heartbeat keeps their leases.

Stateless: kill it anywhere, and when its leases run out its unfinished jobs go to others.
"""

import asyncio
import logging
from collections.abc import Sized
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from qgjob import __version__, logs
from qgjob.errors import Refused, Unavailable
from qgjob.models.words import Target
from qgjob.tracing import Tracing
from worker.batch_run import BatchRun
from worker.devices import Backend, DeviceSpec
from worker.executors import Executor
from worker.protocol import Engine, wait
from worker.results import Files
from worker.spans import Spans

log = logging.getLogger("worker")
LONGEST_PAUSE_S = 30
# How long an idle device's claim may wait for work, and a heartbeat for something to tell.
CLAIM_WAIT_S = 25.0
BEAT_WAIT_S = 25.0
PROBE_AGAIN_S = 5.0
# How often a device that seems to be well is asked whether it is, between two batches: batteries drain, disks fill.
PROBE_EVERY_S = 60.0
# How long giving back may take after the second signal, and what is said last when nobody has answered before.
GIVE_BACK_S = 4.0
LAST_WORD_S = 1.0
# How long somebody may take to answer before a worker that is to leave without work does so: without a batch, and with.
REACHES_S = 10.0
HOLDS_S = 300.0
# After so long without a look at the clock the process itself was stopped.
PAUSED_S = 5.0


class Options(Struct, frozen=True):
    """`target`: of every device. `max_idle_s`: leave after so long without work; 0: as soon as nothing is pending."""

    name: str
    target: Target
    lease_s: int
    max_jobs: int
    max_idle_s: float | None
    org_ids: list[str] | None = None  # whom the devices serve; None: everybody


class Drive:
    """A device for as long as the backend lists it; when it comes back that is another one."""

    def __init__(self, device: DeviceSpec) -> None:
        self.device = device
        self.gone = asyncio.Event()
        self.leaving = asyncio.Event()  # it is gone, or the worker drains
        self.stirred = asyncio.Event()  # that, or somebody has said something of its health
        self.ended = asyncio.Event()

    def leave(self) -> None:
        self.leaving.set()
        self.stirred.set()


class Worker:
    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        backend: Backend,
        options: Options,
        files: Files,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._engine = engine
        self._executor = executor
        self._backend = backend
        self._options = options
        self._files = files
        self._runs: dict[int, BatchRun] = {}
        self._drives: dict[str, Drive] = {}
        self._leaving = asyncio.Event()
        self._sick: set[int] = set()
        self._draining = asyncio.Event()
        self._at_once = asyncio.Event()
        self._registered = False
        self._heard_at = 0.0

    async def run(self) -> bool:
        """Until drained, or idle for long enough. False: it left without waiting any longer for answers; leases run
        out by themselves. Raises Refused when the engine does not want this worker, and Unavailable when nobody has
        told it to leave and it does so all the same."""
        over = asyncio.create_task(self._lose_patience())
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered = working.done()
            await stopped(working)
            if self._registered:
                await self._end(over)
            over.cancel()
        if answered:
            working.result()
        elif not self._draining.is_set():
            raise Unavailable("nobody has answered for too long")
        return answered

    async def _end(self, over: asyncio.Task[None]) -> None:
        ending = asyncio.create_task(self._engine.end())
        await asyncio.wait({ending, over}, timeout=self._options.lease_s, return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            await asyncio.wait({ending}, timeout=LAST_WORD_S)
        answered = ending.done()
        await stopped(ending)
        log.info(
            "%s has left%s",
            self._options.name,
            "" if answered else " without an answer: what it may hold goes back when its lease has run out",
        )
        if answered:
            ending.result()

    async def _lose_patience(self) -> None:
        """Until it is time to leave whether or not anybody answers: that may never happen."""
        now = asyncio.get_running_loop().time
        if self._options.max_idle_s is None:
            await self._draining.wait()
        looked_at = ran_at = now()
        while not self._at_once.is_set():
            if self._draining.is_set() and not self._registered:
                return
            if any(run.is_running for run in self._runs.values()) or now() > looked_at + PAUSED_S:
                ran_at = now()
            looked_at, patience_s = now(), self._patience_s()
            if looked_at > max(ran_at, self._heard_at) + patience_s:
                log.warning("nobody has answered for %g s, and nothing runs: leaving", patience_s)
                return
            await wait(self._at_once, 0.2)
        await asyncio.sleep(GIVE_BACK_S)

    def _patience_s(self) -> float:
        """Who leaves when there is no work does so also when nobody says whether there is, but not soon with results
        that somebody may still take."""
        if self._draining.is_set():
            return self._options.lease_s
        return max(self._options.lease_s, self._options.max_idle_s or 0.0, HOLDS_S if self._runs else REACHES_S)

    async def _work(self) -> None:
        await self._engine.register_worker(
            self._options.name,
            __version__,
            [self._options.target],
            self._options.lease_s,
            self._options.org_ids,
        )
        self._registered = True
        self._heard_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as background:
            tasks = [
                background.create_task(self._beat()),
                background.create_task(self._engine.attend(self._options.target, self._watch)),
            ]
            try:
                async with asyncio.TaskGroup() as drives:
                    tasks.append(background.create_task(self._follow(drives)))
                    await self._leaving.wait()
            finally:
                for task in tasks:
                    task.cancel()

    async def _follow(self, drives: asyncio.TaskGroup) -> None:
        """Drive each device for as long as the backend lists it."""
        loop = asyncio.get_running_loop()
        listed: dict[str, DeviceSpec] | None = None
        without_devices: asyncio.TimerHandle | None = None
        async with aclosing(self._backend.watch()) as lists:
            async for devices in lists:
                if self._leaving.is_set():
                    return
                now, before = {device.name: device for device in devices}, listed or {}
                if listed is None:
                    name = self._options.name
                    log.info("%s is worker %s and drives %s", name, self._engine.worker_id, some(now, "device"))
                for name in before.keys() - now.keys():
                    self._lose(self._drives[name])
                for name in now.keys() - before.keys():
                    if listed is not None:
                        log.info("%s has come", name)
                    drive, last = Drive(now[name]), self._drives.get(name)
                    self._drives[name] = drive
                    drives.create_task(self._drive(drive, last))
                listed = now
                if without_devices:
                    without_devices.cancel()
                if not now and self._options.max_idle_s is not None:
                    without_devices = loop.call_later(self._options.max_idle_s, self._leaving.set)

    def _lose(self, drive: Drive) -> None:
        drive.gone.set()
        drive.leave()
        log.warning("%s is gone", drive.device.name)
        for run in self._runs.values():
            if run.batch.device == drive.device.name:
                run.lose_device(f"{drive.device.name} is not connected any more.")

    def drain(self) -> bool:
        """The first time: finish the running tests and leave. The second time: give everything back at once, and wait
        for nobody. Which of the two it was."""
        at_once = self._draining.is_set()
        self._draining.set()
        if at_once:
            self._at_once.set()
        log.info("giving back everything" if at_once else "draining: finishing what runs")
        for run in self._runs.values():
            run.drain(at_once=at_once)
        self._leaving.set()
        for drive in self._drives.values():
            drive.leave()
        return at_once

    async def _drive(self, drive: Drive, last: Drive | None) -> None:
        if last:
            await last.ended.wait()
        device_id = await self._take(drive)
        if device_id is not None:
            await self._serve(drive, device_id)
            # With what was claimed just then; and nothing shall wait for an idle device that has left.
            why = "is not connected any more" if drive.gone.is_set() else "has left with its worker"
            await self._engine.release_device(device_id, f"{drive.device.name} {why}.")
        drive.ended.set()
        if not drive.gone.is_set() and all(other.ended.is_set() for other in self._drives.values()):
            self._leaving.set()  # every device was idle for long enough

    async def _serve(self, drive: Drive, device_id: int) -> None:
        """Until it is gone, idle for too long, or the worker drains."""
        loop = asyncio.get_running_loop()
        idle_since, failures, seen_well, probed_at = loop.time(), 0, False, 0.0
        last: BatchRun | None = None
        while not self._draining.is_set() and not drive.gone.is_set():
            left_s = CLAIM_WAIT_S
            if self._options.max_idle_s is not None:
                left_s = min(left_s, idle_since + self._options.max_idle_s - loop.time())
            drive.stirred.clear()
            doubtful = failures or device_id in self._sick or not seen_well
            if doubtful or loop.time() > probed_at + PROBE_EVERY_S:
                if last:  # no claim ends it so soon
                    await last.end()
                    last = None
                seen_well = await self._is_well(drive, device_id)
                probed_at = loop.time()
            batch = await self._claim(drive, device_id, max(0.0, left_s)) if seen_well else None
            if batch is None:
                failures += device_id in self._sick
                if left_s <= 0:
                    return
                if not seen_well and not drive.leaving.is_set():
                    sick = device_id in self._sick
                    await wait(drive.stirred, self._pause_s(failures) if sick else PROBE_AGAIN_S)
                continue
            if drive.gone.is_set():
                return  # meanwhile; the batch goes back with the device
            last = batch
            able = await self._run_batch(batch)
            idle_since = loop.time()
            failures = 0 if able else failures + 1
            if failures:
                await wait(drive.gone, self._pause_s(failures))
        if last:
            await last.end()

    async def _is_well(self, drive: Drive, device_id: int) -> bool:
        """Asked at first, in quarantine, and after a lost batch: the next one would cost its jobs a loss, too. And now
        and then, before it comes to that."""
        try:
            why = await self._backend.probe(drive.device.name)
        except Exception as error:
            log.exception("probing %s failed", drive.device.name)
            why = f"Probing it failed: {type(error).__name__}: {error}"
        if why:
            log.warning("claiming nothing: %s", why)
        well = await self._engine.report_health(device_id, why)
        (self._sick.discard if well else self._sick.add)(device_id)
        return well

    async def _take(self, drive: Drive) -> int | None:
        """Where a worker that was killed had the device, its lease must run out first. None: it is over before that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 2 * self._options.lease_s
        device, told = drive.device, False
        while not self._draining.is_set() and not drive.gone.is_set():
            try:
                return await self._engine.register_device(device.name, device.target, device.labels)
            except Refused as error:
                if error.code != "device_has_one_worker" or loop.time() > deadline:
                    raise
                if not told:
                    log.warning("%s Waiting for it.", error)
                told = True
                await wait(drive.leaving, 1)
        return None

    async def _claim(self, drive: Drive, device_id: int, wait_s: float) -> BatchRun | None:
        """None also when it is time to leave: what is claimed just then goes back with the device."""
        most_s = drive.device.max_batch_s
        claim = asyncio.create_task(self._engine.claim(device_id, self._options.max_jobs, most_s, wait_s))
        leaving = asyncio.create_task(drive.leaving.wait())
        try:
            await asyncio.wait({claim, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (claim, leaving):
                task.cancel()
            await asyncio.gather(claim, leaving, return_exceptions=True)
        if claim.cancelled():
            return None
        batch = claim.result()
        self._heard_at = asyncio.get_running_loop().time()
        if batch is None:
            return None
        traces = await self._engine.traces(batch.lease) if self._tracing else []
        spans = Spans(self._tracing, batch, traces)
        return BatchRun(self._engine, self._executor, self._backend, batch, self._files, most_s, spans)

    async def _run_batch(self, run: BatchRun) -> bool:
        batch = run.batch
        logs.bind(batch_id=batch.lease, org_id=batch.org_id, device=batch.device)
        log.info(
            "batch %s on %s: %s of %s/%s%s",
            batch.lease,
            batch.device,
            some(batch.jobs, "job"),
            batch.org_id,
            batch.app_version_id,
            ", install" if batch.install else "",
        )
        self._runs[batch.lease] = run
        if self._draining.is_set():
            run.drain()
        try:
            return await run.run()
        finally:
            del self._runs[batch.lease]

    def _pause_s(self, failures: int) -> float:
        return min(2.0 ** min(failures, 10), LONGEST_PAUSE_S)

    def _watch(self, job_id: int) -> None:
        for run in self._runs.values():
            run.watch(job_id)

    async def _beat(self) -> None:
        wait_s = 0.0
        while True:
            running = dict(self._runs)
            beat = await self._engine.heartbeat(wait_s)
            self._heard_at = asyncio.get_running_loop().time()
            for lease, run in running.items():
                if lease not in beat.leases and lease in self._runs:
                    run.lose()
            for lease, run in self._runs.items():
                if lease in beat.empty_leases:
                    run.abandon()
                if lease in beat.drain_leases:
                    run.drain()
                run.cancel(set(beat.stop_jobs))
            if self._sick != set(beat.sick_devices):
                self._sick = set(beat.sick_devices)
                for drive in self._drives.values():
                    drive.stirred.set()
            if beat.draining and not self._draining.is_set():
                self.drain()
            wait_s = min(self._options.lease_s / 3, BEAT_WAIT_S)


def some(things: Sized, what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


async def stopped(task: asyncio.Task[Any]) -> None:
    """What it does in order to end may wait for somebody, too, so that one cancellation is not always enough."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
