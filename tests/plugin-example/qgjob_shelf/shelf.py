"""A backend for a shelf of devices, each a folder: the setting `devices` names them, and what is installed on one is a
file in it. A device whose folder is gone cannot work."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

from msgspec import Struct

from worker import builds
from worker.batch import Batch, File, PrepareError
from worker.config import ConfigError
from worker.devices import DeviceSpec, Options, Session


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    shelf: str
    devices: list[str]


class Shelf:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._settings = options.settings_as(Settings)

    async def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        target, labels = self._options.target, self._options.labels
        yield [DeviceSpec(self._name(device), target, labels) for device in self._settings.devices]

    def environment(self, batch: Batch) -> dict[str, str]:
        return {"SHELF_DEVICE": str(self._folder(batch.device))}

    async def install(self, batch: Batch) -> None:
        if batch.artifact is None:
            raise PrepareError(f"Build {batch.app_version_id} has no file.", "app")
        app = await builds.fetch(batch.artifact)
        try:
            await asyncio.to_thread(shutil.copy, app, self._folder(batch.device) / "app")
        except OSError as error:
            raise PrepareError(f"{batch.device} takes no build: {error.strerror}") from None

    async def reset(self, batch: Batch) -> None:
        if batch.reset != "none":
            (self._folder(batch.device) / "data").unlink(missing_ok=True)

    def require_sessions(self) -> None:
        raise ConfigError("backend shelf opens no sessions")

    async def open_session(self, batch: Batch) -> Session:
        raise PrepareError("Backend shelf opens no sessions.", "config")

    async def close_session(self, session: Session, *, failed: bool) -> str | None:
        return None

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        data = self._folder(batch.device) / "data"
        return [File("data.txt", "text/plain", data)] if data.exists() else []

    async def lost(self, device: str) -> str | None:
        return None if self._folder(device).is_dir() else f"{device} is not on the shelf any more."

    async def probe(self, device: str) -> str | None:
        return await self.lost(device)

    async def close(self) -> None:
        pass

    def _name(self, device: str) -> str:
        return f"{self._options.name}-{device}"

    def _folder(self, device: str) -> Path:
        return Path(self._settings.shelf, device.removeprefix(f"{self._options.name}-"))
