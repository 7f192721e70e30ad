"""What running a batch means. An executor is found by its name among the entry points `qgjob.executors`.

The worker owns everything else: leases, heartbeats, results, retries, time limits of a job, cancellation. For each
batch it calls prepare once, run once or more, and cleanup always:

- `run` yields Started and Finished for a job as each happens, and may yield Log at any time for a started job.
- A job without a Finished counts as not run. The worker calls `run` again with what is left as long as each call
  makes progress, so an executor may simply end when its runner dies. Where what it prepared is lost, a session for
  instance, it raises PrepareError: the batch ends there, and what is left goes back to its group.
- When `stop` is set, `run` ends its processes and returns within a few seconds; a Finished for the job it had to
  interrupt is not wanted: the worker knows why it stopped it.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from qgjob.models.words import FailureKind
from worker.batch import Batch, BatchJob, File
from worker.config import ConfigError, Settings, settings_as
from worker.devices import Backend


class Prepared(Struct):
    """What prepare hands to run and cleanup; `handle` is the executor's own. `session_id` is known after prepare,
    `video_url` perhaps only after cleanup: the worker stores both with the batch."""

    batch: Batch
    handle: Any = None
    session_id: str | None = None
    video_url: str | None = None


class Started(Struct, frozen=True):
    """The job runs on the device from now on."""

    job_id: int


class Log(Struct, frozen=True):
    """Something a started job printed."""

    job_id: int
    text: str


class Finished(Struct, frozen=True):
    """The verdict of one job. `tests`: `{"title", "status", "duration_s", "message"}` per test in the spec. `reset_s`:
    the part of `duration_s` that went into resetting the app. `video_offset_s`: where the job begins in the video.
    `permanent`: another attempt would fail alike, as of a spec that does not load, so none is made."""

    job_id: int
    status: Literal["completed", "failed"]
    duration_s: float
    failure_kind: FailureKind | None = None
    message: str | None = None
    tests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    files: list[File] = field(default_factory=list[File])
    reset_s: float = 0.0
    video_offset_s: float | None = None
    permanent: bool = False


Event = Started | Log | Finished


class Executor(Protocol):
    """One instance serves every device of a worker, concurrently."""

    async def prepare(self, batch: Batch) -> Prepared:
        """Once per batch, after the build is installed. Raises PrepareError."""
        ...

    def run(self, prepared: Prepared, jobs: Sequence[BatchJob], stop: asyncio.Event) -> AsyncGenerator[Event, None]:
        """Run the jobs one after the other and stream what happens."""
        ...

    async def cleanup(self, prepared: Prepared, *, failed: bool) -> None:
        """Always called, once, after prepare succeeded. Must not raise."""
        ...


class Options(Struct, frozen=True):
    """What `python -m worker` hands to the executor it starts."""

    project: Path
    backend: Backend
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def settings_as(self, shape: type[Settings]) -> Settings:
        """Raises ConfigError."""
        return settings_as(shape, self.settings, "--setting")


def load(name: str, options: Options) -> Executor:
    """The executor of that name. Raises ConfigError, naming the installed ones."""
    found = {entry.name: entry for entry in entry_points(group="qgjob.executors")}
    if name not in found:
        raise ConfigError(f"no executor {name!r}; installed: {', '.join(sorted(found))}")
    executor: Executor = found[name].load()(options)
    return executor
