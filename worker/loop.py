"""The worker process: its devices claim and run batches; one heartbeat keeps their leases; hints save waiting.

Stateless: kill it anywhere, and when its leases run out its unfinished jobs go to others.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from msgspec import Struct

import sql
from qgjob import __version__
from qgjob.models import Target
from worker.batch_run import BatchRun, Files
from worker.devices import Backend, DeviceSpec
from worker.engine import Engine, Refused
from worker.executors import Executor

log = logging.getLogger("worker")
LONGEST_PAUSE_S = 30


class Options(Struct, frozen=True):
    """`max_idle_s`: leave after so long without work; 0 leaves as soon as nothing is pending."""

    name: str
    lease_s: int
    max_jobs: int
    max_idle_s: float | None


class Worker:
    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        backend: Backend,
        devices: Sequence[DeviceSpec],
        options: Options,
        files: Files,
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._backend = backend
        self._devices = devices
        self._options = options
        self._files = files
        self._runs: dict[int, BatchRun] = {}
        self._hint = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._draining = False
        self._listening = False

    async def run(self, listen_url: str | None) -> None:
        """Until drained, or idle for long enough. Raises Refused when the database does not want this worker."""
        targets: list[Target] = sorted({device.target for device in self._devices})
        await self._engine.register_worker(self._options.name, __version__, targets, self._options.lease_s)
        log.info(
            "%s is worker %s and drives %s devices", self._options.name, self._engine.worker_id, len(self._devices)
        )
        try:
            await self._work(targets, listen_url)
        finally:
            with suppress(TimeoutError):  # PostgreSQL is gone, too: then the leases run out
                async with asyncio.timeout(self._options.lease_s):
                    await self._engine.end()
            log.info("%s has left", self._options.name)

    async def _work(self, targets: list[Target], listen_url: str | None) -> None:
        async with asyncio.TaskGroup() as background:
            tasks = [
                background.create_task(self._beat()),
                background.create_task(self._housekeep()),
                background.create_task(self._listen(listen_url)),
            ]
            try:
                async with asyncio.TaskGroup() as group:
                    for device in self._devices:
                        group.create_task(self._drive(device))
            finally:
                for task in tasks:
                    task.cancel()

    def drain(self) -> None:
        """The first time: finish the running tests and leave. The second time: give everything back at once."""
        at_once, self._draining = self._draining, True
        log.info("giving back everything" if at_once else "draining: finishing what runs")
        for run in self._runs.values():
            run.drain(at_once=at_once)
        self._wake()

    async def _drive(self, device: DeviceSpec) -> None:
        loop = asyncio.get_running_loop()
        device_id = await self._take(device)
        if device_id is None:
            return
        idle_since, failures = loop.time(), 0
        while not self._draining:
            hint = self._hint  # before claiming: a hint that comes meanwhile counts
            # Twice, for the first claim that finds nothing is what asks for hints: a submission may slip in before it.
            batch = await self._claim(device_id) or await self._claim(device_id)
            if batch is None:
                idle_s = loop.time() - idle_since
                if self._options.max_idle_s is not None and idle_s >= self._options.max_idle_s:
                    return
                await self._wait(hint, self._poll_s())
                continue
            able = await self._run_batch(batch)
            idle_since = loop.time()
            failures = 0 if able else failures + 1
            if failures:
                await self._wait(asyncio.Event(), min(2.0**failures, LONGEST_PAUSE_S))

    async def _take(self, device: DeviceSpec) -> int | None:
        """Where a worker that was killed had the device, its lease must run out first. None: drained meanwhile."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 2 * self._options.lease_s
        told = False
        while not self._draining:
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

    async def _claim(self, device_id: int) -> BatchRun | None:
        batch = await self._engine.claim(device_id, self._options.max_jobs)
        return BatchRun(self._engine, self._executor, self._backend, batch, self._files) if batch else None

    async def _run_batch(self, run: BatchRun) -> bool:
        batch = run.batch
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
                run.cancel(set(beat.stop_jobs))
            if beat.draining and not self._draining:
                self.drain()
            await self._wait(self._beat_now, self._options.lease_s / 3)

    async def _housekeep(self) -> None:
        while True:
            while await self._engine.housekeep():
                pass
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    async def _listen(self, url: str | None) -> None:
        targets = {device.target for device in self._devices}
        while url:
            try:
                async with await sql.listen(url, "qgjob_work", "qgjob_worker", "qgjob_log") as connection:
                    self._listening = True
                    self._wake()
                    async for notification in connection.notifies():
                        if notification.channel == "qgjob_work" and notification.payload in targets:
                            self._wake()
                        elif notification.channel == "qgjob_log":
                            self._watch(notification.payload)
                        elif notification.payload == str(self._engine.worker_id):
                            self._beat_now.set()
            except psycopg.Error as error:
                log.warning("not listening, polling instead: %s", str(error).strip())
            self._listening = False
            await asyncio.sleep(1)
