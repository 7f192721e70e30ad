"""Child processes of executors: each in a process group of its own, of which nothing is left when we are done with it.

Output goes through a pipe of ours, not asyncio's: there Process.wait() hangs on some Python versions for as long as a
grandchild holds the pipe open.
"""

import asyncio
import codecs
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

from qgjob.children import dies_with_owner
from worker.batch import Batch, BatchJob
from worker.config import ConfigError

# What tools need to work at all. Never the worker's own secrets: a test is code of a tenant.
_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "CI"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
    | {"ANDROID_HOME", "ANDROID_SDK_ROOT", "ANDROID_ADB_SERVER_PORT", "ADB_SERVER_SOCKET", "JAVA_HOME", "DEVELOPER_DIR"}
    | {"APPIUM_HOME"}
    | {"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "PLAYWRIGHT_BROWSERS_PATH", "XDG_CACHE_HOME"}
)
_DRAIN_S = 5.0  # for a slow reader of the output; lost when a process that left the group holds the pipe open


def check_names(names: Iterable[str]) -> None:
    """Setting `env`: further variables to pass on. Raises ConfigError for the worker's own."""
    for name in names:
        if name.startswith(("QGJOB_", "PG")):
            raise ConfigError(f"env: {name} is the worker's own and is not passed to tests")


def inherited(names: Iterable[str] = ()) -> dict[str, str]:
    """Of the worker's own environment, what any tool may see, and `names`."""
    wanted = _PASSED_ON.union(names)
    return {name: value for name, value in os.environ.items() if name in wanted}


def environment(batch: Batch, jobs: Sequence[BatchJob], names: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a process that runs `jobs`: a minimal one, `names`, and what the tests may want to know."""
    return inherited(names) | {
        "QGJOB_ORG_ID": batch.org_id,
        "QGJOB_APP_VERSION_ID": batch.app_version_id,
        "QGJOB_TARGET": batch.target,
        "QGJOB_DEVICE": batch.device,
        "QGJOB_ATTEMPTS": json.dumps({job.test_path: job.attempt for job in jobs}),
    }


def how_it_ended(returncode: int) -> str:
    """`exit code 1`, or `SIGKILL` for a process that a signal ended."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


class Child:
    """A running process group, by its leader. `ended` is done once the leader has ended and its output is complete."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, pipe: asyncio.BaseTransport
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._pipe = pipe
        self._drained = asyncio.Event()
        self.ended: asyncio.Task[int] = asyncio.create_task(self._watch())

    async def output(self) -> AsyncIterator[str]:
        """What it prints, until it has ended. Someone must read it, or the process blocks on a full pipe."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while chunk := await self._reader.read(64 * 1024):
            if text := decoder.decode(chunk):
                yield text
        self._drained.set()

    async def interrupt(self, grace_s: float) -> None:
        """SIGINT to the group, so that runners can close what they opened; SIGKILL to what is left after `grace_s`."""
        self._drained.set()  # what it prints from now on is not waited for
        self._signal(signal.SIGINT)
        await asyncio.wait({self.ended}, timeout=grace_s)
        await self.kill()

    async def kill(self) -> int:
        """SIGKILL to whatever is left of the group; the leader's return code."""
        self._signal(signal.SIGKILL)
        return await self.end()

    async def end(self) -> int:
        """The leader's return code, once it has ended."""
        return await asyncio.shield(self.ended)  # whoever waits can be cancelled, the task they share is not

    async def close(self) -> None:
        """Nobody reads on; nothing of the group outlives this."""
        self._drained.set()
        await self.kill()

    async def _watch(self) -> int:
        returncode = await self._process.wait()
        self._signal(signal.SIGKILL)
        # Everything in the group is gone, so the end of its output is at hand, unless a process left the group.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._drained.wait()
        self._pipe.close()
        return returncode

    def _signal(self, number: signal.Signals) -> None:
        # The group's id stays taken while one of the group lives, also after its leader was waited for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


@contextlib.asynccontextmanager
async def started(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> AsyncGenerator[Child, None]:
    """A process in its own group, which is killed on the way out, however that happens. Raises OSError, ValueError."""
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    try:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
                # A worker that is killed must not leave a test running on a device that others will be given.
                preexec_fn=dies_with_owner(signal.SIGKILL) if sys.platform == "linux" else None,
            )
        except BaseException:
            pipe.close()
            raise
    finally:
        os.close(write_end)
    child = Child(process, reader, pipe)
    try:
        yield child
    finally:
        await asyncio.shield(child.close())
