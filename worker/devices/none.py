"""Backend `none`: devices that exist in name only. Installing takes the time it is told to take."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from worker.batch import Batch, File, PrepareError
from worker.config import ConfigError
from worker.devices import DeviceSpec, Options, Session


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    install_s: Annotated[float, Meta(ge=0)] = 0.0


class NamedDevices:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._settings = options.settings_as(Settings)

    async def watch(self) -> AsyncGenerator[list[DeviceSpec], None]:
        options = self._options
        yield [
            DeviceSpec(f"{options.name}-{number}", options.target, options.labels)
            for number in range(1, options.devices + 1)
        ]

    def environment(self, batch: Batch) -> dict[str, str]:
        return {}

    async def install(self, batch: Batch) -> None:
        await asyncio.sleep(self._settings.install_s)

    async def reset(self, batch: Batch) -> None:
        pass

    def require_sessions(self) -> None:
        raise ConfigError("backend none has no devices to open a session on; name another with --backend")

    async def open_session(self, batch: Batch) -> Session:
        raise PrepareError("Backend none has no devices to open a session on.", "config")

    async def close_session(self, session: Session, *, failed: bool) -> str | None:
        raise NotImplementedError

    async def evidence(self, batch: Batch, folder: Path, since_s: float) -> list[File]:
        return []

    async def lost(self, device: str) -> str | None:
        return None

    async def probe(self, device: str) -> str | None:
        return None

    async def close(self) -> None:
        pass
