"""A phone is driven by one worker of a machine: two would install over each other's tests, and neither would notice."""

import contextlib
import fcntl
import os
import re
import tempfile
from pathlib import Path


def hold(serial: str) -> int | None:
    """A file descriptor that holds the device until it is closed, or the process ends; None: another worker has it.

    Between machines, containers and adb servers a serial says nothing: each has its own. Where no file can be kept,
    nobody can tell, and the device is taken."""
    server = os.environ.get("ADB_SERVER_SOCKET") or os.environ.get("ANDROID_ADB_SERVER_PORT") or "5037"
    name = re.sub(r"[^\w.-]+", "-", f"qgjob-adb-{server}-{serial}")[:200]
    try:
        descriptor = _opened(Path(tempfile.gettempdir()) / f"{name}.lock")
    except OSError:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # not on this file system
        pass
    return descriptor


def _opened(path: Path) -> int:
    """To be read only, and not created where it is there: it may be another user's."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY)
    return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
