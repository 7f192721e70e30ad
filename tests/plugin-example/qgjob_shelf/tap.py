"""An executor for programs that speak TAP, the Test Anything Protocol: `ok 1 - title` or `not ok 2 - title`, a line for
each test."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence

from worker import processes
from worker.batch import Batch, BatchJob
from worker.executors import Event, Finished, Log, Options, Prepared, Started, specs

LINE = re.compile(r"(not )?ok\b[ \d]*-? ?(.*)")


class TapExecutor:
    def __init__(self, options: Options) -> None:
        self._project = options.project
        self._backend = options.backend

    async def prepare(self, batch: Batch) -> Prepared:
        return Prepared(batch)

    async def run(
        self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event
    ) -> AsyncGenerator[Event, None]:
        for job in jobs:
            if stop.is_set():
                return
            yield Started(job.job_id)
            began = time.monotonic()
            try:
                program = specs.locate(self._project, job.test_path)
            except specs.SpecError as error:
                yield Finished(job.job_id, "failed", 0.0, "test", str(error), permanent=True)
                continue
            await self._backend.reset(prepared.batch)
            environment = processes.environment(prepared.batch, [job]) | self._backend.environment(prepared.batch)
            printed = ""
            # Its own process group, which is killed on the way out, whatever happens.
            async with processes.started([str(program)], cwd=self._project, env=environment) as child:
                stopping = asyncio.create_task(self._interrupt(stop, child))
                async for text in child.output():
                    printed += text
                    yield Log(job.job_id, text)
                await child.end()
                stopping.cancel()
            if stop.is_set():
                return  # the worker knows why it stopped it
            found = [LINE.fullmatch(line) for line in printed.splitlines()]
            tests = [
                {"title": line[2], "status": "failed" if line[1] else "passed", "duration_s": 0.0, "message": None}
                for line in found
                if line
            ]
            failed = [test["title"] for test in tests if test["status"] == "failed"]
            spent = time.monotonic() - began
            if not tests:
                yield Finished(job.job_id, "failed", spent, "infrastructure", "it printed no TAP")
            elif failed:
                yield Finished(job.job_id, "failed", spent, "test", f"not ok: {failed[0]}", tests)
            else:
                yield Finished(job.job_id, "completed", spent, tests=tests)

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        pass

    async def _interrupt(self, stop: asyncio.Event, child: processes.Child) -> None:
        await stop.wait()
        await child.interrupt(5)
