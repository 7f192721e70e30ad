"""The real adb for tests, installed once from a Python package: apart from the environment, where its launcher would
shadow the adb of whoever works there."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMED = "QGJOB_TEST_ADB"
REQUIREMENTS = Path(__file__).with_name("adb-requirements.txt")
FOLDER = Path(__file__).with_name("fake_device") / ".adb"


def installed() -> Path:
    """What QGJOB_TEST_ADB names, else the package's, else that of the PATH. Skips, and says why, without any."""
    if named := os.environ.get(NAMED):
        return Path(named)
    why = f"no adb package for {sys.platform} on {platform.machine()}"
    if sys.platform == "linux" and platform.machine() == "x86_64":
        adb = FOLDER / "adbx" / "bin" / "platform-tools" / "adb"
        with REQUIREMENTS.open() as lock:  # several test processes may come here at once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if adb.is_file():
                return adb
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-deps",
                 "--require-hashes", "--target", FOLDER, "-r", REQUIREMENTS],
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            if adb.is_file():
                return adb
            why = f"pip install failed: {done.stderr.strip()[-500:]}"
    if on_path := shutil.which("adb"):
        return Path(on_path)
    pytest.skip(f"no adb: not on the PATH, and {why}")
