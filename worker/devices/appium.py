"""Appium servers of a worker: one a device, on loopback, started when a session is first wanted, ended with the worker.

A server of its own for each device, because one that hangs or dies then takes only that device's session with it.
"""

import asyncio
import contextlib
import logging
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from qgjob.children import Child, free_port
from worker.batch import Blame, PrepareError
from worker.config import ConfigError
from worker.devices import Session
from worker.printed import last_words
from worker.processes import inherited
from worker.webdriver import WebDriver, WebDriverError

log = logging.getLogger("worker")

START_S = 120.0  # reading the drivers of a cold disk takes its time
_POLL_S = 0.1
_END_S = 5.0
# A session that no command reaches for so long is taken for forgotten. Longer than tests of a batch usually pause.
_FORGOTTEN_S = 900

# What the answer to a refused session contains → whose fault that is, and what to do. The rest is the device's.
_REFUSALS: tuple[tuple[str, Blame, str], ...] = (
    ("Could not find a driver for", "config", "Run `npx appium driver install uiautomator2` in the project."),
    ("ANDROID_HOME", "config", "Set ANDROID_HOME to the folder of the Android SDK."),
    ("JAVA_HOME", "config", "Set JAVA_HOME to the folder of a JDK."),
)


def find(project: Path, chosen: str | None = None) -> list[str]:
    """The command that starts Appium: the chosen program, the project's own, or the one on the PATH. AppWright brings
    one into the project. Raises ConfigError."""
    local = project / "node_modules" / "appium" / "index.js"
    if chosen is not None:
        program = shutil.which(chosen)
        if program is None:
            raise ConfigError(f"appium: no such program: {chosen}")
        return [str(Path(program).absolute())]
    if local.is_file():
        node = shutil.which("node")
        if node is None:
            raise ConfigError("appium: no program 'node' on the PATH; install Node.js 18 or newer")
        return [node, str(local)]
    program = shutil.which("appium")
    if program is None:
        raise ConfigError(f"appium: neither in {project} nor on the PATH; run `npm install appium` there")
    return [program]


def android(serial: str, app_id: str | None) -> dict[str, Any]:
    """The capabilities of a session with an installed app. The app is not started: that is part of each reset."""
    capabilities: dict[str, Any] = {
        "platformName": "Android",
        "appium:automationName": "UiAutomator2",
        "appium:udid": serial,
        "appium:noReset": True,
        "appium:autoLaunch": False,
        "appium:newCommandTimeout": _FORGOTTEN_S,
    }
    return capabilities | ({"appium:appPackage": app_id} if app_id else {})


class AppiumServers:
    """The servers by device. `command` is what `find` found; `project` is where they run, because an Appium that is
    among the dependencies of a project has its drivers there."""

    def __init__(self, command: list[str], project: Path) -> None:
        self._command = command
        self._project = project
        self._servers: dict[str, _Server] = {}
        self._folder: Path | None = None

    async def open_session(self, device: str, capabilities: dict[str, Any], app_id: str | None) -> Session:
        """One on the device's server, which is started if it does not run or no longer answers. Raises PrepareError."""
        server = await self._ready(device)
        try:
            session_id, granted = await server.driver.open(capabilities | server.capabilities)
        except WebDriverError as error:
            if error.code == "unreachable":
                await self._drop(device)
            raise _refused(error) from None
        except BaseException:
            await self._drop(device)  # or a session comes to be that nobody ends
            raise
        return Session(server.driver.url, session_id, granted, app_id)

    async def close_session(self, session: Session) -> None:
        """Never raises. A server that cannot end its session is ended."""
        try:
            await WebDriver(session.url, session.auth).close(session.session_id)
        except WebDriverError as error:
            if error.code == "invalid session id":
                return
            for device, server in list(self._servers.items()):
                if server.driver.url == session.url:
                    log.warning("%s: Appium does not end its session, so it is ended: %s", device, error)
                    await self._drop(device)

    async def close(self) -> None:
        """End them all."""
        await asyncio.gather(*(self._drop(device) for device in list(self._servers)))
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _ready(self, device: str) -> "_Server":
        server = self._servers.get(device)
        if server and server.process.running and await server.driver.is_ready():
            return server
        if server:
            log.warning("%s: Appium does not answer any more, starting another", device)
            await self._drop(device)
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="qgjob-appium-"))
        while True:
            server = self._servers[device] = _Server(self._command, self._project, self._folder)
            try:
                if await server.answers(START_S):
                    return server
            except BaseException:
                await self._drop(device)
                raise
            said, hangs = last_words(server.process.last_lines()), server.process.running
            await self._drop(device)
            if hangs:
                raise PrepareError(f"Appium did not answer within {START_S:.0f} s. It said: {said}", "device")
            if "EADDRINUSE" not in said:  # somebody else took the port after it was found free
                raise PrepareError(f"Appium cannot be started here. It said: {said}", "config")

    async def _drop(self, device: str) -> None:
        if server := self._servers.pop(device, None):
            await asyncio.shield(asyncio.to_thread(server.process.stop, (signal.SIGTERM, _END_S)))


class _Server:
    """A process with a port of its own, and one more on its side of the link to the device."""

    def __init__(self, command: list[str], project: Path, folder: Path) -> None:
        port = free_port()
        self.driver = WebDriver(f"http://127.0.0.1:{port}")
        # UiAutomator2 would look for a free one from 8200 on, and servers that do so at once find the same.
        self.capabilities = {"appium:systemPort": free_port()}
        # All that matters is said here: a project's .appiumrc may say something else for servers of its own.
        options = ["--address", "127.0.0.1", "--port", str(port), "--base-path", "/"]
        options += ["--log-no-colors", "--log-level", "warn"]
        self.process = Child(
            f"appium-{port}", [*command, *options], log=folder / f"{port}.log", env=inherited(), cwd=project
        )

    async def answers(self, within_s: float) -> bool:
        """False when it has ended instead, or needs longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.process.running:
                    if await self.driver.is_ready():
                        return True
                    await asyncio.sleep(_POLL_S)
        return False


def _refused(error: WebDriverError) -> PrepareError:
    said = last_words(str(error))
    for phrase, blame, advice in _REFUSALS:
        if phrase in said:
            return PrepareError(f"Appium opened no session: {said} {advice}", blame)
    return PrepareError(f"Appium opened no session: {said}", "device")
