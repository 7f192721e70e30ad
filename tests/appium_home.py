"""A real Appium for tests: its home with the driver of appium-driver/, which plays UiAutomator2 on fake devices, and an
Android SDK with the real adb. What happens in sessions is written down there (`events`), and faults can be switched on.
"""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import answers

from qgjob.children import Child, free_port, wait_until
from worker.devices.appium import START_S, find

HERE = Path(__file__).resolve().parent
PROJECT = HERE / "appwright-samples"
APP_ID = "com.example.shop"
# What AppWright by itself calls: a name of an emulator, and the package of an APK.
PROGRAMS = {
    "emulator/emulator": "echo stand-in",
    "build-tools/34.0.0/aapt": f"echo \"package: name='{APP_ID}'\"; echo \"launchable-activity: name='.Main'\"",
}


def installed() -> Path:
    """The samples' node_modules, which `make test-appwright` installs."""
    modules = PROJECT / "node_modules"
    assert (modules / "appwright" / "package.json").is_file(), "run `make test-appwright`, which installs the packages"
    return modules


class Home:
    """`environment` leads Appium, and AppWright by itself, to this home and this SDK."""

    def __init__(self, folder: Path, adb: Path) -> None:
        self.path = folder / "home"
        modules = self.path / "node_modules"
        modules.mkdir(parents=True)
        for name in ("appium", "@xmldom", "xpath"):
            (modules / name).symlink_to(installed() / name)
        shutil.copytree(HERE / "appium-driver", modules / "qgjob-stand-in-driver")
        (self.path / "package.json").write_text('{"private": true, "dependencies": {"appium": "2.19.0"}}')
        (self.path / "stand-in").mkdir()
        sdk = folder / "sdk"
        for name, line in PROGRAMS.items():
            program(sdk / name, line)
        (sdk / "platform-tools").mkdir()
        (sdk / "platform-tools" / "adb").symlink_to(adb)
        self.environment = {"APPIUM_HOME": str(self.path), "ANDROID_HOME": str(sdk), "JAVA_HOME": str(sdk)}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL of an Appium server."""
        port = free_port()
        options = ["--address", "127.0.0.1", "--port", str(port), "--log-level", "warn"]
        child = Child("appium", [*find(PROJECT), *options], log=self.path / "appium.log", cwd=self.path)
        url = f"http://127.0.0.1:{port}"
        try:
            assert wait_until(lambda: answers(f"{url}/status") or not child.running, START_S), child.last_lines()
            yield url
        finally:
            child.stop((signal.SIGTERM, 10))

    def events(self) -> list[dict[str, Any]]:
        try:
            lines = (self.path / "stand-in" / "events.ndjson").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def servers(self) -> set[int]:
        """The process ids of all Appium servers that have served."""
        return {event["server"] for event in self.events()}

    def count(self, kind: str) -> int:
        """How often that happened: session, quit, screenshot, fault."""
        return Counter(event["event"] for event in self.events())[kind]

    def fail(self, *faults: dict[str, str]) -> None:
        """These faults, and no others, from the next command on."""
        fresh = self.path / "stand-in" / "faults.new"
        fresh.write_text(json.dumps(faults))
        fresh.replace(self.path / "stand-in" / "faults.json")


def program(at: Path, line: str) -> None:
    """A line of shell as a program."""
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(f"#!/bin/sh\n{line}\n")
    at.chmod(0o755)
