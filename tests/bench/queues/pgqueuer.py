"""pgqueuer with asyncpg, its faster driver, and a batch of its best size."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg  # type: ignore[import-untyped]
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager
from pgqueuer.types import QueueExecutionMode

from bench.queues.idle import Sample, pause_s


class PgQueuer:
    most_clients = 1
    drained = 20_000
    batch = 100

    def __init__(self, url: str) -> None:
        self.url = url
        asyncio.run(self._install())

    def submit(self, count: int) -> float:
        return asyncio.run(self._submit(count))

    def drain(self, count: int, clients: int, longest_s: float) -> dict[str, float]:
        return {"jobs/s": asyncio.run(self._drain(count, longest_s))}

    def pick_up(self, samples: int) -> list[Sample]:
        return asyncio.run(self._pick_up(samples))

    def close(self) -> None: ...

    @asynccontextmanager
    async def _queries(self) -> AsyncIterator[Queries]:
        connection = await asyncpg.connect(self.url)
        try:
            yield Queries(AsyncpgDriver(connection))
        finally:
            await connection.close()

    async def _install(self) -> None:
        async with self._queries() as queries:
            await queries.install()

    async def _submit(self, count: int) -> float:
        payloads: list[bytes | None] = [f"tests/{n}.spec.ts".encode() for n in range(count)]
        async with self._queries() as queries:
            begin = time.perf_counter()
            await queries.enqueue(["work"] * count, payloads, [0] * count)
            return time.perf_counter() - begin

    async def _drain(self, count: int, longest_s: float) -> float:
        done = 0
        async with self._queries() as filler, self._queries() as queries:
            await filler.clear_queue()
            await filler.enqueue(["work"] * count, [b"tests/one.spec.ts"] * count, [0] * count)
            manager = QueueManager(queries)

            @manager.entrypoint("work")
            async def work(job: Job) -> None:
                nonlocal done
                done += 1

            begin = time.perf_counter()
            asyncio.get_running_loop().call_later(longest_s, manager.shutdown.set)
            await manager.run(batch_size=self.batch, mode=QueueExecutionMode.drain,
                              dequeue_timeout=timedelta(seconds=0.1))  # fmt: skip
            return done / (time.perf_counter() - begin)

    async def _pick_up(self, samples: int) -> list[Sample]:
        taken: list[Sample] = []
        claimed: asyncio.Queue[float] = asyncio.Queue()
        async with self._queries() as submitter, self._queries() as queries:
            await submitter.clear_queue()
            manager = QueueManager(queries)

            @manager.entrypoint("work")
            async def work(job: Job) -> None:
                claimed.put_nowait(time.perf_counter())

            running = asyncio.create_task(manager.run(batch_size=10))
            await asyncio.sleep(0.5)
            for _ in range(samples + 5):
                await asyncio.sleep(0.03 + pause_s())  # its results are written by then
                called = time.perf_counter()
                await submitter.enqueue("work", b"tests/one.spec.ts")
                answered = time.perf_counter()
                async with asyncio.timeout(60):
                    at = await claimed.get()
                taken.append(Sample(max(0.0, at - answered), at - called))
            manager.shutdown.set()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        return taken[5:]
