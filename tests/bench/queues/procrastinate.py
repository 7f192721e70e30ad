"""procrastinate with its asynchronous connector and ten jobs at a time."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import procrastinate
from procrastinate.tasks import Task
from procrastinate.types import JSONDict

from bench.queues.idle import Sample, pause_s

CONCURRENCY = 10


class Procrastinate:
    most_clients = 1
    drained = 2_000

    def __init__(self, url: str) -> None:
        self.url = url
        self._events: list[float] = []
        self._arrived: asyncio.Event | None = None
        logging.getLogger("procrastinate").setLevel(logging.ERROR)
        asyncio.run(self._install())

    def submit(self, count: int) -> float:
        return asyncio.run(self._submit(count))

    def drain(self, count: int, clients: int, longest_s: float) -> dict[str, float]:
        return {"jobs/s": asyncio.run(self._drain(count, longest_s))}

    def pick_up(self, samples: int) -> list[Sample]:
        return asyncio.run(self._pick_up(samples))

    def close(self) -> None: ...

    @asynccontextmanager
    async def _app(self) -> AsyncIterator[tuple[procrastinate.App, Task]]:  # type: ignore[type-arg]
        connector = procrastinate.PsycopgConnector(conninfo=self.url, min_size=2, max_size=CONCURRENCY + 4)
        app = procrastinate.App(connector=connector)

        @app.task(name="work")
        async def work(test_path: str) -> None:
            self._events.append(time.perf_counter())
            if self._arrived:
                self._arrived.set()

        async with app.open_async():
            yield app, work

    async def _install(self) -> None:
        async with self._app() as (app, _):
            await app.schema_manager.apply_schema_async()

    async def _submit(self, count: int) -> float:
        jobs: list[JSONDict] = [{"test_path": f"tests/{n}.spec.ts"} for n in range(count)]
        async with self._app() as (_, work):
            begin = time.perf_counter()
            await work.batch_defer_async(*jobs)
            return time.perf_counter() - begin

    async def _drain(self, count: int, longest_s: float) -> float:
        async with self._app() as (app, work):
            await app.connector.execute_query_async("truncate procrastinate_jobs cascade")
            jobs: list[JSONDict] = [{"test_path": "tests/one.spec.ts"}] * count
            await work.batch_defer_async(*jobs)
            self._events.clear()
            begin = time.perf_counter()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest_s):
                    await app.run_worker_async(
                        wait=False, concurrency=CONCURRENCY, listen_notify=False, install_signal_handlers=False,
                        delete_jobs="always")  # fmt: skip
            return len(self._events) / (time.perf_counter() - begin)

    async def _pick_up(self, samples: int) -> list[Sample]:
        taken: list[Sample] = []
        self._events.clear()
        async with self._app() as (app, work):
            await app.connector.execute_query_async("truncate procrastinate_jobs cascade")
            self._arrived = asyncio.Event()
            running = asyncio.create_task(
                app.run_worker_async(wait=True, install_signal_handlers=False, delete_jobs="always"))  # fmt: skip
            await asyncio.sleep(0.5)
            for _ in range(samples + 5):
                await asyncio.sleep(0.02 + pause_s())
                self._arrived.clear()
                called = time.perf_counter()
                await work.defer_async(test_path="tests/one.spec.ts")
                answered = time.perf_counter()
                async with asyncio.timeout(60):
                    await self._arrived.wait()
                taken.append(Sample(max(0.0, self._events[-1] - answered), self._events[-1] - called))
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            self._arrived = None
        return taken[5:]
