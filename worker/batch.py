"""A claimed batch as executors and device backends see it, and the error that says that it cannot be run here."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

from qgjob.models.words import Reset, Selector, Target

Blame = Literal["device", "app", "source", "provider", "config"]


class BatchJob(Struct, frozen=True):
    """A job as a batch carries it. `attempt` is 1 for the first execution."""

    job_id: int
    test_path: str
    timeout_s: int
    attempt: int


class Artifact(Struct, frozen=True):
    """What is installed. `url`: a key of the object store, http(s)://, file:// or bs://. `sha256`: hex, of the content.
    `app_id`: package name or bundle id, where it is known."""

    url: str
    sha256: str
    app_id: str | None = None


class Batch(Struct, frozen=True):
    """Jobs of one group, claimed by one device under one lease. `install`: the device does not hold the build yet.
    `artifact` is None for a build that has none for this platform: then nothing can be installed, only assumed."""

    lease: int
    epoch: int
    org_id: str
    app_version_id: str
    target: Target
    selector: Selector
    reset: Reset
    build: str
    install: bool
    device: str
    jobs: list[BatchJob]
    artifact: Artifact | None = None


class File(Struct, frozen=True):
    """Something to keep with a result: a screenshot, a log, a trace. It is read once the job has finished."""

    name: str
    content_type: str
    path: Path


class PrepareError(Exception):
    """The batch cannot be run here; its message is for people.

    `blame` decides what follows: `device` is a loss, the jobs go elsewhere; `source` is a build whose file this worker
    cannot have, a loss that says nothing of the device; `provider` has no room or is down, the jobs wait and lose
    nothing; `app` is a build that no device will take, its jobs fail; `config` is a worker that cannot do this kind of
    work.
    """

    def __init__(self, message: str, blame: Blame = "device") -> None:
        super().__init__(message)
        self.blame: Blame = blame
