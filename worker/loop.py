"""The worker process: its devices claim and run batches; one heartbeat keeps their leases; hints save waiting.

Stateless: kill it anywhere, and when its leases run out its unfinished jobs go to others.
"""

import asyncio
import logging
import random
from contextlib import aclosing, suppress

import psycopg
from msgspec import Struct

import sql
from qgjob import __version__, logs
from qgjob.models import Target
from qgjob.tracing import Tracing
from worker.batch_run import BatchRun
from worker.devices import Backend, DeviceSpec
from worker.engine import Engine, Refused
from worker.executors import Executor
from worker.results import Files
from worker.spans import Spans

log = logging.getLogger("worker")
LONGEST_PAUSE_S = 30


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
        self.ended = asyncio.Event()


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
        self._hint = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._draining = False
        self._listening = False

    async def run(self, listen_url: str | None) -> None:
        """Until drained, or idle for long enough. Raises Refused when the database does not want this worker."""
        await self._engine.register_worker(
            self._options.name,
            __version__,
            [self._options.target],
            self._options.lease_s,
            self._options.org_ids,
        )
        try:
            await self._work(listen_url)
        finally:
            with suppress(TimeoutError):  # PostgreSQL is gone, too: then the leases run out
                async with asyncio.timeout(self._options.lease_s):
                    await self._engine.end()
            log.info("%s has left", self._options.name)

    async def _work(self, listen_url: str | None) -> None:
        async with asyncio.TaskGroup() as background:
            tasks = [
                background.create_task(self._beat()),
                background.create_task(self._housekeep()),
                background.create_task(self._listen(listen_url)),
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
                    log.info("%s is worker %s and drives %s devices", name, self._engine.worker_id, len(now))
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
        log.warning("%s is gone", drive.device.name)
        for run in self._runs.values():
            if run.batch.device == drive.device.name:
                run.lose_device(f"{drive.device.name} is not connected any more.")
        self._wake()

    def drain(self) -> None:
        """The first time: finish the running tests and leave. The second time: give everything back at once."""
        at_once, self._draining = self._draining, True
        log.info("giving back everything" if at_once else "draining: finishing what runs")
        for run in self._runs.values():
            run.drain(at_once=at_once)
        self._leaving.set()
        self._wake()

    async def _drive(self, drive: Drive, last: Drive | None) -> None:
        if last:
            await last.ended.wait()
        device_id = await self._take(drive)
        if device_id is not None:
            await self._serve(drive, device_id)
            if drive.gone.is_set():
                await self._engine.release_device(device_id, f"{drive.device.name} is not connected any more.")
        drive.ended.set()
        if not drive.gone.is_set() and all(other.ended.is_set() for other in self._drives.values()):
            self._leaving.set()  # every device was idle for long enough

    async def _serve(self, drive: Drive, device_id: int) -> None:
        """Until it is gone, idle for too long, or the worker drains."""
        loop = asyncio.get_running_loop()
        idle_since, failures, seen_well = loop.time(), 0, False
        while not self._draining and not drive.gone.is_set():
            hint = self._hint  # before claiming: a hint that comes meanwhile counts
            batch = None
            if failures or device_id in self._sick or not seen_well:
                seen_well = await self._is_well(drive, device_id)
            if seen_well:
                # Twice, for the first claim that finds nothing is what asks for hints: a submission may slip in before.
                batch = await self._claim(device_id, drive.device) or await self._claim(device_id, drive.device)
            if batch is None:
                failures += device_id in self._sick
                idle_s = loop.time() - idle_since
                if self._options.max_idle_s is not None and idle_s >= self._options.max_idle_s:
                    return
                await self._wait(hint, self._pause_s(failures) if device_id in self._sick else self._poll_s())
                continue
            if drive.gone.is_set():
                return  # meanwhile; the batch goes back with the device
            able = await self._run_batch(batch)
            idle_since = loop.time()
            failures = 0 if able else failures + 1
            if failures:
                await self._wait(drive.gone, self._pause_s(failures))

    async def _is_well(self, drive: Drive, device_id: int) -> bool:
        """Asked at first, in quarantine, and after a lost batch: the next one would cost its jobs a loss, too."""
        why = await self._backend.probe(drive.device.name)
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
        while not self._draining and not drive.gone.is_set():
            try:
                return await self._engine.register_device(device.name, device.target, device.labels)
            except Refused as error:
                if error.rule != "device_has_one_worker" or loop.time() > deadline:
                    raise
                if not told:
                    log.info("%s Waiting for it.", error)
                told = True
                await self._wait(self._hint, 1)
        return None

    async def _claim(self, device_id: int, device: DeviceSpec) -> BatchRun | None:
        batch = await self._engine.claim(device_id, self._options.max_jobs, device.max_batch_s)
        if batch is None:
            return None
        traces = await self._engine.traces(batch.lease) if self._tracing else []
        spans = Spans(self._tracing, batch, traces)
        return BatchRun(self._engine, self._executor, self._backend, batch, self._files, device.max_batch_s, spans)

    async def _run_batch(self, run: BatchRun) -> bool:
        batch = run.batch
        logs.bind(batch_id=batch.lease, org_id=batch.org_id, device=batch.device)
        log.info(
            "batch %s on %s: %s jobs of %s/%s%s",
            batch.lease,
            batch.device,
            len(batch.jobs),
            batch.org_id,
            batch.app_version_id,
            ", install" if batch.install else "",
        )
        self._runs[batch.lease] = run
        if self._draining:
            run.drain()
        try:
            return await run.run()
        finally:
            del self._runs[batch.lease]

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def _pause_s(self, failures: int) -> float:
        return min(2.0 ** min(failures, 10), LONGEST_PAUSE_S)

    def _poll_s(self) -> float:
        """Slowly while hints are heard, and never all workers together."""
        return random.uniform(4, 6) if self._listening else random.uniform(0.5, 1)  # noqa: S311

    def _wake(self) -> None:
        woken, self._hint = self._hint, asyncio.Event()
        woken.set()

    def _watch(self, payload: str) -> None:
        if payload.isascii() and payload.isdigit():  # anybody may notify
            for run in self._runs.values():
                run.watch(int(payload))

    async def _beat(self) -> None:
        while True:
            self._beat_now.clear()
            running = dict(self._runs)
            beat = await self._engine.heartbeat()
            for lease, run in running.items():
                if lease not in beat.leases and lease in self._runs:
                    run.lose()
                if lease in beat.empty_leases:
                    run.abandon()
                if lease in beat.drain_leases:
                    run.drain()
                run.cancel(set(beat.stop_jobs))
            if self._sick != set(beat.sick_devices):
                self._sick = set(beat.sick_devices)
                self._wake()
            if beat.draining and not self._draining:
                self.drain()
            await self._wait(self._beat_now, self._options.lease_s / 3)

    async def _housekeep(self) -> None:
        while True:
            while await self._engine.housekeep():
                pass
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    async def _listen(self, url: str | None) -> None:
        while url:
            try:
                async with await sql.listen(url, "qgjob_work", "qgjob_worker", "qgjob_log") as connection:
                    self._listening = True
                    self._wake()
                    async for notification in connection.notifies():
                        if notification.channel == "qgjob_work" and notification.payload == self._options.target:
                            self._wake()
                        elif notification.channel == "qgjob_log":
                            self._watch(notification.payload)
                        elif notification.payload == str(self._engine.worker_id):
                            self._beat_now.set()
            except psycopg.Error as error:
                log.warning("not listening, polling instead: %s", str(error).strip())
            self._listening = False
            await asyncio.sleep(1)
