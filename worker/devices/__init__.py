"""What drives the phones. A backend finds devices, installs builds on them and knows whether that worked; it is found
by its name among the entry points `qgjob.backends`.

The worker calls `watch` for as long as it lives, and for each batch: `install` where the device does not hold the
build, then whatever its executor needs, and `evidence` after a failed job. Executors reach the backend by their
options: `reset` between two jobs, `open_session` and `close_session` where tests speak WebDriver.
"""

from collections.abc import AsyncGenerator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, field

from qgjob.models.words import Target
from qgjob.models.work import Upload
from worker.batch import Batch, BatchJob, File
from worker.config import ConfigError, Settings, settings_as


class DeviceSpec(Struct, frozen=True):
    """A device to work with. `labels` are what selectors name; adb adds platform, model and release by itself.
    `max_batch_s`: for how long it can work on one batch; what has not begun by then goes back."""

    name: str
    target: Target
    labels: dict[str, str]
    max_batch_s: float | None = None


class Session(Struct, frozen=True):
    """An open WebDriver session. `url`: of the server, up to `/session`; `auth`: (user, key) for HTTP basic, which is
    for the process that attaches to the session and for nothing that is kept."""

    url: str
    session_id: str
    capabilities: dict[str, Any]
    app_id: str | None
    auth: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"Session(url={self.url!r}, session_id={self.session_id!r})"


class Ledger(Protocol):
    """What all workers on one account of a provider must know of each other; PostgreSQL keeps it. `account` is a hash.
    The rules are in the functions of the same names under sql/worker/."""

    async def find_upload(self, provider: str, account: str, sha256: str) -> Upload: ...
    async def record_upload(self, provider: str, account: str, sha256: str, url: str) -> None: ...
    async def forget_upload(self, provider: str, account: str, sha256: str, url: str | None = None) -> None: ...
    async def list_sessions(self, account: str) -> list[int]: ...
    async def admit_session(self, lease: int, account: str, allowed: int, running: int, known: list[int]) -> bool: ...


class Backend(Protocol):
    """One instance serves every device of a worker, concurrently. Methods that talk to a device raise PrepareError."""

    def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        """The devices that can work: at once, and all of them again each time one comes or goes."""
        ...

    def environment(self, batch: Batch) -> dict[str, str]:
        """What the processes that run the batch's tests need to know of its device."""
        ...

    async def install(self, batch: Batch) -> None:
        """Put the batch's build on its device and verify, by content, that it is there."""
        ...

    async def reset(self, batch: Batch) -> None:
        """What `batch.reset` asks for between two jobs."""
        ...

    def require_sessions(self) -> None:
        """Raises ConfigError where no session can be opened, so that a worker whose executor needs them says so when
        it starts."""
        ...

    async def open_session(self, batch: Batch) -> Session:
        """A WebDriver session on the batch's device, with the installed build in it."""
        ...

    async def close_session(self, session: Session, *, failed: bool) -> str | None:
        """Always called once for a session; never raises. The URL of its video, where the provider makes one."""
        ...

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        """Written to `folder` after a failed job that started `since_s` seconds ago: a log, a screenshot. Never
        raises."""
        ...

    async def lost(self, device: str) -> str | None:
        """Why the device does not answer, in words; None: it does. Asked before a verdict is believed: a test whose
        device is unplugged fails, or even passes, before `watch` tells. Never raises, never takes more than some
        seconds."""
        ...

    async def probe(self, device: str) -> str | None:
        """Why the device cannot work now, in words; None: it can. Never raises, never takes more than some seconds."""
        ...

    async def close(self) -> None:
        """The worker leaves: end what was started."""
        ...


@runtime_checkable
class Recorder(Protocol):
    """A backend whose sessions are recorded and watched by somebody else: it is told what happens in them."""

    async def begins(self, batch: Batch, job: BatchJob) -> None:
        """The job runs in the batch's session from now on. Never raises."""
        ...

    async def ended(self, batch: Batch, job: BatchJob, verdict: str) -> None:
        """The job has this verdict: completed, or a kind of failure. Never raises."""
        ...


class Options(Struct, frozen=True):
    """What `python -m worker` hands to the backend it starts. `name`, `devices`, `labels` and `project` are its own
    flags."""

    name: str
    target: Target
    devices: int = 1
    labels: dict[str, str] = field(default_factory=dict[str, str])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    ledger: Ledger | None = None
    project: Path = Path()

    def settings_as(self, shape: type[Settings]) -> Settings:
        """Raises ConfigError."""
        return settings_as(shape, self.settings, "--backend-setting")


def load(name: str, options: Options) -> Backend:
    """The backend of that name. Raises ConfigError, naming the installed ones."""
    found = {entry.name: entry for entry in entry_points(group="qgjob.backends")}
    if name not in found:
        raise ConfigError(f"no backend {name!r}; installed: {', '.join(sorted(found))}")
    backend: Backend = found[name].load()(options)
    return backend
