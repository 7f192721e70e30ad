"""What a worker asks of the engine, whether it reaches PostgreSQL or only the API. Every call may be repeated, so each
is, until it is answered: none ever fails because of an outage."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from qgjob import logs
from qgjob.models.words import ReleaseReason, Target
from qgjob.models.work import Heartbeat, Trace
from worker.attachments import Stored
from worker.batch import Batch
from worker.devices import Ledger
from worker.executors import Finished

troubles = logs.seldom("worker.engine")
Answer = TypeVar("Answer")
LONGEST_PAUSE_S = 5.0


class LeaseLost(Exception):
    """The batch belongs to somebody else now: stop it and discard its results."""


class Passing(Exception):
    """Nothing was answered, but will be: the message says what stands in the way."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Engine(Ledger, Protocol):
    """One worker's view of the engine; the rules are in the functions under sql/worker/. Methods raise LeaseLost or
    Refused."""

    worker_id: int

    async def register_worker(
        self, name: str, version: str, targets: list[Target], lease_s: int, org_ids: list[str] | None = None
    ) -> None: ...
    async def register_device(self, name: str, target: Target, labels: dict[str, str]) -> int: ...
    async def report_health(self, device_id: int, complaint: str | None) -> bool:
        """Whether the device may work now. `complaint`: why it cannot, after a probe."""
        ...

    async def release_device(self, device_id: int, message: str) -> None:
        """The device is out of sight: it is offline until it is registered again."""
        ...

    async def attend(self, target: Target, watch: Callable[[int], None]) -> None:
        """Until cancelled: hears hints, and does what is everybody's work. `watch` is told of jobs that somebody
        watches, also other workers' jobs."""
        ...

    async def claim(
        self, device_id: int, max_jobs: int, max_s: float | None = None, wait_s: float = 0.0
    ) -> Batch | None:
        """None: there was nothing, for so long or a little less. May be cancelled: what was claimed then is given back
        with the device, or claimed again."""
        ...

    async def traces(self, lease: int) -> list[Trace]:
        """The trace contexts that the jobs of the batch were submitted with."""
        ...

    async def record_install(self, lease: int) -> None: ...
    async def record_session(self, lease: int, session_id: str | None, video_url: str | None) -> None: ...
    async def start(self, lease: int, job_id: int) -> bool:
        """Whether to run it; if not, it was cancelled."""
        ...

    async def finish(self, lease: int, result: Finished, printed: str, stored: Stored | None = None) -> str:
        """The job's status now. `stored`: what became of its files."""
        ...

    async def cancelled(self, lease: int, job_id: int, printed: str) -> None:
        """The job was stopped because that was requested."""
        ...

    async def write_live_log(self, lease: int, job_id: int, after: int, text: str) -> None:
        """More of what a watched job printed; `after` characters came before."""
        ...

    async def release(self, lease: int, reason: ReleaseReason, message: str | None = None) -> None: ...
    async def heartbeat(self, wait_s: float = 0.0) -> Heartbeat:
        """After so long, or as soon as there is something to tell."""
        ...

    async def end(self) -> None: ...


async def until_answered(attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Workers that were cut off together do not come back together."""
    pause = 0.05
    while True:
        try:
            return await attempt()
        except Passing as failure:
            troubles.warning("%s", failure)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(failure.retry_after_s + random.uniform(pause / 2, pause))  # noqa: S311


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Until then, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def storable(text: str | None) -> str | None:
    """PostgreSQL's text holds neither NUL nor halves of surrogate pairs."""
    return text and text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
