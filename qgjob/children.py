"""Child processes that end with whoever started them, however that one ends.

Run as a script it is the watchdog for systems without parent-death signals: it waits for its pipe to close.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


class CannotRun(Exception):
    """A process could not be started, or ended by itself. The message is for people."""

    def __init__(self, message: str, exit_code: int = 5) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Child:
    """A process of its own session (Ctrl-C in the terminal reaches only its owner), printing into a log file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = Path("/"),
        account: tuple[int, int] | None = None,
        with_owner: signal.Signals = signal.SIGKILL,
    ) -> None:
        """`account` is the user and group to become; `with_owner` what the child is sent when its owner is gone."""
        self.name = name
        self.log = log
        self._watchdog: subprocess.Popen[bytes] | None = None
        # The kernel sends the signal when the *thread* that forked ends, so it is of use in the main thread only.
        by_kernel = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        user, group = account or (None, None)
        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                user=user,
                group=group,
                extra_groups=None if account is None else [],
                start_new_session=True,
                preexec_fn=dies_with_owner(with_owner) if by_kernel else None,
            )
        if not by_kernel:
            command = [sys.executable, "-I", __file__, str(self.process.pid), str(int(with_owner))]
            self._watchdog = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def last_lines(self, count: int = 15) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        return ""

    def stop(self, *steps: tuple[signal.Signals, float]) -> int:
        """Send each signal in turn and wait so many seconds for the end; at last kill what is left of the session."""
        try:
            for number, grace in steps:
                if self.running:
                    self.process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.process.wait(grace)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            code = self.process.wait()
            if self._watchdog is not None:
                self._watchdog.kill()  # before its pipe closes, or it would signal a pid that is no longer ours
                self._watchdog.communicate()
        return code


def dies_with_owner(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`, for Linux: the kernel sends the signal to the new process when the forking thread ends."""
    libc = ctypes.CDLL(None)
    owner = os.getpid()

    def between_fork_and_exec() -> None:
        # Runs after the change of user, which would have cleared the setting.
        libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != owner:  # it died before the setting took hold
            os._exit(1)

    return between_fork_and_exec


def wait_until(condition: Callable[[], bool], seconds: float, *, every: float = 0.02) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def free_port() -> int:
    """For a child to listen on. Nobody has it now; another process may take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _watch(pid: int, number: int) -> None:
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), int(sys.argv[2]))
