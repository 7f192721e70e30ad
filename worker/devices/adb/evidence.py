"""What a device can tell after a failed test: its log since the test began, and what its screen shows."""

import logging
from pathlib import Path

from worker.batch import File, PrepareError
from worker.devices.adb.client import Adb

log = logging.getLogger("worker")
LOG_BYTES = 1024 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"


async def collect(adb: Adb, serial: str, folder: Path, since_s: float) -> list[File]:
    """What could be had; never raises."""
    found: list[File] = []
    for collector in (_screenshot, _logcat):  # first what changes
        try:
            if file := await collector(adb, serial, folder, since_s):
                found.append(file)
        except (PrepareError, OSError) as error:
            log.warning("no evidence from %s: %s", serial, error)
    return found


async def _logcat(adb: Adb, serial: str, folder: Path, since_s: float) -> File | None:
    # By the device's own clock: it may be off by any amount.
    line = f"logcat -d -v threadtime -T $(($(date +%s) - {int(since_s) + 1})).000 | tail -c {LOG_BYTES}"
    answer = await adb.script(serial, line, limit_s=30)
    return _write(folder, "logcat.txt", "text/plain", answer.out) if answer.out else None


async def _screenshot(adb: Adb, serial: str, folder: Path, _: float) -> File | None:
    answer = await adb.of(serial, "exec-out", "screencap -p", limit_s=20)
    # Newer Androids print warnings first, and exec-out has one stream for both.
    start = answer.out.find(_PNG)
    if start < 0:
        log.warning("no screenshot from %s: %s", serial, answer.words[-200:])
        return None
    return _write(folder, "screen.png", "image/png", answer.out[start:])


def _write(folder: Path, name: str, content_type: str, content: bytes) -> File:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return File(name, content_type, path)
