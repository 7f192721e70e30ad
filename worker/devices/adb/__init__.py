"""Backend `adb`: Android emulators and phones that adb's server on this machine lists.

Devices come and go as they are plugged in. A build is sent only where its very content is not installed yet, and stays
for the next batch.
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, cast

from msgspec import Meta, Struct

from worker import builds
from worker.batch import Batch, File, PrepareError
from worker.config import ConfigError
from worker.devices import DeviceSpec, Options, Session, appium
from worker.devices.adb.apps import Apps, app_id_in
from worker.devices.adb.client import Adb, is_app_id
from worker.devices.adb.discovery import Discovery
from worker.devices.adb.evidence import collect
from worker.devices.adb.health import Limits, complaint, silence
from worker.devices.adb.sessions import Sessions
from worker.devices.appium import AppiumServers


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """`adb`, `appium`: the programs; the latter is the project's own by default. `assume_installed`: builds without an
    artifact are on the devices already, whoever put them there. `health`: see `health.Limits`."""

    adb: str = "adb"
    appium: str | None = None
    assume_installed: bool = False
    install_limit_s: Annotated[float, Meta(gt=0)] = 600.0
    health: Limits = Limits()


class AdbDevices:
    def __init__(self, options: Options) -> None:
        if options.target == "browserstack":
            raise ConfigError("backend adb drives emulators and devices: --target emulator, or --target device")
        self._settings = options.settings_as(Settings)
        self._adb = Adb(self._settings.adb)
        self._discovery = Discovery(self._adb, options)
        self._apps = Apps(self._adb, self._settings.install_limit_s)
        self._app_ids: dict[str, str] = {}
        self._project = options.project
        self._sessions: Sessions | None = None
        self._in_doubt: set[str] = set()  # devices whose app could not be reset: perhaps somebody has removed it
        if self._settings.appium is not None:
            self.require_sessions()

    def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        return self._discovery.watch()

    def serial(self, device: str) -> str:
        """What adb calls a device. Raises PrepareError."""
        serial = self._discovery.serial(device)
        if serial is None:
            raise PrepareError(f"No device {device} was ever connected here.")
        return serial

    async def app_id(self, batch: Batch) -> str | None:
        """The package name of the batch's build; None where it has no artifact and is assumed to be installed."""
        artifact = batch.artifact
        if artifact is None:
            if self._settings.assume_installed:
                return None
            raise PrepareError(
                f"Build {batch.app_version_id} has no artifact for android, so nothing can be installed. Register "
                "one, or start the worker with --backend-setting assume_installed=true if the devices hold it.",
                "config",
            )
        if artifact.app_id is None:
            if artifact.sha256 not in self._app_ids:
                self._app_ids[artifact.sha256] = await app_id_in(await builds.fetch(artifact))
            return self._app_ids[artifact.sha256]
        if not is_app_id(artifact.app_id):
            raise PrepareError(f"{artifact.app_id!r} is not the package name of an Android app.", "app")
        return artifact.app_id

    def environment(self, batch: Batch) -> dict[str, str]:
        """So that adb, and most tools that use it, talk to the batch's device without being told."""
        return {"ANDROID_SERIAL": self.serial(batch.device)}

    async def install(self, batch: Batch) -> None:
        if self._sessions:
            await self._sessions.end(batch.device)  # it would be in the way, and is of another build
        await self._install(batch)

    async def _install(self, batch: Batch) -> None:
        app_id = await self.app_id(batch)
        if batch.artifact and app_id:
            apk = await builds.fetch(batch.artifact)
            await self._apps.install(self.serial(batch.device), app_id, apk, batch.artifact.sha256)
            self._in_doubt.discard(batch.device)

    async def reset(self, batch: Batch) -> None:
        if batch.reset == "none":
            return
        try:
            await self._reset(batch)
        except PrepareError:
            self._in_doubt.add(batch.device)
            raise

    async def _reset(self, batch: Batch) -> None:
        app_id = await self.app_id(batch)
        if app_id is None:
            raise PrepareError(
                f"Reset {batch.reset} needs an artifact: nobody knows which app build {batch.app_version_id} is. "
                "Register one, or submit with reset none.",
                "config",
            )
        serial = self.serial(batch.device)
        if batch.reset == "reinstall":
            await self._apps.uninstall(serial, app_id)
            await self._install(batch)
        elif batch.reset == "clear":
            await self._apps.clear(serial, app_id)
        else:
            await self._apps.stop(serial, app_id)

    def require_sessions(self) -> None:
        if self._sessions is None:
            command = appium.find(self._project, self._settings.appium)
            self._sessions = Sessions(AppiumServers(command, self._project))

    async def open_session(self, batch: Batch) -> Session:
        """On an Appium server of the device's own. Appium installs nothing: the build is there already."""
        try:
            self.require_sessions()
        except ConfigError as error:
            raise PrepareError(f"No session can be opened here: {error}", "config") from None
        serial, app_id = self.serial(batch.device), await self.app_id(batch)
        if batch.device in self._in_doubt:
            await self._install(batch)
        return await cast(Sessions, self._sessions).open(batch, serial, app_id)

    async def close_session(self, session: Session, *, failed: bool) -> str | None:
        if self._sessions:
            await self._sessions.release(session, failed=failed)
        return None

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        serial = self._discovery.serial(batch.device)
        return await collect(self._adb, serial, folder, since_s) if serial else []

    async def lost(self, device: str) -> str | None:
        # `adb shell` itself ends with 0 when its device is unplugged.
        serial = self._discovery.serial(device)
        return await silence(self._adb, serial) if serial else f"No device {device} was ever connected here."

    async def probe(self, device: str) -> str | None:
        why = await self.lost(device)
        return why or await complaint(self._adb, self.serial(device), self._settings.health)

    async def close(self) -> None:
        """The adb server stays: it belongs to whoever uses adb on this machine. Appium's are this worker's own."""
        if self._sessions:
            await self._sessions.close()
