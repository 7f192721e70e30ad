"""An executor without processes, for demos, soak tests and simulations. Outcomes follow from the words of a spec's
file name, so that a scenario is a list of paths:

    tests/coupon-fail.spec.js    `fail` fails            tests/cart-flaky.spec.js   `flaky` fails on attempt 1 only
    tests/sync-timeout.spec.js   `timeout` runs over     tests/video-hang.spec.js   `hang` never ends by itself
    tests/native-crash.spec.js   `crash` ends the run without a verdict, as when the runner dies

Anything else passes. Words are whole: `change-password` does not hang. Settings: `duration_s` (0.5) and `jitter` (0..1,
default 0), by which durations differ from spec to spec, but not from run to run.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePosixPath
from typing import Annotated

from msgspec import Meta, Struct

from worker.batch import Batch, BatchJob
from worker.executors import Event, Finished, Log, Options, Prepared, Started


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    duration_s: Annotated[float, Meta(ge=0)] = 0.5
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.0


class SimulatedExecutor:
    """Sleeps instead of testing."""

    def __init__(self, options: Options) -> None:
        self._settings = options.settings_as(Settings)

    async def prepare(self, batch: Batch) -> Prepared:
        return Prepared(batch)

    async def run(self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncIterator[Event]:
        for job in jobs:
            if stop.is_set():
                return
            words = set(re.findall(r"[a-z]+", PurePosixPath(job.test_path).name.lower()))
            seconds = self._duration_s(job.test_path)
            yield Started(job.job_id)
            yield Log(job.job_id, f"{job.test_path} on {prepared.batch.device}, attempt {job.attempt}\n")
            if "crash" in words:
                return
            since = time.monotonic()
            if await _stopped(stop, None if "hang" in words else seconds):
                return
            yield _verdict(job, words, time.monotonic() - since)

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        pass

    def _duration_s(self, test_path: str) -> float:
        share = int.from_bytes(hashlib.sha256(test_path.encode("utf-8", "replace")).digest()[:8]) / 2**64  # 0..1
        return self._settings.duration_s * (1 + self._settings.jitter * (2 * share - 1))


async def _stopped(stop: asyncio.Event, within_s: float | None) -> bool:
    """Whether `stop` was set before the time was over."""
    try:
        async with asyncio.timeout(within_s):
            await stop.wait()
    except TimeoutError:
        return False
    return True


def _verdict(job: BatchJob, words: set[str], duration_s: float) -> Finished:
    if "timeout" in words:
        return Finished(job.job_id, "failed", duration_s, "timeout", "simulated: ran over its time limit")
    message = None
    if "fail" in words:
        message = "simulated: the name says that it fails"
    elif "flaky" in words and job.attempt == 1:
        message = "simulated: flaky, fails on attempt 1"
    test = {
        "title": PurePosixPath(job.test_path).name,
        "status": "passed" if message is None else "failed",
        "duration_s": duration_s,
        "message": message,
    }
    if message is None:
        return Finished(job.job_id, "completed", duration_s, tests=[test])
    return Finished(job.job_id, "failed", duration_s, "test", message, [test])
