"""The `adb` program: every call a process with a time limit, killed by its id when that is over or nobody waits for it.

One program for all devices, because Appium and the tests' own tools need the same adb server anyway."""

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from typing import NamedTuple

from qgjob.children import dies_with_owner
from worker.batch import PrepareError
from worker.config import ConfigError

QUICK_S = 10.0
_APP_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")

# What adb says of a device that it cannot reach, and what that means to whoever has to do something about it.
_UNREACHABLE = (
    (r"device '.*' not found|device not found|no devices/emulators found", "is not connected"),
    (r"device unauthorized|device still authorizing", "has not accepted this computer: allow it on its screen"),
    (r"device offline|device still connecting", "is offline: adb sees it, but it does not answer"),
    (r"no permissions", "may not be opened by this user: a udev rule is missing"),
    (r"cannot connect to daemon|failed to check server version", "has no adb server to speak through"),
    (r"^error: closed$|protocol fault|connection reset|broken pipe", "broke the connection off"),
)  # fmt: skip


class AdbError(PrepareError):
    """adb did not reach the device, or the device did not answer in time."""


class Answer(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace").replace("\r\n", "\n").strip()

    @property
    def words(self) -> str:
        """All of it, for a message."""
        return "\n".join(part for part in (self.text, self.err.strip()) if part)


def is_app_id(text: str) -> bool:
    """Whether it is a package name, and so safe in a command line of the device's shell."""
    return _APP_ID.fullmatch(text) is not None


def unreachable(serial: str, words: str) -> str | None:
    """The same for people, if this is what adb says of a device that it cannot reach."""
    for pattern, meaning in _UNREACHABLE:
        if re.search(pattern, words, re.IGNORECASE | re.MULTILINE):
            return f"{serial} {meaning}."
    return None


class Adb:
    def __init__(self, program: str) -> None:
        found = shutil.which(program)
        if found is None:
            raise ConfigError(
                f"no program {program!r}: install the Android platform tools, or name adb with "
                "--backend-setting adb=/path/to/adb"
            )
        self._program = found
        # The server that adb leaves behind keeps this environment: nothing of the worker's own in it.
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(("QGJOB_", "PG"))}

    async def shell(self, serial: str, *words: str, limit_s: float = QUICK_S) -> Answer:
        """A command of the device, each word as it is."""
        return await self.script(serial, shlex.join(words), limit_s=limit_s)

    async def script(self, serial: str, line: str, *, limit_s: float = QUICK_S) -> Answer:
        """A line for the device's shell. Raises AdbError."""
        return await self.of(serial, "shell", line, limit_s=limit_s)

    async def of(self, serial: str, *words: str, limit_s: float = QUICK_S) -> Answer:
        """`adb -s SERIAL …`. Raises AdbError where the device was not reached; else the answer, good or bad."""
        answer = await self.run("-s", serial, *words, limit_s=limit_s)
        # Only where adb itself failed: a command's own output may hold the same words.
        if answer.code and (why := unreachable(serial, answer.err)):
            raise AdbError(why)
        return answer

    async def run(self, *words: str, limit_s: float = QUICK_S) -> Answer:
        """`adb …`. Raises AdbError when it takes longer than `limit_s`."""
        async with self.started(*words) as process:
            try:
                async with asyncio.timeout(limit_s):
                    out, err = await process.communicate()
            except TimeoutError:
                what = shlex.join(words[2:] if words[:1] == ("-s",) else words)
                whose = f"{words[1]} did not answer" if words[:1] == ("-s",) else "adb did not answer"
                raise AdbError(f"{whose} within {limit_s:g} s: {what[:100]}") from None
        return Answer(process.returncode or 0, out, err.decode(errors="replace"))

    @contextlib.asynccontextmanager
    async def started(self, *words: str) -> AsyncGenerator[asyncio.subprocess.Process, None]:
        """The process, which is killed on the way out, however that happens. The adb server that it may have started
        is in a session of its own and stays."""
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *words,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                preexec_fn=dies_with_owner(signal.SIGKILL) if sys.platform == "linux" else None,
            )
        except OSError as error:
            raise AdbError(f"adb cannot be started: {error}") from None
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
