"""Stand-in phones for tests: a real Appium server with the driver of appium-driver/, and a backend that uses it.

What happens to a phone is written down there (`events`), and faults can be switched on (`fail`).
"""

import json
import shutil
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from worker.batch import Batch, File, PrepareError
from worker.devices import DeviceSpec, Options, Session
from worker.devices.appium import AppiumServers, android, find
from worker.webdriver import WebDriver, WebDriverError

HERE = Path(__file__).resolve().parent
PROJECT = HERE / "appwright-samples"
APP_ID = "com.example.shop"


def installed() -> Path:
    """The samples' node_modules, which `make test-appwright` installs."""
    modules = PROJECT / "node_modules"
    assert (modules / "appwright" / "package.json").is_file(), "run `make test-appwright`, which installs the packages"
    return modules


class Home:
    """An APPIUM_HOME with the stand-in driver in it, and what its phones have gone through."""

    def __init__(self, at: Path) -> None:
        self.path = at
        modules = at / "node_modules"
        modules.mkdir(parents=True)
        for name in ("appium", "@xmldom", "xpath"):
            (modules / name).symlink_to(installed() / name)
        shutil.copytree(HERE / "appium-driver", modules / "qgjob-stand-in-driver")
        (at / "package.json").write_text('{"private": true, "dependencies": {"appium": "2.19.0"}}')
        (at / "stand-in").mkdir()

    def events(self) -> list[dict[str, Any]]:
        try:
            lines = (self.path / "stand-in" / "events.ndjson").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def counts(self) -> Counter[str]:
        """How often each thing happened."""
        return Counter(event["event"] for event in self.events())

    def fail(self, *faults: dict[str, str]) -> None:
        """These faults, and no others, from the next command on."""
        fresh = self.path / "stand-in" / "faults.new"
        fresh.write_text(json.dumps(faults))
        fresh.replace(self.path / "stand-in" / "faults.json")


class Phones:
    """A backend whose phones are told everything through WebDriver, so a batch's session is opened to install."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._servers = AppiumServers(find(PROJECT))
        self._sessions: dict[str, Session] = {}
        self.sick: str | None = None

    async def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        options = self._options
        yield [
            DeviceSpec(f"{options.name}-{number}", options.target, options.labels)
            for number in range(1, options.devices + 1)
        ]

    async def install(self, batch: Batch) -> None:
        session = await self._servers.open_session(batch.device, android(batch.device, APP_ID), APP_ID)
        self._sessions[batch.device] = session
        await self._tell(session, "mobile: installApp", {"appPath": f"{APP_ID}.apk"})

    async def reset(self, batch: Batch) -> None:
        session = self._sessions[batch.device]
        steps = {
            "reinstall": ("removeApp", "installApp"),
            "clear": ("clearApp",),
            "restart": ("terminateApp",),
            "none": (),
        }
        for step in steps[batch.reset]:
            await self._tell(session, f"mobile: {step}", {"appId": APP_ID, "appPath": f"{APP_ID}.apk"})

    async def open_session(self, batch: Batch) -> Session:
        if batch.device not in self._sessions:
            self._sessions[batch.device] = await self._servers.open_session(
                batch.device, android(batch.device, APP_ID), APP_ID
            )
        return self._sessions[batch.device]

    async def close_session(self, session: Session, *, failed: bool) -> str | None:
        self._sessions = {device: other for device, other in self._sessions.items() if other is not session}
        await self._servers.close_session(session)
        return f"https://videos.invalid/{session.session_id}"

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        return []

    async def probe(self, device: str) -> str | None:
        return self.sick

    async def close(self) -> None:
        await self._servers.close()

    async def _tell(self, session: Session, script: str, argument: dict[str, str]) -> None:
        try:
            await WebDriver(session.url).execute(session.session_id, script, argument)
        except WebDriverError as error:
            raise PrepareError(f"{script}: {error}") from None
