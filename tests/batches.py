"""Batches for tests of executors, and the ways a worker drives an executor."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from worker.batch import Batch, BatchJob
from worker.devices import Backend, load
from worker.devices import Options as BackendOptions
from worker.executors import Event, Executor, Finished, Log, Started


def no_devices() -> Backend:
    """For executors that need no device."""
    return load("none", BackendOptions("emu", "emulator"))


def batch(*paths: str, attempt: int = 1) -> Batch:
    """One job a path; job ids count from 1."""
    return Batch(
        lease=7,
        epoch=1,
        org_id="acme",
        app_version_id="v1.2.3",
        target="emulator",
        selector={},
        reset="none",
        build="b",
        install=False,
        device="emu-1",
        jobs=[BatchJob(number, path, 60, attempt) for number, path in enumerate(paths, 1)],
    )


StopWhen = Callable[[list[Event]], bool]


async def drive(executor: Executor, of: Batch, *, stop_when: StopWhen | None = None) -> list[Event]:
    """Prepare, one call of run, cleanup. `stop_when` is asked after each event, and while none comes."""
    stop = asyncio.Event()
    seen: list[Event] = []
    prepared = await executor.prepare(of)

    async def watch(ready: StopWhen) -> None:
        while not ready(seen):  # noqa: ASYNC110  what it waits for may be on disk
            await asyncio.sleep(0.01)
        stop.set()

    watching = asyncio.create_task(watch(stop_when)) if stop_when else None
    try:
        async with asyncio.timeout(60):
            async for event in executor.run(prepared, of.jobs, stop):
                seen.append(event)
    finally:
        if watching:
            watching.cancel()
        await executor.cleanup(prepared, failed=False)
    return seen


def run(executor: Executor, of: Batch, *, stop_when: StopWhen | None = None) -> list[Event]:
    """`drive` in a loop of its own."""
    return asyncio.run(drive(executor, of, stop_when=stop_when))


def rerun(executor: Executor, of: Batch) -> dict[int, Finished]:
    """Calls run again with what is left as long as that makes progress, as the worker does."""

    async def all_of_it() -> dict[int, Finished]:
        verdicts: dict[int, Finished] = {}
        prepared = await executor.prepare(of)
        try:
            async with asyncio.timeout(120):
                while left := [job for job in of.jobs if job.job_id not in verdicts]:
                    before = len(verdicts)
                    async with contextlib.aclosing(executor.run(prepared, left, asyncio.Event())) as events:  # type: ignore[type-var]
                        async for event in events:
                            if isinstance(event, Finished):
                                assert event.job_id not in verdicts, "two verdicts for one job"
                                verdicts[event.job_id] = event
                    if len(verdicts) == before:
                        break
        finally:
            await executor.cleanup(prepared, failed=False)
        return verdicts

    return asyncio.run(all_of_it())


def finished(events: Sequence[Event]) -> dict[int, Finished]:
    """The verdicts by job. Each job has at most one, and was started before it."""
    started: set[int] = set()
    verdicts: dict[int, Finished] = {}
    for event in events:
        if isinstance(event, Started):
            assert event.job_id not in started, "started twice"
            started.add(event.job_id)
        else:
            assert event.job_id in started, f"{event} before its start"
            assert event.job_id not in verdicts, f"{event} after its end"
        if isinstance(event, Finished):
            verdicts[event.job_id] = event
    return verdicts


def printed(events: Sequence[Event], job_id: int = 1) -> str:
    """All that a job logged."""
    return "".join(event.text for event in events if isinstance(event, Log) and event.job_id == job_id)


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process ends; one that is dead and not waited for yet has ended, too."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.02)
    return False


def pids(directory: Path) -> list[int]:
    """What specs wrote into files named by their process id."""
    return [int(path.name) for path in directory.iterdir() if path.name.isdigit()]
